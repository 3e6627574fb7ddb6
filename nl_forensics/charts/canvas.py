"""The canvas of a chart: what it is drawn on. Everything that is plotted goes through it, so that it can be fingerprinted."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from nl_forensics.charts.shapes import Bar, Cell, alike_as_one, healthy_as_one, small_as_one
from nl_forensics.charts.style import (
    COLOURS,
    DASHES,
    FIELDS,
    GRID,
    GROUND,
    HATCHES,
    HEALTHY,
    INK,
    LONGEST_NAME,
    MARKERS,
    PLAIN,
    QUIET,
    WARNING,
    drawable,
    told_apart,
)
from nl_forensics.charts.time_axis import Panel, around, panels, places, with_breaks
from nl_forensics.charts.units import Unit
from nl_forensics.inputs.incident import Incident
from nl_forensics.sources import UTC

DPI = 110
WIDTH, LINE_HEIGHT, BAR_HEIGHT, TRACK_HEIGHT, TITLE_HEIGHT, NOTE_HEIGHT = 9.2, 2.7, 0.3, 0.36, 0.34, 0.165  # inches
MARK_HEIGHT, LEGEND_HEIGHT = 0.48, 0.19  # inches; of a row
BESIDE = 0.13  # of a track, between two kinds of marks
MAX_SERIES, MAX_BARS, MAX_TRACKS = 6, 20, 12
LONGEST_LINE, LONGEST_LABEL, LONGEST_TRACK, LONGEST_ABOVE = 132, 54, 40, 118  # characters of a line, and of names in it
BELOW_ZERO = 0.03  # of the height


class Canvas:
    """A figure, the incident with the windows to shade on it, and all data that was plotted.

    partial   some of its data is missing, so that an empty result proves nothing
    """

    def __init__(self, incident: Incident, partial: bool = False):
        self.incident = incident
        self.partial = partial
        self.plotted: list = []
        self._layout = ConstrainedLayoutEngine()
        self.figure = Figure(figsize=(WIDTH, LINE_HEIGHT), dpi=DPI, layout=self._layout)
        self._canvas = FigureCanvasAgg(self.figure)

    def say(self, words: str) -> str:
        """Words in place of an axis: an empty axis would look healthy. Returns them."""
        if self.partial:
            words = f"In the data available, {words[0].lower()}{words[1:]}"
        self.figure.set_size_inches(WIDTH, 0.8)
        axes = self.figure.subplots()
        axes.set(xticks=[], yticks=[], facecolor=GROUND)
        for spine in axes.spines.values():
            spine.set_visible(False)
        wrapped = textwrap.fill(drawable(words, 1000), 110)
        axes.text(0.5, 0.5, wrapped, ha="center", va="center", fontsize=10.5, transform=axes.transAxes)
        self.plotted.append(words)
        return words

    def bars(
        self,
        bars: list[Bar],
        unit: Unit,
        label: str,
        mark: str = "",
        kinds: Sequence[str] = (),
        above: bool = False,
        small: float = 0,
    ) -> None:
        """Horizontal bars, the first one on top.

        mark    what the mark of a bar is
        kinds   of parts, so that each has the same style in every chart; a part that is not named here comes after them
        above   the names are long: they stand over the bars
        small   bars that are shorter are drawn as one
        """
        if not bars:
            self.say("Nothing was recorded.")
            return
        shown = small_as_one(bars, small, unit.words)[:MAX_BARS]
        drawn = {kind for bar in shown for kind in bar.parts}
        order = {kind: n for n, kind in enumerate([*kinds, *sorted(drawn - set(kinds))])}
        samples: list[Artist] = [_patch(kind, n) for kind, n in order.items() if kind in drawn and len(order) > 1]
        if mark:
            samples.append(Line2D([], [], color=INK, marker="|", ms=11, mew=2, ls="", label=mark))
        height = BAR_HEIGHT * (1.75 if above else 1) * len(shown)
        self.figure.set_size_inches(WIDTH, 0.7 + height + 0.3 * bool(samples))
        axes = self.figure.subplots()
        for row, bar in enumerate(shown):
            self._bar(axes, row, bar, order, above)
        names = told_apart([bar.name for bar in shown], LONGEST_ABOVE if above else LONGEST_NAME, sentences=above)
        for row, name in enumerate(names if above else []):
            axes.annotate(name, (0, row - 0.2), (2, 1), textcoords="offset points", va="bottom")
        self._names(axes, [] if above else names)
        axes.set_ylim(len(shown) - 0.6, -0.8 if above else -0.6)
        _value_axis(axes, shown, unit, label)
        self._legend(samples)

    def _bar(self, axes: Axes, row: int, bar: Bar, order: dict[str, int], above: bool) -> None:
        left, thickness = 0.0, 0.4 if above else 0.62
        for kind, length in bar.parts.items():
            place = order[kind] % len(COLOURS)
            colour, hatch = COLOURS[place], HATCHES[place]
            axes.barh(row, length, thickness, left, color=colour, hatch=hatch, edgecolor="white", lw=0.5)
            left += length
        if bar.mark is not None:
            reach = thickness * (0.5 if above else 0.7)
            axes.plot([bar.mark] * 2, [row - reach, row + reach], color=INK, lw=2, solid_capstyle="butt")
        end = (max(left, bar.mark or 0), row)
        text = drawable(bar.text, 60)
        axes.annotate(text, end, (5, 0), textcoords="offset points", va="center", annotation_clip=False)
        parts = {kind: rounded(length) for kind, length in bar.parts.items()}
        self.plotted.append([bar.name, parts, rounded(bar.mark)])

    def _names(self, axes: Axes, names: list[str]) -> None:
        """Names of the rows, flush left so that an indentation shows."""
        axes.set_yticks(range(len(names)), names, color=INK)
        labels = axes.get_yticklabels()
        renderer = self._canvas.get_renderer()
        widths = [label.get_window_extent(renderer).width for label in labels]
        axes.tick_params(axis="y", length=0, pad=max(widths, default=0) * 72 / DPI + 4)
        for label in labels:
            label.set_horizontalalignment("left")

    def lines(
        self, series: dict[str, pd.DataFrame], value: str, unit: Unit, label: str, limits: dict[str, float]
    ) -> None:
        """One line per named series over the baseline and the incident. `limits`: level lines by name."""
        found, samples = panels(self.figure, self.incident), []
        shown = dict(list(series.items())[:MAX_SERIES])
        labels = told_apart(list(shown), LONGEST_LABEL)
        for place, (name, rows) in enumerate(shown.items()):
            colour, dashes, marker = COLOURS[place], DASHES[place], MARKERS[place]
            for panel in found:
                points = with_breaks(panel.of_window(rows), value)
                every = max(1, len(points) // 8)
                x, y = places(points["at"]), points[value]
                panel.axes.plot(x, y, color=colour, ls=dashes, marker=marker, ms=4, lw=1.6, markevery=every)
            samples.append(Line2D([], [], color=colour, ls=dashes, marker=marker, ms=4, label=labels[place]))
            self._remember(name, rows, value)
        self._scale(found, unit, label, max([rows[value].max() for rows in shown.values()] + list(limits.values())))
        self._tell_empty(found, [any(len(panel.of_window(rows)) for rows in shown.values()) for panel in found])
        for name, level in limits.items():
            self._limit(found, f"{name} {unit.words(level)}", level)
        self._legend(samples if len(series) > 1 else [], len(series) - len(shown))

    def dots(self, groups: dict[str, pd.DataFrame], value: str, unit: Unit, label: str) -> int:
        """Events at their time, one marker per named group. Returns how many lie outside the axes."""
        found, samples, inside = panels(self.figure, self.incident), [], 0
        labels = told_apart(list(groups), LONGEST_LABEL)
        for place, (name, rows) in enumerate(list(groups.items())[:MAX_SERIES]):
            colour, marker = COLOURS[place], MARKERS[place]
            for panel in found:
                x, y = places(rows["at"]), rows[value]
                panel.axes.plot(x, y, marker, color=colour, ms=6, mec="white", mew=0.5)
            inside += int(pd.concat([panel.within(rows["at"]) for panel in found], axis=1).any(axis=1).sum())
            samples.append(Line2D([], [], color=colour, marker=marker, ls="", label=labels[place]))
            self._remember(name, rows, value)
        self._scale(found, unit, label, max(rows[value].max() for rows in groups.values()))
        self._tell_empty(found, [any(panel.within(rows["at"]).any() for rows in groups.values()) for panel in found])
        self._legend(samples)
        return sum(len(rows) for rows in groups.values()) - inside

    def bands(
        self, tracks: dict[str, pd.DataFrame], states: dict[str, tuple[str, str]], healthy: str = ""
    ) -> dict[str, pd.DataFrame]:
        """One track per name over the windows; each row (`begin`, `end`, `state`) fills its period. Returns the tracks that were drawn.

        states    {state: (colour, hatch)}
        healthy   tracks that look the same, in this state only, are drawn as one
        """
        found = panels(self.figure, self.incident)
        as_one = alike_as_one(tracks, healthy, lambda periods: _filled(found, periods), len(found))
        shown = dict(list(as_one.items())[:MAX_BARS])
        self.figure.set_size_inches(WIDTH, 1.2 + TRACK_HEIGHT * len(shown))
        for row, periods in enumerate(shown.values()):
            for axis, left, width, state in _filled(found, periods):
                colour, hatch = states[state]
                found[axis].axes.barh(row, width, 0.6, left, color=colour, hatch=hatch, edgecolor="white", lw=0)
        for name, periods in tracks.items():
            times = zip(periods["begin"], periods["end"], periods["state"], strict=True)
            self.plotted += [[name, begin.isoformat(), end.isoformat(), state] for begin, end, state in times]
        self._names(found[0].axes, told_apart(list(shown), LONGEST_TRACK))
        found[0].axes.set_ylim(len(shown) - 0.4, -0.6)
        seen = {state for periods in shown.values() for state in periods["state"]}
        used, left = {state: style for state, style in states.items() if state in seen}, len(as_one) - len(shown)
        self._legend([Patch(facecolor=c, hatch=h * 2, edgecolor="white", label=s) for s, (c, h) in used.items()], left)
        return shown

    def grid(self, rows: dict[str, dict[str, Cell]], columns: Sequence[str], healthy: str = HEALTHY) -> None:
        """One line per name, a field per column. Healthy is light, unhealthy is dark, unknown is dashed.

        healthy   what the rows have in common that are healthy in every field: they are drawn as one
        """
        as_one = healthy_as_one(rows, healthy)
        shown = dict(list(as_one.items())[:MAX_BARS])
        self.figure.set_size_inches(WIDTH, 0.75 + BAR_HEIGHT * len(shown))
        axes = self.figure.subplots()
        for row, cells in enumerate(shown.values()):
            for column, heading in enumerate(columns):
                self._field(axes, column, row, cells[heading])
        self.plotted += [[name, {heading: list(cells[heading]) for heading in columns}] for name, cells in rows.items()]
        self._names(axes, told_apart(list(shown), LONGEST_TRACK))
        axes.set(xlim=(0, len(columns)), ylim=(len(shown) - 0.45, -0.55))
        axes.set_xticks([number + 0.5 for number in range(len(columns))], columns, color=INK)
        axes.tick_params(axis="x", length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        used = [
            state for state in FIELDS if any(cell.state == state for cells in shown.values() for cell in cells.values())
        ]
        self._legend(
            [Patch(**FIELDS[state][0], label=state) for state in used if state != PLAIN], len(as_one) - len(shown)
        )

    def _field(self, axes: Axes, column: int, row: int, cell: Cell) -> None:
        style, text = FIELDS[cell.state]
        axes.add_patch(Rectangle((column + 0.02, row - 0.44), 0.96, 0.88, **style))
        axes.text(column + 0.5, row, drawable(cell.text, 24), ha="center", va="center", fontsize=9, **text)

    def marks(self, tracks: dict[str, pd.DataFrame], kinds: Sequence[str]) -> None:
        """One track per name, around the incident; each row (`at`, `until`, `kind`) is a mark at its time, and a line from there to
        `until`, null for a moment. The names are long: they stand over the tracks.
        """
        shown = dict(list(tracks.items())[:MAX_TRACKS])
        rows = pd.concat([_placed(part, row, kinds) for row, part in enumerate(shown.values())])
        self.figure.set_size_inches(WIDTH, 1.2 + MARK_HEIGHT * len(shown))
        panel = around(self.figure, self.incident, pd.concat([rows["at"], rows["until"].dropna()]))
        axes, samples = panel.axes, []
        axes.hlines(range(len(shown)), 0, 1, color=QUIET, lw=0.6, transform=axes.get_yaxis_transform(), zorder=1)
        for place, kind in enumerate(kinds):
            style: dict[str, Any] = {
                "color": COLOURS[place],
                "marker": MARKERS[place],
                "ms": 7,
                "mec": "white",
                "lw": 2.5,
            }
            for row in rows[rows["kind"] == kind].itertuples(index=False):
                ends = [row.at] if pd.isna(row.until) else [row.at, row.until]
                axes.plot(places(pd.Series(ends)), [row.height] * len(ends), markevery=[0], mew=0.5, **style)
            if (rows["kind"] == kind).any():
                samples.append(Line2D([], [], label=drawable(kind, 42), mew=0.5, **style))
        for number, name in enumerate(shown):
            within = ("axes fraction", "data")
            words = drawable(name, LONGEST_LINE - 8)
            axes.annotate(words, (0, number - 0.27), (3, 0), within, "offset points", va="bottom", fontsize=9)
        axes.set(yticks=[], ylim=(len(shown) - 0.5, -0.9))
        axes.spines["left"].set_visible(False)
        self._legend(samples)
        times = rows[["height", "at", "until", "kind"]].map(str)
        self.plotted.append([list(shown), sorted(times.to_numpy().tolist())])

    def _remember(self, name: str, rows: pd.DataFrame, value: str) -> None:
        points = [[at.isoformat(), rounded(number)] for at, number in zip(rows["at"], rows[value], strict=True)]
        self.plotted.append([name, points])

    def _scale(self, found: list[Panel], unit: Unit, label: str, highest: float) -> None:
        """From a little below zero, so that a line of zeros lies on the axis as a whole, to a little above the highest value."""
        end = max(highest, unit.least) * 1.12
        found[0].axes.set_ylim(-BELOW_ZERO * end, end)
        found[0].axes.set_ylabel(label)
        unit.scale(found[0].axes.yaxis, end)
        for panel in found:
            panel.axes.grid(axis="y", color="white", lw=0.8)
            panel.axes.set_axisbelow(True)

    def _tell_empty(self, found: list[Panel], filled: list[bool]) -> None:
        """A window without a point in it is no quiet window."""
        for panel, has_points in zip(found, filled, strict=True):
            if not has_points:
                middle = {"ha": "center", "va": "center", "color": QUIET}
                panel.axes.text(0.5, 0.5, "nothing recorded", transform=panel.axes.transAxes, fontdict=middle)

    def _limit(self, found: list[Panel], text: str, level: float) -> None:
        for panel in found:
            panel.axes.axhline(level, color=INK, lw=1.4, ls=(0, (8, 2)))
        right = ("axes fraction", "data")
        found[-1].axes.annotate(text, (1, level), (-4, 2), right, "offset points", ha="right", va="bottom", fontsize=9)
        self.plotted.append([text, rounded(level)])

    def _legend(self, samples: Sequence[Artist], not_drawn: int = 0) -> None:
        if not_drawn:
            samples = [*samples, Line2D([], [], ls="", label=f"not drawn: {not_drawn} more")]
        if samples:
            longest = max(len(str(sample.get_label())) for sample in samples)
            columns = max(1, LONGEST_LINE // (longest + 11))
            width, height = self.figure.get_size_inches()
            self.figure.set_size_inches(width, height + LEGEND_HEIGHT * (math.ceil(len(samples) / columns) - 1))
            self.figure.legend(handles=samples, loc="outside lower left", ncols=columns, handlelength=3)

    def finish(self, title: str, missing: str) -> None:
        """On top the title and the data gaps."""
        notes = textwrap.wrap(drawable(missing, LONGEST_LINE * 4), LONGEST_LINE)
        width, height = self.figure.get_size_inches()
        head = TITLE_HEIGHT + NOTE_HEIGHT * len(notes)
        whole = height + head
        self.figure.set_size_inches(width, whole)
        self._layout.set(rect=(0, 0, 1, height / whole))
        self.figure.text(0.01, 1 - 0.06 / whole, title, va="top", fontsize=12, fontweight="bold")
        self.figure.text(0.01, 1 - TITLE_HEIGHT / whole, "\n".join(notes), va="top", fontsize=9, color=WARNING)


def _filled(found: list[Panel], periods: pd.DataFrame) -> list[tuple[int, float, float, str]]:
    """On which axis, from where, how far and in which state a track is filled."""
    times = list(zip(periods["begin"], periods["end"], periods["state"], strict=True))
    return [
        (axis, left, right - left, state)
        for begin, end, state in times
        for axis, panel in enumerate(found)
        if (right := panel.place(end)) > (left := panel.place(begin))
    ]


def _placed(marks: pd.DataFrame, row: int, kinds: Sequence[str]) -> pd.DataFrame:
    """The marks of one track with their `height`: several kinds lie beside one another, as they may fall on the same moment."""
    here = [kind for kind in kinds if (marks["kind"] == kind).any()]
    height = {kind: row + BESIDE * (place - (len(here) - 1) / 2) for place, kind in enumerate(here)}
    placed = marks.reindex(columns=["at", "until", "kind"]).astype({"until": UTC})
    return placed.assign(height=placed["kind"].map(height))


def _value_axis(axes: Axes, bars: list[Bar], unit: Unit, label: str) -> None:
    """From zero to the longest bar or mark."""
    longest = max([sum(bar.parts.values()) for bar in bars] + [bar.mark or 0 for bar in bars])
    end = max(longest, unit.least)
    axes.set_xlim(0, end * 1.02)
    axes.set_xlabel(label)
    unit.scale(axes.xaxis, end)
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _patch(kind: str, place: int) -> Patch:
    place %= len(COLOURS)
    return Patch(facecolor=COLOURS[place], hatch=HATCHES[place] * 2, edgecolor="white", label=drawable(kind, 36))


def rounded(value: float | None) -> float | None:
    """To 6 significant digits: the sums of another machine differ in the last ones."""
    return None if value is None or pd.isna(value) else float(f"{value:.6g}")

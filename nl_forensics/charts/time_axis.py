"""Time axes: one for each window, shaded alike, in UTC."""

from datetime import datetime, timedelta
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, DateFormatter, date2num
from matplotlib.figure import Figure

from nl_forensics.charts.style import QUIET, WINDOWS
from nl_forensics.inputs.incident import Incident, Window
from nl_forensics.runs import MAX_GAP_STEPS

MARGIN = 0.04  # beside each window, so that its edges are visible
NARROW = 0.1  # of an axis: a window has no room for its name, which would cover that of the next one
LEAD = timedelta(hours=2)  # what happened so long before an incident can be its cause


class Panel(NamedTuple):
    """A time axis from `start` to `end`. `window`: that it shows, "incident" or "baseline"."""

    axes: Axes
    start: datetime
    end: datetime
    window: str = "incident"

    def within(self, at: pd.Series) -> pd.Series:
        return at.between(self.start, self.end)

    def of_window(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Its own steps: where the windows meet, the last of one and the first of the other are the same moment, with two values."""
        return rows[rows["window"] == self.window]

    def place(self, at: datetime) -> float:
        """Where a moment lies on the axis, at its edge if it is beyond."""
        return date2num(min(max(at, self.start), self.end))


def panels(figure: Figure, incident: Incident) -> list[Panel]:
    """An axis for the baseline and one for the incident, side by side: hours may lie between the two, and one axis would squeeze both."""
    windows = {name: window for name, window in (("baseline", incident.baseline), ("incident", incident)) if window}
    widths = [2, 3] if len(windows) > 1 else [1]
    row = figure.subplots(1, len(windows), sharey=True, squeeze=False, width_ratios=widths)[0]
    between = (incident.start - incident.baseline.end) / 2 if incident.baseline else None
    found = [_panel(axes, windows[name], name, between) for axes, name in zip(row, windows, strict=True)]
    for panel in found:
        shade(panel, incident)
    for panel in found[1:]:
        panel.axes.spines["left"].set_visible(False)
        panel.axes.tick_params(axis="y", length=0)
    return found


def around(figure: Figure, incident: Incident, times: pd.Series) -> Panel:
    """One axis for the incident, and for what happened shortly before and after it, as far as these moments reach."""
    lead = max(incident.end - incident.start, LEAD)
    near = times[times.between(incident.start - lead, incident.end + lead)]
    moments = [incident.start, incident.end, *near.dt.to_pydatetime()]
    panel = _panel(figure.subplots(), Window(start=min(moments).isoformat(), end=max(moments).isoformat()))
    shade(panel, incident)
    return panel


def _panel(axes: Axes, window: Window, name: str = "incident", between: timedelta | None = None) -> Panel:
    """`between`: the margin ends half-way to the other window, so that no moment is on both axes."""
    margin = (window.end - window.start) * MARGIN
    seam = margin if between is None else min(margin, between)
    before, after = (margin, seam) if name == "baseline" else (seam, margin)
    panel = Panel(axes, window.start - before, window.end + after, name)
    axes.set_xlim(date2num(panel.start), date2num(panel.end))
    pattern = "%H:%M:%S" if window.seconds < 600 else "%H:%M" if window.seconds < 2 * 86400 else "%m-%d"
    axes.xaxis.set_major_locator(AutoDateLocator(tz="UTC", minticks=2, maxticks=5))
    axes.xaxis.set_major_formatter(DateFormatter(pattern, tz="UTC"))
    last_day = f" to {window.end:%m-%d}" if window.start.date() != window.end.date() else ""
    axes.set_xlabel(f"{window.start:%Y-%m-%d}{last_day}, UTC")
    return panel


def shade(panel: Panel, incident: Incident) -> None:
    """The windows of the incident and of its baseline, on every time axis alike."""
    for name, window in (("incident", incident), ("baseline", incident.baseline)):
        if window and window.start < panel.end and window.end > panel.start:
            left, right = panel.place(window.start), panel.place(window.end)
            panel.axes.axvspan(left, right, color=WINDOWS[name], lw=0, zorder=0)
            if right - left >= NARROW * (date2num(panel.end) - date2num(panel.start)):
                over = ("data", "axes fraction")
                panel.axes.annotate(name, (left, 1), (3, 2), over, "offset points", fontsize=9, color=QUIET)


def places(at: pd.Series):
    """Times as matplotlib counts them, whatever the time zone of the machine."""
    return date2num(at.dt.tz_convert(None).to_numpy())


def with_breaks(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """The points of one series, with a null where steps are missing: a hole is not a straight line."""
    rows = rows[["at", value]].sort_values("at")
    step = rows["at"].diff()
    holes = rows[step > step.median() * MAX_GAP_STEPS].assign(**{value: float("nan")})
    holes["at"] -= step.median() / 2
    return pd.concat([rows, holes]).sort_values("at") if len(holes) else rows

"""What a chart is: a figure that says in words what it shows, and how one is declared.

A chart is a function over tables, named by its arguments as in a check:

    @chart("Slow Redis commands")
    def slow_commands(canvas, redis_slowlog): …
    def memory(canvas, redis_info, *, prom_redis_memory): …

A positional table is needed: without data, the chart says so in place of an empty axis that would look healthy. A keyword-only one
is drawn too where it was recorded, and is None where not. The function draws on the canvas and returns what it shows, in words. Notebooks
call it with the case alone: `nl.charts.slow_commands(case)`.
"""

import base64
import hashlib
import inspect
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageColor

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.labels import cut, titled
from nl_forensics.charts.style import STYLE, WINDOWS
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.table import Table
from nl_forensics.inputs.incident import Incident

MIME = "application/vnd.nl-forensics.chart+json"
COLOURS = 128
LONGEST_GAP = 160
MAX_INSTANCES = 2  # named in one gap
MAX_GAPS = 2  # named on a chart; the coverage of the case lists all


@dataclass(frozen=True, repr=False)
class Chart:
    """A drawn chart.

    words        what it shows: series, window, worst value and when; data gaps
    fingerprint  of the plotted data: the same data gives the same one on every machine, pixels don't
    """

    figure: Figure
    words: str
    fingerprint: str

    @cached_property
    def png(self) -> bytes:
        """The picture, the same bytes for the same data. Few colours: less than half of the size, in every notebook and report."""
        canvas, picture = FigureCanvasAgg(self.figure), io.BytesIO()
        with style.context(STYLE):
            canvas.draw()
        _few_colours(np.asarray(canvas.buffer_rgba())).save(picture, "png")
        return picture.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {
            "image/png": base64.b64encode(self.png).decode(),
            "text/plain": repr(self),
            MIME: {"words": self.words, "fingerprint": self.fingerprint},
        }

    def __repr__(self) -> str:
        return f"[chart] {self.words}"


def _few_colours(rgba: np.ndarray) -> Image.Image:
    """Quantised, but the windows keep their declared colours: else each chart would shade them by a similar colour of its own."""
    few = Image.fromarray(rgba).convert("RGB").quantize(COLOURS - len(WINDOWS), Image.Quantize.MAXCOVERAGE)
    palette = (few.getpalette() or [])[: 3 * (COLOURS - len(WINDOWS))]
    pixels, indexes = rgba.view(np.uint32)[..., 0], np.array(few)
    for colour in WINDOWS.values():
        indexes[pixels == np.array(ImageColor.getcolor(colour, "RGBA"), np.uint8).view(np.uint32)] = len(palette) // 3
        palette += ImageColor.getrgb(colour)
    found = Image.fromarray(indexes, "P")
    found.putpalette(palette)
    return found


class ChartFunction:
    """A declared chart: called with a case, it is drawn.

    tables   that it needs, and that are welcome, by argument name
    """

    def __init__(self, draw: Callable[..., str], title: str):
        arguments = list(inspect.signature(draw).parameters.values())[1:]
        self.draw, self.title = draw, title
        self.needed = tuple(p.name for p in arguments if p.kind is not p.KEYWORD_ONLY)
        self.tables = tuple(p.name for p in arguments)
        self.__name__, self.__doc__ = draw.__name__, draw.__doc__

    def __call__(self, case: Case) -> Chart:
        """Never raises because of what is missing: it is named on the chart."""
        tables = {name: case.read(name) for name in self.tables}
        gaps = [gap for table in tables.values() for gap in not_shown(table)]
        is_seen = not any(tables[name].shows_nothing for name in self.needed)
        partial = is_seen and any(not_shown(tables[name]) for name in self.needed)

        def draw(canvas: Canvas) -> str:
            if not is_seen:
                return canvas.say("No data available.")
            rows = {
                name: None if table.shows_nothing else table.whole_rows.reset_index(drop=True)
                for name, table in tables.items()
            }
            return self.draw(canvas, **rows)

        return drawn(self.title, case.incident, draw, gaps, partial)


def drawn(title: str, incident: Incident, draw: Callable[[Canvas], str], gaps: list[str], partial: bool) -> Chart:
    """A chart: what `draw` draws on a canvas and says in words, below its title and its data gaps (`gaps`)."""
    with style.context(STYLE):
        canvas = Canvas(incident, partial)
        words = draw(canvas)
        missing = shortened(list(dict.fromkeys(gaps)))
        canvas.finish(title, missing)
    return Chart(canvas.figure, titled(title, words, missing), _fingerprint(canvas.plotted))


CHARTS: dict[str, ChartFunction] = {}


def chart(title: str) -> Callable[[Callable[..., str]], ChartFunction]:
    """Declare a chart. `title`: what it shows, in a few words."""

    def declare(draw: Callable[..., str]) -> ChartFunction:
        CHARTS[draw.__name__] = ChartFunction(draw, title)
        return CHARTS[draw.__name__]

    return declare


def not_shown(table: Table) -> list[str]:
    """What the whole rows of a table do not show, in words; the instances that lack the same are named together."""
    lacking: dict[str, list[str]] = {}
    for gap in (*table.gaps, *table.holes(table.source.needed)):
        lacking.setdefault(gap.unseen, []).append(gap.instance)
    return [f"{table.source.name}{_of(instances)}: {unseen}" for unseen, instances in lacking.items()]


def _of(instances: list[str]) -> str:
    named = ", ".join(filter(None, instances[:MAX_INSTANCES]))
    more = f" and {len(instances) - MAX_INSTANCES} more" if len(instances) > MAX_INSTANCES else ""
    return f" of {named}{more}" if named else ""


def shortened(gaps: list[str]) -> str:
    """The data gaps, in one sentence."""
    if not gaps:
        return ""
    more = f"; and {len(gaps) - MAX_GAPS} more" if len(gaps) > MAX_GAPS else ""
    return f"Data gaps: {'; '.join(cut(gap, LONGEST_GAP) for gap in gaps[:MAX_GAPS])}{more}."


def _fingerprint(plotted: list) -> str:
    text = json.dumps(plotted, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]

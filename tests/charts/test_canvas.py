"""What is drawn on the canvas: the windows and their seam, zeros, names that are cut."""

import io
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image, ImageColor

from nl_forensics.charts import CHARTS, style, units
from nl_forensics.charts.chart import drawn as drawn_chart
from nl_forensics.inputs.incident import Incident
from tests import recorded
from tests.charts.test_charts import case_of, drawn, row, series, texts

START = datetime(2026, 11, 3, 14, 0, tzinfo=UTC)
INCIDENT = Incident(
    id="test",
    start="2026-11-03T14:00Z",
    end="2026-11-03T14:08Z",
    baseline={"start": "2026-11-03T13:52Z", "end": "2026-11-03T14:00Z"},
)


def drawn_on(draw):
    return drawn_chart("A chart", INCIDENT, draw, [], partial=False)


def lines_of(chart) -> list[list[tuple]]:
    """The points of each line with data, of each axis: limits and samples of the legend have none."""
    return [
        [list(zip(*line.get_data(), strict=True)) for line in axes.get_lines() if len(line.get_xdata()) > 2]
        for axes in chart.figure.axes
    ]


@pytest.mark.parametrize("name", ["container_memory", "usual_answers", "cpu_throttling"])
def test_the_picture_keeps_the_colours_of_the_windows(name):
    """Pictures have few colours: those of the windows are not replaced by similar ones, which differ from chart to chart."""
    chart = CHARTS[name](recorded.recorded_case("demo"))
    pixels = np.asarray(Image.open(io.BytesIO(chart.png)).convert("RGB"))
    for window, colour in style.WINDOWS.items():
        share = (pixels == ImageColor.getrgb(colour)).all(axis=-1).mean()
        assert share > 0.05, f"{window}: {share:.1%} of the picture"


def test_a_line_ends_with_its_window():
    """Where the windows meet, the last step of the baseline and the first of the incident are one moment with two values."""
    steps = pd.date_range("2026-11-03T13:52Z", periods=9, freq="1min"), pd.date_range(START, periods=9, freq="1min")
    rows = pd.concat(
        pd.DataFrame({"at": at, "lines": range(9), "window": window})
        for at, window in zip(steps, ("baseline", "incident"), strict=True)
    )

    def draw(canvas):
        canvas.lines({"acme": rows}, "lines", units.NUMBER, "log lines", {})
        return ""

    assert [[y for _, y in line] for [line] in lines_of(drawn_on(draw))] == [list(range(9)), list(range(9))]


def test_no_moment_is_on_both_axes():
    """The windows meet: an event shortly before the seam is of the baseline alone, and the axes show one window each."""
    rows = pd.DataFrame({"at": pd.to_datetime(["2026-11-03T13:59:55Z", "2026-11-03T14:00:05Z"]), "ms": [1.0, 2.0]})
    outside = []
    chart = drawn_on(lambda canvas: outside.append(canvas.dots({"GET": rows}, "ms", units.NUMBER, "ms")) or "")
    baseline, incident = chart.figure.axes
    assert outside == [0]
    assert baseline.get_xlim()[1] == incident.get_xlim()[0]
    shaded = [
        [to_hex(patch.get_facecolor()) for patch in axes.patches if patch.get_width()] for axes in (baseline, incident)
    ]
    assert shaded == [[style.WINDOWS["baseline"]], [style.WINDOWS["incident"]]]


def test_zeros_are_drawn(tmp_path):
    """Nothing was evicted from one Redis in the incident, while another one evicted: zeros that were recorded are a line, no gap."""
    evicted = [
        series("baseline", START - timedelta(hours=2), [0, 4, 9, 0], instance="redis-0"),
        series("incident", START, [0] * 120, instance="redis-0"),
        series("incident", START, [0] * 120, instance="redis-1"),
    ]
    chart = drawn("evictions", case_of(tmp_path, {"prom_redis_evictions": {"records": evicted}}))
    _, incident = lines_of(chart)
    assert [{y for _, y in line} for line in incident] == [{0.0}, {0.0}]
    assert "nothing recorded" not in texts(chart)
    assert "redis-1: highest 0 at 2026-11-03 14:00:00 UTC in the incident, no value in the baseline" in chart.words
    _, axes = chart.figure.axes
    assert axes.get_ylim()[0] < 0, "a line on the edge of the axis is half cut off"
    pixels = np.asarray(Image.open(io.BytesIO(chart.png)).convert("RGB")).astype(int)
    right = pixels[:, pixels.shape[1] // 2 :]
    blue = np.abs(right - ImageColor.getrgb(style.COLOURS[0])).sum(axis=-1) < 40
    orange = np.abs(right - ImageColor.getrgb(style.COLOURS[1])).sum(axis=-1) < 40
    assert (blue | orange).any(axis=0).mean() > 0.8, "the line of zeros spans the incident"


def test_a_bar_of_zero_says_so(tmp_path):
    reading = row("redis_queues", key="log_queue", depth=3, type="list")
    readings = [reading | {"read_at": reading.pop("at")}, reading | {"depth": 0, "read_at": "2026-11-03T13:30:05Z"}]
    chart = drawn("queue_depth", case_of(tmp_path, {"redis_queues": {"records": readings}}))
    assert "0 items, -3 in 5 s" in texts(chart)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["short", "also short"], ["short", "also short"]),
        (["log-server-8b88c5666-wqv9z · tenant-initech"], ["log-server-8b88…tenant-initech"]),
        (["a" * 40 + n + "b" * 40 for n in "xy"], ["a" * 15 + "…" + "a" * 7 + n + "b" * 6 for n in "xy"]),
        (["alike" * 10, "alike" * 10], ["alikealikealike…likealikealike"] * 2),
    ],
)
def test_names_are_cut_so_that_what_differs_stays(names, expected):
    assert style.told_apart(names, 30) == expected

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
from nl_forensics.charts.shapes import Bar, Cell
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
        (["a" * 40 + n + "b" * 40 for n in "xy"], ["a" * 15 + "…" + "a" * 7 + n + "b" * 5 + "…" for n in "xy"]),
        (["alike" * 10, "alike" * 10], ["alikealikealike…likealikealike"] * 2),
    ],
)
def test_names_are_cut_so_that_what_differs_stays(names, expected):
    assert style.told_apart(names, 30) == expected


def test_a_sentence_is_cut_at_its_end_unless_another_one_begins_alike():
    alike = ["api: GET /v1/invoices failed: " + why for why in ("connection refused", "no such host")]
    other = "billing: no database connection was free"
    assert style.told_apart([*alike, other], 30, sentences=True) == [
        "api: GET /v1/in…ailed: connec…",
        "api: GET /v1/in…ailed: no suc…",
        "billing: no database connecti…",
    ]


def tracks_of(chart) -> list[str]:
    return [label.get_text() for label in chart.figure.axes[0].get_yticklabels()]


def test_healthy_targets_are_one_line_so_that_the_others_can_be_read(tmp_path):
    """Of 20 targets one was down, one appeared late, and one vanished: what looks like health everywhere is one line."""
    past = START - timedelta(hours=2)
    up = [
        series(window, at, [1] * 8, instance=f"api-{n}", job="api")
        for n in range(17)
        for window, at in (("baseline", past), ("incident", START))
    ]
    up += [
        series("baseline", past, [1] * 8, instance="down", job="api"),
        series("incident", START, [1, 0, 0, 1, 1, 1, 1, 1], instance="down", job="api"),
        series("incident", START + timedelta(minutes=1), [1] * 4, instance="late", job="api"),
        series("baseline", past, [1] * 8, instance="gone", job="api"),
    ]  # fmt: skip
    chart = drawn("targets_up", case_of(tmp_path, {"prom_up": {"records": up}}))
    assert tracks_of(chart) == ["down", "late", "gone", "17 more (up)"]
    everywhere = [one for one in up if one["metric"]["instance"].startswith("api")]
    all_up = drawn("targets_up", case_of(tmp_path / "up", {"prom_up": {"records": everywhere}}))
    assert tracks_of(all_up) == ["all 17 (up)"]
    assert "down: down for 30 s, first at 14:00:15 UTC; late: no failed scrape in the incident" in chart.words
    assert "gone: no data in the incident; 17 more (up): no failed scrape in the incident." in chart.words


def test_an_unknown_field_is_never_drawn_as_one_with_the_healthy():
    """Of nine services four are healthy in every field; what is not known of the others stays on a line of its own."""
    columns = ["pods", "errors"]
    rows = {f"healthy-{n}": dict.fromkeys(columns, Cell(f"{n} of {n}", style.HEALTHY)) for n in range(4)}
    rows |= {f"unknown-{n}": {"pods": Cell("ok", style.HEALTHY), "errors": Cell("?", style.UNKNOWN)} for n in range(5)}
    chart = drawn_on(lambda canvas: canvas.grid(rows, columns, "no fault") or "")
    assert tracks_of(chart) == [*(f"unknown-{n}" for n in range(5)), "4 more (no fault)"]


def test_small_bars_are_one_and_the_largest_of_them_is_named():
    bars = [Bar(f"quota-{n}", {"": size}, f"{size:.0%}", 1.0) for n, size in enumerate([0.9, *[0.4] * 3, *[0.1] * 6])]
    chart = drawn_on(lambda canvas: canvas.bars(bars, units.PERCENT, "share used", "quota", small=0.5) or "")
    assert tracks_of(chart) == ["quota-0", "quota-1", "quota-2", "quota-3", "quota-4", "5 more"]
    assert "at most 10 %" in texts(chart)


def test_what_is_not_drawn_is_counted_and_does_not_flatten_what_is():
    """The seventh line is 1,000 times as high, but only in the baseline: the axis is that of the six that are drawn."""
    at = pd.date_range(START, periods=4, freq="1min")
    rows = {f"s{n}": pd.DataFrame({"at": at, "ms": float(n < 6), "window": "incident"}) for n in range(8)}
    rows["s7"] = rows["s7"].assign(window="baseline", ms=1000.0)
    chart = drawn_on(lambda canvas: canvas.lines(rows, "ms", units.NUMBER, "latency", {}) or "")
    assert "not drawn: 2 more" in texts(chart)
    assert chart.figure.axes[0].get_ylim()[1] < 2


def test_an_expired_certificate_is_nothing_of_its_whole_lifetime():
    """An axis that ends at 1 % would make the last hour of a certificate look like a full bar."""
    chart = CHARTS["certificates_served"](recorded.recorded_case("expired_certificate"))
    assert "expired" in texts(chart)
    assert chart.figure.axes[0].get_xlim()[1] >= 1

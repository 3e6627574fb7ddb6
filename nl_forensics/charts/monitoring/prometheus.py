"""What watches the platform: the memory of Prometheus."""

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, named
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import NUMBER

KINDS = {"metric": "series of the metric", "label": "values of the label"}


@chart("Prometheus series by metric and label")
def cardinality(canvas: Canvas, prom_cardinality):
    """The metrics with the most series, and the labels with the most values, at the moment of asking: of a label with an id in it there
    are as many as there are ids.
    """
    rows = prom_cardinality[prom_cardinality["kind"].isin(KINDS) & (prom_cardinality["name"] != "__name__")]
    if rows.empty:
        return canvas.say("No series were counted.")
    rows = rows.assign(shown=named(rows, "name")).sort_values("series", ascending=False)
    bars = [
        Bar(row.shown, {KINDS[row.kind]: float(row.series)}, NUMBER.words(row.series))
        for row in rows.itertuples(index=False)
    ]
    canvas.bars(bars, NUMBER, "series of a metric, values of a label", kinds=tuple(KINDS.values()))
    counts = (listed(f"{bar.name} {bar.text}" for bar in bars if kind in bar.parts) for kind in KINDS.values())
    return "; ".join(f"{kind}: {words}" for kind, words in zip(KINDS.values(), counts, strict=True)) + "."


@chart("Series in memory of Prometheus")
def series_in_memory(canvas: Canvas, prom_head_series):
    """Time series in the memory of Prometheus: a steep rise is a label with too many values, a fall to little is a restart."""
    return drawn_lines(canvas, prom_head_series, ("target",), "series", NUMBER, "series in memory")

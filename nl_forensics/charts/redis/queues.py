"""Redis: the backlog of its queues."""

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, moment, named
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import NUMBER


@chart("Queue backlog")
def queue_depth(canvas: Canvas, redis_queues):
    """Backlog of each queue at the last of several readings; the mark shows the first reading."""
    seen = redis_queues[redis_queues["depth"].notna()]
    if seen.empty:
        names = ", ".join(redis_queues["key"].unique()) or "none is named in the platform file"
        return canvas.say(f"No queue was found ({names}): it is empty, or has another name.")
    bars = []
    for name, rows in seen.sort_values("at").groupby(named(seen, "key"), sort=True):
        first, last = rows.iloc[0], rows.iloc[-1]
        grown, seconds = int(last["depth"] - first["depth"]), (last["at"] - first["at"]).total_seconds()
        text = f"{NUMBER.words(last['depth'])} items, {grown:+,} in {seconds:.0f} s"
        bars.append(Bar(str(name), {"": float(last["depth"])}, text, float(first["depth"])))
    canvas.bars(bars, NUMBER, f"backlog (items), at {moment(seen['at'].max())}", "first reading")
    return f"{listed(f'{bar.name}: {bar.text}' for bar in bars)}; last reading at {moment(seen['at'].max())}."


@chart("Queue length over time")
def queue_depth_over_time(canvas: Canvas, prom_redis_queue_depth):
    """Items in each queue over time; there is no point where a queue was empty."""
    return drawn_lines(canvas, prom_redis_queue_depth, ("target", "key"), "items", NUMBER, "backlog (items)")

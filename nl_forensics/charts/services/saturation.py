"""What services used up over the incident and its baseline: pools of connections, the time of requests."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, named
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import NUMBER, PERCENT
from nl_forensics.sources.prometheus import runtime

SERVICE = ("namespace", "service")
MAX_GARBAGE, MAX_DATABASE = 0.1, 0.5  # as in the rules about them


@chart("Time spent in garbage collection")
def garbage_collection(canvas: Canvas, prom_gc_time):
    """Of the pod of each service that spent most; a stop-the-world collection blocks all requests."""
    return drawn_lines(canvas, prom_gc_time, SERVICE, "gc_ratio", PERCENT, "share of time (%)", {"limit": MAX_GARBAGE})


@chart("Database pool utilisation of the services")
def pools_over_time(canvas: Canvas, prom_pool_in_use, prom_pool_size, prom_pool_waiting):
    """Connections that are in use, as a share of the pool of each pod. At 100 %, requests queue for a connection."""
    rows = runtime.pools(prom_pool_in_use, prom_pool_size, prom_pool_waiting)
    rows = rows[rows["size"] > 0]
    if rows.empty:
        return canvas.say("No pool was recorded.")
    rows = rows.assign(used=rows["in_use"] / rows["size"])
    words = drawn_lines(
        canvas, rows, (*SERVICE, "target"), "used", PERCENT, "share of the pool (%)", {"exhausted at": 1.0}
    )
    return f"{words} {_waited(rows[rows['window'] == 'incident'])}"


def _waited(rows: pd.DataFrame) -> str:
    """The most waiting requests in one sample, of each pool."""
    waited = rows[rows["waiting"] > 0].sort_values("waiting", ascending=False, kind="stable")
    worst = waited.drop_duplicates(["instance", *SERVICE, "target"])
    if worst.empty:
        return "No request waited for a connection in the incident window."
    words = (
        f"{name}: {NUMBER.words(waiting)} at {at:%H:%M:%S} UTC"
        for name, waiting, at in zip(named(worst, *SERVICE, "target"), worst["waiting"], worst["at"], strict=True)
    )
    return f"Most requests waiting for a connection in the incident window: {listed(words)}."


@chart("Share of request time spent on the database")
def database_share(canvas: Canvas, prom_database_time, prom_route_time):
    """Of each service, over time. Where it rises together with latency, check statements and locks; where it does not,
    the cause lies elsewhere.
    """
    rows = runtime.database_share(prom_database_time, prom_route_time).dropna(subset="database_ratio")
    return drawn_lines(
        canvas, rows, SERVICE, "database_ratio", PERCENT, "share of request time (%)", {"limit": MAX_DATABASE}
    )

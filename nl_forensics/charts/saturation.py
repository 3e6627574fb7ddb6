"""What was used up over the incident and its baseline: CPU, pools of connections, the time of services."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, named
from nl_forensics.charts.over_time import drawn_lines
from nl_forensics.charts.units import NUMBER, PERCENT
from nl_forensics.sources.prometheus import cpu, runtime

CONTAINER = ("pod", "namespace", "container")
SERVICE = ("namespace", "service")
# As in the rules about them.
HELD_BACK, MAX_CPU, MAX_GARBAGE, MAX_DATABASE = 0.25, 0.9, 0.1, 0.5


@chart("CPU throttling")
def cpu_throttling(canvas: Canvas, prom_cpu_throttled):
    """Share of the periods of 100 ms in which a container was throttled until the next one. Without a CPU limit there is no throttling."""
    limits = {"limit": HELD_BACK}
    return drawn_lines(
        canvas, prom_cpu_throttled, CONTAINER, "throttled_ratio", PERCENT, "throttled periods (%)", limits
    )


@chart("Container CPU usage vs. limit")
def cpu_of_limit(canvas: Canvas, prom_cpu_used, prom_cpu_limit):
    """The mean of 5 minutes: in bursts, a container is throttled at its limit long before this reaches 100 %."""
    if prom_cpu_used.empty:
        return canvas.say("No container was measured.")
    rows = cpu.of_limit(prom_cpu_used, prom_cpu_limit)
    if rows.empty:
        return canvas.say(
            "None of the containers that were measured has a CPU limit: what they use is only bounded by their node."
        )
    return drawn_lines(canvas, rows, CONTAINER, "used_ratio", PERCENT, "share of the limit (%)", {"limit": MAX_CPU})


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
    words = drawn_lines(canvas, rows, (*SERVICE, "target"), "used", PERCENT, "share of the pool (%)", {"used up": 1.0})
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

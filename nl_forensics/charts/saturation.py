"""What was used up over the incident and its baseline: CPU, pools of connections, the time of services."""

import pandas as pd

from nl_forensics.charts.canvas import Face
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, named
from nl_forensics.charts.over_time import drawn_lines
from nl_forensics.charts.units import NUMBER, PERCENT
from nl_forensics.sources.prometheus import cpu, runtime

CONTAINER = ("pod", "namespace", "container")
SERVICE = ("namespace", "service")
# As in the rules about them.
HELD_BACK, MOST_CPU, MOST_GARBAGE, MOST_DATABASE = 0.25, 0.9, 0.1, 0.5


@chart("Which containers were held back at their CPU limit?")
def cpu_throttling(face: Face, prom_cpu_throttled):
    """Share of the periods of 100 ms in which a container stood still until the next one. One without a CPU limit never does."""
    limits = {"limit": HELD_BACK}
    return drawn_lines(face, prom_cpu_throttled, CONTAINER, "throttled_ratio", PERCENT, "of its periods", limits)


@chart("How much of their CPU limit did the containers use?")
def cpu_of_limit(face: Face, prom_cpu_used, prom_cpu_limit):
    """The mean of 5 minutes: in bursts, a container is held back at its limit long before this is full."""
    if prom_cpu_used.empty:
        return face.say("No container was measured.")
    rows = cpu.of_limit(prom_cpu_used, prom_cpu_limit)
    if rows.empty:
        return face.say(
            "None of the containers that were measured has a CPU limit: what they use is only bounded by their node."
        )
    return drawn_lines(face, rows, CONTAINER, "used_ratio", PERCENT, "of its limit", {"limit": MOST_CPU})


@chart("How much of their time did services spend collecting garbage?")
def garbage_collection(face: Face, prom_gc_time):
    """Of the pod of each service that spent most: meanwhile it answers nobody."""
    return drawn_lines(face, prom_gc_time, SERVICE, "gc_ratio", PERCENT, "of its time", {"limit": MOST_GARBAGE})


@chart("Were the services' own database pools used up?")
def pools_over_time(face: Face, prom_pool_in_use, prom_pool_size, prom_pool_waiting):
    """Connections that are in use, as a share of the pool of each pod. In words: who waited meanwhile; at 100 %, requests queue for one."""
    rows = runtime.pools(prom_pool_in_use, prom_pool_size, prom_pool_waiting)
    rows = rows[rows["size"] > 0]
    if rows.empty:
        return face.say("No pool was recorded.")
    rows = rows.assign(used=rows["in_use"] / rows["size"])
    told = drawn_lines(face, rows, (*SERVICE, "target"), "used", PERCENT, "of its connections", {"used up": 1.0})
    return f"{told} {_waited(rows[rows['window'] == 'incident'])}"


def _waited(rows: pd.DataFrame) -> str:
    """The most that waited at one look, of each pool."""
    waited = rows[rows["waiting"] > 0].sort_values("waiting", ascending=False, kind="stable")
    worst = waited.drop_duplicates(["instance", *SERVICE, "target"])
    if worst.empty:
        return "Nobody was seen waiting for a connection in the incident."
    told = (
        f"{name}: {NUMBER.words(waiting)} at {at:%H:%M:%S} UTC"
        for name, waiting, at in zip(named(worst, *SERVICE, "target"), worst["waiting"], worst["at"], strict=True)
    )
    return f"Most that were seen waiting in the incident: {listed(told)}."


@chart("How much of the time of requests goes into waiting for the database?")
def database_share(face: Face, prom_database_time, prom_route_time):
    """Of each service, over time. Where it rises with the time that answers take, look at statements and locks; where it does not,
    look elsewhere.
    """
    rows = runtime.database_share(prom_database_time, prom_route_time).dropna(subset="database_ratio")
    return drawn_lines(
        face, rows, SERVICE, "database_ratio", PERCENT, "of the time of requests", {"limit": MOST_DATABASE}
    )

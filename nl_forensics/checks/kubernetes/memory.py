"""Rules about the memory of containers over the whole incident window: Kubernetes itself keeps no past of it."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each
from nl_forensics.facts.trends import CONTAINER, straight_runs


def _of_limit(prom_container_memory: pd.DataFrame, prom_container_memory_limit: pd.DataFrame) -> pd.DataFrame:
    """The steps of the incident at which a container had a limit, with `used_ratio`."""
    steps = ["window", "at", *CONTAINER]
    table = during(prom_container_memory).merge(prom_container_memory_limit[[*steps, "limit_bytes"]], on=steps)
    table = table[table.limit_bytes > 0]
    return table.assign(used_ratio=table.used_bytes / table.limit_bytes)


@check(
    section="06",
    severity="medium",
    subject="{namespace}/{pod}/{container}",
    because="used {used_ratio:percent} of its memory limit, {used_bytes:bytes} of {limit_bytes:bytes}, at {worst_at:%H:%M:%S} UTC (limit "
    "{max_ratio:percent}); above it {span}",
    at="at",
    guide=("C085", "C086"),
)
def containers_stayed_below_their_memory_limit(
    prom_container_memory, prom_container_memory_limit, *, max_ratio=0.9, high_ratio=0.95
):
    """Every container used less than {max_ratio:percent} of its memory limit during the whole incident.

    At the limit the kernel kills it, often between two measurements, so that the last one is lower. 90 % is medium, 95 % high: the guide's
    review. One without a limit has none to stay below.
    """
    table = _of_limit(prom_container_memory, prom_container_memory_limit)
    rows = worst_of_each(table[table.used_ratio >= max_ratio], CONTAINER, "used_ratio")
    return rows.assign(severity=(rows.used_ratio >= high_ratio).map({True: "high", False: "medium"}))


@check(
    section="06",
    severity="medium",
    subject="{namespace}/{pod}/{container}",
    because="grew from {first_bytes:bytes} at {at:%H:%M:%S} to {used_bytes:bytes} at {until:%H:%M:%S} UTC, by {hourly_bytes:bytes} an hour"
    " on a straight line (R² {fit:.2f}){anew}; at this pace it reaches its limit of {limit_bytes:bytes} in {left_s:seconds} (limit"
    " {full_in_s:seconds})",
    at="at",
    guide=("C038", "C042", "C047", "C048", "C050", "C085", "C086"),
)
def no_container_grows_towards_its_memory_limit(
    prom_container_memory,
    prom_container_memory_limit,
    prom_container_start,
    *,
    full_in_s=4 * 3600,
    soon_s=3600,
    min_s=900,
    min_run_s=300,
    min_fit=0.8,
    min_growth=0.1,
):
    """The memory of no container grows so that it reaches its limit within {full_in_s:seconds}.

    A leak: a larger limit only puts the kill off, and a restart begins it anew. It grew on a straight line (R² above 0.8: the guide's
    review), and goes on doing so, by 10 % of its limit an hour (Coroot): what a start takes, or is given back now and then, is no leak.
    4 hours, and high where one is left: the guide's review. Runs of 5 minutes and more count, together 15: choices of ours.
    """
    table = _of_limit(prom_container_memory, prom_container_memory_limit)
    runs = straight_runs(table, prom_container_start, min_run_s)
    rows = table.sort_values("at").groupby(CONTAINER, as_index=False).last()
    rows = rows.drop(columns=["at", "used_bytes"]).merge(runs, on=CONTAINER)
    hourly_bytes = rows.per_s * 3600
    left_s = (rows.limit_bytes - rows.now_bytes).clip(lower=0) / rows.per_s.where(rows.per_s > 0)
    leaks = (rows.lasted_s >= min_s) & (rows.fit > min_fit) & (rows.late_per_s >= rows.per_s / 2)
    fast = (hourly_bytes >= min_growth * rows.limit_bytes) & (left_s <= full_in_s)
    anew = rows.restarts.map(lambda times: f", began anew {times} time{'s' * (times > 1)}" if times else "")
    severity = (left_s <= soon_s).map({True: "high", False: "medium"})
    rows = rows.assign(left_s=left_s, hourly_bytes=hourly_bytes, anew=anew, severity=severity)
    return rows[leaks & fast].sort_values("left_s")

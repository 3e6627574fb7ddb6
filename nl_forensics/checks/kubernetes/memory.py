"""Rules about the memory of containers over the whole incident window, by Prometheus: Kubernetes keeps no history of it."""

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
    high="used_ratio >= high_ratio",
    because="used {used_ratio:percent} of its memory limit at {worst_at:%H:%M:%S} UTC ({used_bytes:bytes} of {limit_bytes:bytes}, "
    "threshold {max_ratio:percent}); above the threshold {span}",
    at="at",
    guide=("C085", "C086"),
)
def containers_stayed_below_their_memory_limit(
    prom_container_memory, prom_container_memory_limit, *, max_ratio=0.9, high_ratio=0.95
):
    """Every container used less than {max_ratio:percent} of its memory limit during the whole incident.

    At the limit the kernel kills it, often between two readings, so that the last one is lower. 90 % is medium, 95 % high: the guide's
    review. Containers without a limit are left out.
    """
    table = _of_limit(prom_container_memory, prom_container_memory_limit)
    return worst_of_each(table[table.used_ratio >= max_ratio], CONTAINER, "used_ratio")


@check(
    section="06",
    severity="medium",
    subject="{namespace}/{pod}/{container}",
    high="left_s <= high_full_in_s",
    because="memory grows by {hourly_bytes:bytes}/h and reaches its limit of {limit_bytes:bytes} in {left_s:seconds} (threshold"
    " {full_in_s:seconds}); from {first_bytes:bytes} at {at:%H:%M:%S} to {used_bytes:bytes} at {until:%H:%M:%S} UTC, linear (R²"
    " {fit:.2f}){anew}",
    at="at",
    guide=("C038", "C042", "C047", "C048", "C050", "C085", "C086"),
)
def no_container_grows_towards_its_memory_limit(
    prom_container_memory,
    prom_container_memory_limit,
    prom_container_start,
    *,
    full_in_s=4 * 3600,
    high_full_in_s=3600,
    min_s=900,
    min_run_s=300,
    min_fit=0.8,
    min_growth=0.1,
):
    """No container's memory grows so fast that it reaches its limit within {full_in_s:seconds}.

    A leak: a larger limit only delays the OOM kill, and growth resumes after a restart. It grew linearly (R² above 0.8: the guide's
    review), and still does, by 10 % of its limit per hour (Coroot): growth at start, or memory that is freed now and then, is no leak.
    4 hours, and high below one: the guide's review. Runs of 5 minutes and more count, together 15: choices of ours.
    """
    table = _of_limit(prom_container_memory, prom_container_memory_limit)
    runs = straight_runs(table, prom_container_start, min_run_s)
    rows = table.sort_values("at").groupby(CONTAINER, as_index=False).last()
    rows = rows.drop(columns=["at", "used_bytes"]).merge(runs, on=CONTAINER)
    hourly_bytes = rows.per_s * 3600
    left_s = (rows.limit_bytes - rows.now_bytes).clip(lower=0) / rows.per_s.where(rows.per_s > 0)
    leaks = (rows.lasted_s >= min_s) & (rows.fit > min_fit) & (rows.late_per_s >= rows.per_s / 2)
    fast = (hourly_bytes >= min_growth * rows.limit_bytes) & (left_s <= full_in_s)
    anew = rows.restarts.map(lambda times: f", again after {times} restart{'s' * (times > 1)}" if times else "")
    rows = rows.assign(left_s=left_s, hourly_bytes=hourly_bytes, anew=anew)
    return rows[leaks & fast].sort_values("left_s")

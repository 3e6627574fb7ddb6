"""Rules about the memory of containers over the whole incident window: Kubernetes itself keeps no past of it."""

import pandas as pd

from nl_forensics.checks import check
from nl_forensics.checks.stretches import during, stretches

SECTION = "06"
CONTAINER = ["instance", "target", "namespace", "pod", "container"]


def _of_limit(prom_container_memory: pd.DataFrame, prom_container_memory_limit: pd.DataFrame) -> pd.DataFrame:
    """The steps of the incident at which a container had a limit, with `used_ratio`."""
    steps = ["window", "at", *CONTAINER]
    table = during(prom_container_memory).merge(prom_container_memory_limit[[*steps, "limit_bytes"]], on=steps)
    table = table[table.limit_bytes > 0]
    return table.assign(used_ratio=table.used_bytes / table.limit_bytes)


@check(
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
    rows = stretches(table[table.used_ratio >= max_ratio], CONTAINER, "used_ratio")
    return rows.assign(severity=(rows.used_ratio >= high_ratio).map({True: "high", False: "medium"}))


@check(
    severity="medium",
    subject="{namespace}/{pod}/{container}",
    because="grew from {first_bytes:bytes} at {at:%H:%M:%S} to {used_bytes:bytes} at {until:%H:%M:%S} UTC and never went back; at this "
    "pace it reaches its limit of {limit_bytes:bytes} in {left_s:seconds} (limit {full_in_s:seconds})",
    at="at",
    guide=("C085", "C086"),
)
def no_container_grows_towards_its_memory_limit(
    prom_container_memory, prom_container_memory_limit, *, full_in_s=4 * 3600, min_s=900, min_growth=0.1
):
    """The memory of no container grows so that it reaches its limit within {full_in_s:seconds}.

    A leak: a larger limit only puts the kill off. From the highest value of the first third to the lowest of the last third, over 15
    minutes at least, it grew by 10 % of the limit an hour (Coroot): what a start takes, or is given back now and then, is no leak. 4 hours
    and 15 minutes: choices of ours.
    """
    table = _of_limit(prom_container_memory, prom_container_memory_limit).sort_values("at")
    of_it = table.groupby(CONTAINER)
    began, ended = of_it["at"].transform("min"), of_it["at"].transform("max")
    place = (table["at"] - began) / (ended - began)
    rows = table.assign(at=began, until=ended)[table["at"] == ended]
    for name, found in (
        ("first_bytes", of_it.used_bytes.first()),
        ("early_bytes", table[place <= 1 / 3].groupby(CONTAINER).used_bytes.max()),
        ("late_bytes", table[place >= 2 / 3].groupby(CONTAINER).used_bytes.min()),
    ):
        rows = rows.join(found.rename(name), on=CONTAINER)
    lasted_s = (rows.until - rows["at"]).dt.total_seconds()
    grown_per_s = (rows.late_bytes - rows.early_bytes) / (lasted_s.where(lasted_s >= min_s) / 3)
    left_s = (rows.limit_bytes - rows.used_bytes).clip(lower=0) / grown_per_s.where(grown_per_s > 0)
    fast = grown_per_s * 3600 >= min_growth * rows.limit_bytes
    return rows.assign(left_s=left_s)[fast & (left_s <= full_in_s)].sort_values("left_s")

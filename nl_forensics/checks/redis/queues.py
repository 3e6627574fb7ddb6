"""Rules about the queues of the platform in Redis: they exist, accept writes, and drain."""

import pandas as pd

from nl_forensics.checks.rule import check

CAN_QUEUE = ("list", "stream", "zset", "set")


@check(
    section="05",
    severity="critical",
    subject="redis/{instance}, {key}",
    because="key has type {type}, which is not a queue; every consumer gets WRONGTYPE",
    guide=("C031",),
)
def every_queue_is_a_queue(redis_queues):
    """Every queue in the platform file has a queue type (list, stream, sorted set or set).

    LLEN of a wrong name returns 0, as for an empty queue, so type and existence are checked first.
    """
    return redis_queues[~redis_queues.type.isin(CAN_QUEUE)].drop_duplicates(["instance", "key"])


@check(
    section="05",
    severity="critical",
    subject="redis/{instance}, {key}",
    because="queue is on a replica; pushes fail with READONLY",
    guide=("C031",),
)
def every_queue_takes_writes(redis_queues):
    """Every queue is on an instance that accepts writes.

    A service that connects to a replica can read, and fails only when it pushes; a failover can cause this.
    """
    return redis_queues[redis_queues.role != "master"].drop_duplicates(["instance", "key"])


@check(
    section="05",
    severity="high",
    subject="redis/{instance}, {key}",
    because="backlog of {depth:number} items: {trend}",
    guide=("C031",),
)
def every_queue_drains(redis_queues, *, max_drain_s=900, min_items=100):
    """Every queue shrinks, or would be empty within {max_drain_s:seconds}.

    A queue that never shrinks receives more than its consumers process, or has no consumer; it grows until the memory is full. 15 min, and
    at least 100 items (a short queue rises and falls with every request): our own.
    """
    known = redis_queues[redis_queues.depth.notna()]
    found = [_trend(readings, max_drain_s) for _, readings in known.groupby(["instance", "key"])]
    rows = pd.concat([known.head(0).assign(trend=""), *found])
    return rows[rows.depth >= min_items].sort_values("depth", ascending=False)


def _trend(readings: pd.DataFrame, max_drain_s: float) -> pd.DataFrame:
    """The last reading of one queue, if it never shrinks or drains too slowly; else nothing."""
    readings = readings.sort_values("at")
    seconds = (readings["at"].iloc[-1] - readings["at"].iloc[0]).total_seconds()
    grown = int(readings.depth.iloc[-1] - readings.depth.iloc[0])
    last = readings.tail(1)
    if len(readings) >= 3 and (readings.depth.diff().dropna() >= 0).all():
        pace = f"grew by {grown:,} ({grown / seconds * 60:,.0f}/min)" if grown else "consumers processed none"
        return last.assign(trend=f"{pace} in {seconds:.1f} s, and it shrank in none of {len(readings)} readings")
    if grown < 0 and (drain_s := last.depth.iloc[0] / -grown * seconds) > max_drain_s:
        return last.assign(trend=f"at this rate empty in {drain_s / 60:,.0f} min (limit {max_drain_s / 60:.0f} min)")
    return last.head(0)

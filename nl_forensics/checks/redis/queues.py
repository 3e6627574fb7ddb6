"""Rules about the queues that the platform keeps in Redis: they are there, and they drain."""

import pandas as pd

from nl_forensics.checks.rule import check

CAN_QUEUE = ("list", "stream", "zset", "set")


@check(
    section="05",
    severity="critical",
    subject="{instance}: {key}",
    because="is a {type}, which is no queue: every consumer gets WRONGTYPE",
    guide=("C031",),
)
def every_queue_is_a_queue(redis_queues):
    """Every queue that the platform file names has a type that can queue.

    LLEN of a wrong name answers 0, which looks like an empty queue: so type and existence are asked first.
    """
    return redis_queues[~redis_queues.type.isin(CAN_QUEUE)].drop_duplicates(["instance", "key"])


@check(
    section="05",
    severity="critical",
    subject="{instance}: {key}",
    because="lies on a replica: what services push there is refused with READONLY",
    guide=("C031",),
)
def every_queue_takes_writes(redis_queues):
    """Every queue lies on an instance that takes writes.

    A service that was pointed at a replica reads well, and is refused only when it pushes: a failover can leave it there.
    """
    return redis_queues[redis_queues.role != "master"].drop_duplicates(["instance", "key"])


@check(
    section="05",
    severity="high",
    subject="{instance}: {key}",
    because="{depth:number} items wait: {trend}",
    guide=("C031",),
)
def every_queue_drains(redis_queues, *, max_drain_s=900, min_items=100):
    """Every queue shrinks, or would be empty within {max_drain_s:seconds}.

    One that never shrinks gets more than its consumers take, or has none: it grows until the memory is full. 15 min, and at least 100
    items (a short queue rises and falls with every request): our own.
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
        pace = f"{grown:,} more ({grown / seconds * 60:,.0f} a minute)" if grown else "none was taken"
        return last.assign(trend=f"{pace} within {seconds:.1f} s, and no fewer at any of {len(readings)} readings")
    if grown < 0 and (drain_s := last.depth.iloc[0] / -grown * seconds) > max_drain_s:
        limit = f"limit {max_drain_s / 60:.0f} min"
        return last.assign(trend=f"at this pace it is empty in {drain_s / 60:,.0f} min ({limit})")
    return last.head(0)

"""How much work waits in the queues of the platform."""

import pandas as pd

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source
from nl_forensics.sources.column import Column

DEPTH = {"list": "LLEN", "stream": "XLEN", "zset": "ZCARD", "set": "SCARD"}


def _queues(records: list[dict]) -> pd.DataFrame:
    """Redis removes a list with its last item: a missing key is an empty queue where another reading found it, else unknown."""
    rows = as_rows(records).rename(columns={"read_at": "at"})
    if rows.empty:
        return rows
    missing = rows.type == "none"
    found = rows[~missing].drop_duplicates("key").set_index("key").type
    emptied = missing & rows.key.isin(found.index)
    return rows.assign(
        type=rows.type.mask(missing, rows.key.map(found)), depth=pd.to_numeric(rows.depth).mask(emptied, 0)
    )


@source(
    parse=_queues,
    columns={
        "at": Column(UTC, "time of the reading"),
        "key": Column("str", "key of the queue, as in the platform file"),
        "type": Column("str", "`list`, `stream`, `zset` or `set`; any other type is not a queue"),
        "depth": Column(
            "Int64", "items in the queue", unknown="no key of this name was found, or its type is not a queue"
        ),
        "pending": Column(
            "Int64",
            "entries of a stream that are delivered to a consumer and not acknowledged",
            absent="the key is not a stream",
        ),
        "role": Column("str", "role of this instance: `master` or `slave`"),
    },
    covers="now",
    readings=4,
    needs=Permission(redis="+type +llen +xlen +zcard +scard +xinfo|groups +info"),
    guide=("C031",),
    hole="a queue that is not there may be empty, or wrongly named: check redis.queues in the platform file",
)
def redis_queues(redis, platform):
    """Length of each queue in the platform file, over several readings; one row per queue and reading.

    A key that no reading found has no type: an empty queue and a wrong name give the same answer. The age of the oldest item would
    require reading its content, which is never done."""
    instances = platform.systems.instances("redis")
    here = {name for name, endpoint in instances.items() if endpoint == redis.endpoint}
    keys = [queue.key for queue in platform.redis.queues if queue.instance in here]
    yield Proof(f"the platform file names {len(keys)} queues of this instance")
    if not keys:
        return
    role = redis.call("INFO", "replication")["role"]
    for key, kind in zip(keys, redis.pipeline([("TYPE", key) for key in keys]), strict=True):
        depth = redis.call(DEPTH[kind], key) if kind in DEPTH else None
        pending = _pending(redis, key) if kind == "stream" else None
        yield {"key": key, "type": kind, "depth": depth, "pending": pending, "role": role}


def _pending(redis, key: str) -> int:
    groups = (dict(zip(group[::2], group[1::2], strict=True)) for group in redis.call("XINFO", "GROUPS", key))
    return sum(group["pending"] for group in groups)

"""Usage that was counted in Redis, and is not written yet."""

import time
from collections.abc import Iterator

from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import Column

BATCH = 500


@source(
    columns={
        "tenant_id": Column("str", "id of the tenant, from the name of the key"),
        "metric": Column("str", "metric with a price in the platform file"),
        "units": Column("Int64", "units in all keys of the tenant", unknown="a key holds no whole number"),
        "keys": Column("Int64", "keys that they are in"),
    },
    covers="now",
    needs=Permission(redis="+scan +dbsize", redis_values="+hmget"),
    guide=("C109",),
    about="billing.usage.redis_key",
)
def redis_usage(redis, platform):
    """Counted usage that is not written to the database yet; one row per tenant and metric.

    Keys are found by SCAN within budget.redis_scan_keys and budget.redis_scan_s. Of their values, only the metrics with a price are read.
    """
    usage, metrics = platform.billing.usage, sorted(platform.billing.prices)
    counted: dict[tuple[str, str], list] = {}
    for keys in _walk(redis, platform, usage.keys):
        if isinstance(keys, Partial):
            yield keys
            continue
        values = redis.pipeline([("HMGET", key, *metrics) for key in keys])
        for key, found in zip(keys, values, strict=True):
            tenant = usage.tenant_of(key)
            for metric, value in zip(metrics, found, strict=True) if tenant and isinstance(found, list) else ():
                if value is not None:
                    counted.setdefault((tenant, metric), []).append(_whole(value))
    for (tenant, metric), values in sorted(counted.items()):
        units = None if None in values else sum(values)
        yield {"tenant_id": tenant, "metric": metric, "units": units, "keys": len(values)}
    yield Proof(f"the keys {usage.keys} were read")


def _walk(redis, platform, pattern: str) -> Iterator[list[str] | Partial]:
    """The keys of a pattern, some at a time; a gap where the budget ends before the keys do."""
    total, budget = redis.call("DBSIZE"), platform.budget
    deadline, cursor, seen = time.monotonic() + budget.redis_scan_s, "0", 0
    while seen < max(budget.redis_scan_keys, BATCH) and time.monotonic() < deadline:
        cursor, keys = redis.call("SCAN", cursor, "MATCH", pattern, "COUNT", BATCH, "TYPE", "hash")
        seen += BATCH
        if keys:
            yield keys
        if int(cursor) == 0:
            return
    share = max(0.0, 1 - seen / max(1, total))
    yield Partial(f"about {share:.0%} of the {total:,} keys", "raise budget.redis_scan_keys and budget.redis_scan_s")


def _whole(value: str) -> int | None:
    """Of what Redis counts, which is a whole number."""
    return int(value) if value.lstrip("-").isdecimal() and len(value) < 19 else None

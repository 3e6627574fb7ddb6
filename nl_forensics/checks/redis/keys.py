"""Rules about keys: none is too large or too hot, cache keys expire."""

import pandas as pd

from nl_forensics.checks.rule import check

MB = 1024 * 1024


@check(
    section="05",
    severity="note",
    medium="bytes > max_bytes",
    subject="redis/{instance}, {key}",
    because="{type} of {bytes:bytes} with {length:number} {unit} (limits {max_length:number} {unit}, {max_bytes:bytes})",
    guide=("C075",),
)
def no_key_is_too_big(
    redis_big_keys, *, max_string_bytes=100_000, max_hash=5_000, max_members=1_000, max_bytes=10 * MB
):
    """No key holds more than {max_bytes:bytes}.

    Reading, expiring or deleting a large key blocks Redis. As notes, after RedisInsight: strings above 100 kB, hashes above 5,000 fields,
    lists and sets above 1,000 members; queues of the platform file may be long. 10 MB: our own.
    """
    lengths = {
        "string": max_string_bytes,
        "hash": max_hash,
        "list": max_members,
        "set": max_members,
        "zset": max_members,
        "stream": max_members,
    }
    rows = redis_big_keys.assign(
        max_length=redis_big_keys.type.map(lengths),
        unit=redis_big_keys.type.map({"string": "bytes", "hash": "fields"}).fillna("members"),
    )
    too_long = (rows.length > rows.max_length) & (rows.kind != "queue")
    return rows[too_long | (rows.bytes > max_bytes)].sort_values("bytes", ascending=False)


@check(
    section="05",
    severity="note",
    subject="redis/{instance}, {key}",
    because="{type} with use counter {frequency} of 255 (limit {max_frequency})",
    guide=("C075",),
)
def no_key_is_too_hot(redis_hot_keys, *, max_frequency=142):
    """No key has a use counter above {max_frequency}.

    All uses of one key go to one instance, and one thread. The counter is logarithmic: 142 means about 100,000 uses with the default
    lfu-log-factor 10 (table in redis.conf).
    """
    rows = redis_hot_keys[redis_hot_keys.frequency > max_frequency]
    return rows.sort_values("frequency", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="redis/{instance}, {key}",
    because="{forever:number} of {keys:number} cache keys never expire ({forever_ratio:percent}, limit {max_ratio:percent})",
    guide=("C041", "C075"),
)
def cache_keys_expire(redis_prefixes, *, max_ratio=0.01):
    """Less than {max_ratio:percent} of the cache keys never expire.

    A cache without time to live grows until it fills the memory; then Redis evicts critical keys or rejects writes. 1 %: our own.
    """
    rows = redis_prefixes[redis_prefixes.kind == "cache"]
    rows = rows.assign(forever=rows["keys"] - rows.keys_with_ttl)
    rows["forever_ratio"] = rows.forever / rows["keys"]
    return rows[rows.forever_ratio > max_ratio].sort_values("forever", ascending=False)


@check(
    section="05",
    severity="note",
    subject="redis/{instance}",
    because="{what}",
    guide=("C075",),
)
def redis_keyspace_is_simple(redis_keyspace, *, max_keys=1_000_000):
    """Redis has less than {max_keys:number} keys, all in one numbered database.

    After RedisInsight. Numbered databases share memory, limits and the one thread, so they isolate no workload; and each of a million
    keys costs memory for its name.
    """
    many = redis_keyspace[redis_keyspace["keys"] > max_keys]
    many = many.assign(what=[f"{keys:,} keys in database {db}" for keys, db in zip(many["keys"], many.db, strict=True)])
    count = redis_keyspace.groupby("instance").db.transform("nunique")
    spread = redis_keyspace.assign(what="keys in " + count.astype(str) + " numbered databases")
    return pd.concat([many, spread[count > 1].drop_duplicates("instance")])

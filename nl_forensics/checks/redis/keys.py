"""Rules about keys: none is too big or too hot, those of the cache expire."""

import pandas as pd

from nl_forensics.checks.rule import check

MB = 1024 * 1024


@check(
    section="05",
    severity="note",
    subject="{instance}: {key}",
    because="a {type} of {bytes:bytes} with {length:number} {unit} (limits {max_length:number} {unit}, {max_bytes:bytes})",
    guide=("C075",),
)
def no_key_is_too_big(
    redis_big_keys, *, max_string_bytes=100_000, max_hash=5_000, max_members=1_000, max_bytes=10 * MB
):
    """No key holds more than {max_bytes:bytes}.

    Reading, expiring or deleting a big key holds Redis for its whole length. As notes, after RedisInsight: strings above 100 kB, hashes
    above 5,000 fields, lists and sets above 1,000 members; the queues that the platform file names may be long. 10 MB: our own.
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
        severity=(redis_big_keys.bytes > max_bytes).map({True: "medium", False: "note"}),
    )
    too_long = (rows.length > rows.max_length) & (rows.kind != "queue")
    return rows[too_long | (rows.bytes > max_bytes)].sort_values("bytes", ascending=False)


@check(
    section="05",
    severity="note",
    subject="{instance}: {key}",
    because="a {type} with a use count of {frequency} of 255 (limit {max_frequency})",
    guide=("C075",),
)
def no_key_is_too_hot(redis_hot_keys, *, max_frequency=142):
    """No key is used so much that its counter passes {max_frequency}.

    All uses of one key go to one instance, and one thread. The counter is a logarithm: 142 stands for about 100,000 uses with the usual
    lfu-log-factor 10 (the table in redis.conf).
    """
    rows = redis_hot_keys[redis_hot_keys.frequency > max_frequency]
    return rows.sort_values("frequency", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="{instance}: {key}",
    because="{forever:number} of {keys:number} keys of the cache never expire ({forever_ratio:percent}, limit {max_ratio:percent})",
    guide=("C041", "C075"),
)
def cache_keys_expire(redis_prefixes, *, max_ratio=0.01):
    """Less than {max_ratio:percent} of the cache's keys live for ever.

    A cache without time to live grows until it fills the memory, and then pushes out what is precious or has writes refused. 1 %: our
    own.
    """
    rows = redis_prefixes[redis_prefixes.kind == "cache"]
    rows = rows.assign(forever=rows["keys"] - rows.keys_with_ttl)
    rows["forever_ratio"] = rows.forever / rows["keys"]
    return rows[rows.forever_ratio > max_ratio].sort_values("forever", ascending=False)


@check(
    section="05",
    severity="note",
    subject="{instance}",
    because="{what}",
    guide=("C075",),
)
def redis_keyspace_is_simple(redis_keyspace, *, max_keys=1_000_000):
    """Redis has less than {max_keys:number} keys, all in one numbered database.

    After RedisInsight. Numbered databases share memory, limits and the one thread, so they do not separate anything; and each of a
    million keys costs memory for its name.
    """
    many = redis_keyspace[redis_keyspace["keys"] > max_keys]
    many = many.assign(what=[f"{keys:,} keys in database {db}" for keys, db in zip(many["keys"], many.db, strict=True)])
    count = redis_keyspace.groupby("instance").db.transform("nunique")
    spread = redis_keyspace.assign(what="keys in " + count.astype(str) + " numbered databases")
    return pd.concat([many, spread[count > 1].drop_duplicates("instance")])

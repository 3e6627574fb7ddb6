"""What the keys are: a sample by SCAN, within a budget of keys and of time. Never KEYS, never a value."""

import heapq
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from nl_forensics.inputs.platform import Platform
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.redis.names import kind, pattern

BATCH = 500
BIGGEST, HOTTEST, MAX_PATTERNS = 50, 20, 200
LENGTH = {"string": "STRLEN", "list": "LLEN", "hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "stream": "XLEN"}
SCANS = "+scan +dbsize +type +pttl +memory|usage +strlen +llen +hlen +scard +zcard +xlen +object|freq +info"


@dataclass
class Sample:
    """The sums over the keys that were sampled; nothing grows with their number.

    prefixes   {(pattern, type, kind): sums}
    biggest    heap of (bytes, number, record); hottest: the same by frequency, where the policy is LFU
    """

    total: int
    lfu: bool
    seen: int = 0
    whole: bool = False
    prefixes: dict = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    biggest: list = field(default_factory=list)
    hottest: list = field(default_factory=list)

    def add(self, record: dict) -> None:
        """Count one key."""
        self.seen += 1
        sums = self.prefixes[self._group(record)]
        sums["keys"] += 1
        sums["keys_with_ttl"] += record["ttl_s"] is not None
        sums["bytes"] += record["bytes"]
        sums["biggest_bytes"] = max(sums["biggest_bytes"], record["bytes"])
        sums["longest"] = max(sums["longest"], record["length"] or 0)
        _keep(self.biggest, BIGGEST, record["bytes"], self.seen, record)
        if self.lfu:
            _keep(self.hottest, HOTTEST, record["frequency"] or 0, self.seen, record)

    def _group(self, record: dict) -> tuple[str, str, str]:
        group = record["key"], record["type"], record["kind"]
        return group if group in self.prefixes or len(self.prefixes) < MAX_PATTERNS else ("(others)", *group[1:])

    def unseen(self, database: int) -> Iterator[Partial]:
        """The part of the keys that the budget left out."""
        if not self.whole:
            share = max(0.0, 1 - self.seen / max(1, self.total))
            yield Partial(
                f"{share:.0%} of the {self.total:,} keys of database {database}",
                "raise budget.redis_scan_keys and budget.redis_scan_s",
            )


def _keep(heap: list, most: int, rank: int, number: int, record: dict) -> None:
    """Hold the `most` largest."""
    if len(heap) < most:
        heapq.heappush(heap, (rank, number, record))
    elif rank > heap[0][0]:
        heapq.heapreplace(heap, (rank, number, record))


@lru_cache(maxsize=1)
def sample(redis, platform_json: str) -> Sample:
    """One walk for all sources of this module: reading a key costs the server the same for each of them."""
    platform = Platform.model_validate_json(platform_json)
    policy = redis.call("INFO", "memory").get("maxmemory_policy", "")
    found = Sample(total=redis.call("DBSIZE"), lfu=policy.endswith("lfu"))
    deadline, cursor, looked_at = time.monotonic() + platform.budget.redis_scan_s, "0", 0
    while looked_at < platform.budget.redis_scan_keys and time.monotonic() < deadline:
        cursor, keys = redis.call("SCAN", cursor, "COUNT", BATCH)
        looked_at += len(keys)
        for record in _look_at(redis, keys, found.lfu, platform.redis):
            found.add(record)
        if int(cursor) == 0:
            found.whole = True
            break
    return found


def _look_at(redis, keys: list[str], lfu: bool, names) -> Iterator[dict]:
    """Type, time to live, bytes and length of each key; one that is gone meanwhile is left out."""
    asked = [
        [("TYPE", key), ("PTTL", key), ("MEMORY", "USAGE", key, "SAMPLES", 5), *([("OBJECT", "FREQ", key)] * lfu)]
        for key in keys
    ]
    answers = iter(redis.pipeline([command for commands in asked for command in commands]))
    facts = [[next(answers) for _ in commands] for commands in asked]
    here = [(key, *fact) for key, fact in zip(keys, facts, strict=True) if isinstance(fact[2], int)]
    measured = iter(redis.pipeline([(LENGTH[kind_], key) for key, kind_, *_ in here if kind_ in LENGTH]))
    for key, type_, ttl_ms, size, *frequency in here:
        length = next(measured) if type_ in LENGTH else None
        yield {
            "key": pattern(key, names),
            "kind": kind(key, names),
            "type": type_,
            "bytes": size,
            "length": length if isinstance(length, int) else None,
            "ttl_s": ttl_ms / 1000 if ttl_ms >= 0 else None,
            "frequency": frequency[0] if frequency and isinstance(frequency[0], int) else None,
        }


def _sample(redis, platform: Platform) -> Sample:
    return sample(redis, platform.model_dump_json())


@source(
    columns={
        "key": Column(
            "str",
            "pattern of the key (`usage:*`): the parts after the leading words identify customers and are not recorded",
        ),
        "type": Column("str", "type of the keys: `string`, `list`, `hash`, …"),
        "kind": Column("str", "role of the key in the platform file: `queue`, `precious`, `cache`, or empty"),
        "keys": Column("Int64", "keys in the sample"),
        "keys_with_ttl": Column("Int64", "of these, keys that expire"),
        "bytes": Column("Int64", "memory of all of them, as MEMORY USAGE estimates it from 5 elements"),
        "biggest_bytes": Column("Int64", "memory of the largest of them"),
        "longest": Column("Int64", "number of elements of the longest; bytes, for strings"),
    },
    covers="now",
    needs=Permission(redis=SCANS),
    guide=("C041", "C075", "C077"),
)
def redis_prefixes(redis, platform):
    """Keys by pattern and type; one row per pattern and type, largest first.

    At most budget.redis_scan_keys keys within budget.redis_scan_s. SCAN follows the order of hashes, so part of the keys is a fair
    sample: shares are valid, sums are not."""
    found = _sample(redis, platform)
    yield Proof(f"{found.seen:,} of {found.total:,} keys of database {redis.database} were sampled")
    for (key, type_, kind_), sums in sorted(found.prefixes.items(), key=lambda item: -item[1]["bytes"]):
        yield {"key": key, "type": type_, "kind": kind_, **sums}
    yield from found.unseen(redis.database)
    yield from _other_databases(redis)


def _other_databases(redis) -> Iterator[Partial]:
    others = [name for name in redis.call("INFO", "keyspace") if name != f"db{redis.database}"]
    if others:
        yield Partial(f"the keys of {', '.join(others)}", "add an instance with an address that ends in that number")


@source(
    columns={
        "key": Column(
            "str",
            "pattern of the key, or its whole name if it is one word or in the platform file",
        ),
        "type": Column("str", "type of the key: `string`, `list`, `hash`, …"),
        "kind": Column("str", "role of the key in the platform file: `queue`, `precious`, `cache`, or empty"),
        "bytes": Column("Int64", "memory of the key, as MEMORY USAGE estimates it from 5 elements"),
        "length": Column(
            "Int64",
            "number of elements; bytes, for a string",
            unknown="the type belongs to a module, or the key changed during the scan",
        ),
        "ttl_s": Column("float64", "time until it expires", absent="the key never expires"),
    },
    covers="now",
    needs=Permission(redis=SCANS),
    guide=("C075",),
)
def redis_big_keys(redis, platform):
    """Largest keys of the sample; one row per key, 50 at most, largest first.

    To find a key by its pattern: `SCAN 0 MATCH <pattern> TYPE <type>`, with MEMORY USAGE of each.
    """
    found = _sample(redis, platform)
    yield Proof(f"{found.seen:,} of {found.total:,} keys of database {redis.database} were sampled")
    yield from (record for _, _, record in sorted(found.biggest, reverse=True, key=lambda entry: entry[:2]))
    yield from found.unseen(redis.database)
    yield from _other_databases(redis)


@source(
    columns={
        "key": Column(
            "str",
            "pattern of the key (`usage:*`): the parts after the leading words identify customers and are not recorded",
        ),
        "type": Column("str", "type of the key: `string`, `list`, `hash`, …"),
        "kind": Column("str", "role of the key in the platform file: `queue`, `precious`, `cache`, or empty"),
        "frequency": Column(
            "Int64",
            "use counter, 0 to 255, logarithmic and decaying: with the default lfu-log-factor 10, 100,000 uses give about 142",
        ),
        "bytes": Column("Int64", "memory of the key, as MEMORY USAGE estimates it from 5 elements"),
    },
    covers="now",
    needs=Permission(redis=SCANS),
    guide=("C075",),
)
def redis_hot_keys(redis, platform):
    """Most used keys of the sample; one row per key, 20 at most, hottest first.

    Redis counts uses only with an LFU maxmemory-policy."""
    found = _sample(redis, platform)
    if not found.lfu:
        yield Partial("which keys are used most: Redis counts uses only under an LFU maxmemory-policy")
        return
    yield Proof(f"{found.seen:,} of {found.total:,} keys of database {redis.database} were sampled")
    yield from (record for _, _, record in sorted(found.hottest, reverse=True, key=lambda entry: entry[:2]))
    yield from found.unseen(redis.database)


@source(
    columns={
        "key": Column("str", "pattern of critical keys, from redis.precious in the platform file"),
        "policy": Column("str", "maxmemory-policy: what Redis evicts at the limit"),
        "limit_bytes": Column("Int64", "maxmemory; 0: no limit"),
        "keys": Column("Int64", "keys of this pattern in the sample"),
        "keys_with_ttl": Column("Int64", "of these, keys that expire"),
    },
    covers="now",
    needs=Permission(redis=SCANS),
    guide=("C041", "C077"),
)
def redis_precious(redis, platform):
    """Whether critical keys share this instance with an eviction policy; one row per pattern of redis.precious.

    Where nothing can be evicted (no limit, or `noeviction`), the keys outside the sample do not matter."""
    memory = redis.call("INFO", "memory")
    policy, limit = memory["maxmemory_policy"], memory["maxmemory"]
    found = _sample(redis, platform)
    yield Proof(f"the platform file names {len(platform.redis.precious)} patterns; the policy is {policy}")
    seen = {key: {"keys": 0, "keys_with_ttl": 0} for key in platform.redis.precious}
    for (key, _, _), sums in found.prefixes.items():
        if key in seen:
            seen[key] = {name: seen[key][name] + sums[name] for name in seen[key]}
    for key, counted in seen.items():
        yield {"key": key, "policy": policy, "limit_bytes": limit, **counted}
    within_reach = {"allkeys": "keys", "volatile": "keys_with_ttl"}.get(policy.split("-")[0])
    if limit and within_reach and not all(counted[within_reach] for counted in seen.values()):
        yield from found.unseen(redis.database)

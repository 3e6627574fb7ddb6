"""Tenants in Redis: the keys of each, and whether the user of one reaches the keys of another.

How keys and users are named: `tenants.keys` and `tenants.user` in the platform file.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterator

from nl_forensics.errors import NotServed
from nl_forensics.inputs.tenants import NUMBER, PLACE, by_number, finder
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.redis.names import readable

BATCH = 500
MAX_USERS = 1_000
ELSEWHERE = "tenant-that-is-another"  # no tenant has this name
READS = (("GET",), ("HGETALL",), ("LRANGE", "0", "-1"))  # of a key: the first word before it, the others after it


@source(
    columns={
        "pattern": Column("str", "pattern of the keys, from `tenants.keys` in the platform file"),
        "tenant": Column("str", "name or number of the tenant, as it is in the key"),
        "by_number": Column("boolean", "the keys hold the number of the tenant, not its name"),
        "keys": Column("Int64", "keys of the tenant that were seen"),
        "bytes": Column("Int64", "memory of all of them, as MEMORY USAGE estimates it from 5 elements"),
    },
    covers="now",
    needs=Permission(redis="+scan +dbsize +memory|usage +info"),
    about="tenants.keys",
    of_all_tenants=True,
    guide=("C101",),
)
def redis_tenant_keys(redis, platform):
    """Keys by tenant; one row per pattern and tenant. At most budget.redis_scan_keys keys within budget.redis_scan_s are looked at."""
    wanted = [(pattern, finder(pattern)) for pattern in platform.tenants.keys]
    total, looked_at, cursor, whole = redis.call("DBSIZE"), 0, "0", False
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    deadline = time.monotonic() + platform.budget.redis_scan_s
    while looked_at < platform.budget.redis_scan_keys and time.monotonic() < deadline:
        cursor, keys = redis.call("SCAN", cursor, "COUNT", BATCH)
        looked_at += len(keys)
        _add(redis, keys, wanted, sums)
        if whole := int(cursor) == 0:
            break
    yield Proof(f"{looked_at:,} of {total:,} keys of database {redis.database} were looked at")
    for (pattern, tenant), (number, size) in sorted(sums.items()):
        yield {
            "pattern": pattern,
            "tenant": readable(tenant),
            "by_number": by_number(pattern),
            "keys": number,
            "bytes": size,
        }
    if not whole:
        share = max(0.0, 1 - looked_at / max(1, total))
        remedy = "raise budget.redis_scan_keys and budget.redis_scan_s"
        yield Partial(f"{share:.0%} of the {total:,} keys of database {redis.database}", remedy)


def _add(redis, keys: list[str], wanted: list[tuple[str, re.Pattern]], sums: dict) -> None:
    found = [
        (pattern, match["tenant"], key) for key in keys for pattern, form in wanted if (match := form.fullmatch(key))
    ]
    sizes = redis.pipeline([("MEMORY", "USAGE", key, "SAMPLES", 5) for _, _, key in found]) if found else []
    for (pattern, tenant, _), size in zip(found, sizes, strict=True):
        if isinstance(size, int):  # the key is still there
            sums[pattern, tenant][0] += 1
            sums[pattern, tenant][1] += size


@source(
    columns={
        "user": Column("str", "Redis user of the tenant"),
        "tenant": Column("str", "name or number of the tenant, as it is in the name of the user"),
        "reaches": Column("str", "patterns of keys of other tenants that the user may read; empty if there are none"),
    },
    covers="now",
    needs=Permission(redis="+acl|users +acl|dryrun"),
    about="tenants.user",
    guide=("C101",),
)
def redis_tenant_users(redis, platform):
    """One row per Redis user of a tenant, 1,000 at most: which keys of other tenants Redis would let it read (ACL DRYRUN, Redis 7).

    No password, and no hash of one, is asked for. The default user is no tenant's.
    """
    names = platform.tenants
    form = finder(names.user)
    users = [(name, match["tenant"]) for name in redis.call("ACL", "USERS") if (match := form.fullmatch(name))]
    yield Proof(f"Redis has {len(users)} users of tenants")
    for name, tenant in users[:MAX_USERS]:
        reached = [pattern for pattern in names.keys if _may_read(redis, name, pattern)]
        yield {"user": readable(name), "tenant": readable(tenant), "reaches": ", ".join(reached)}
    if len(users) > MAX_USERS:
        yield Partial(f"{len(users) - MAX_USERS} users of tenants")


def _may_read(redis, user: str, pattern: str) -> bool:
    """Whether Redis would let the user read such a key of another tenant."""
    key = pattern.replace(PLACE, ELSEWHERE).replace(NUMBER, ELSEWHERE).replace("*", "x")
    answers = redis.pipeline([("ACL", "DRYRUN", user, first, key, *others) for first, *others in READS])
    return any(str(answer) == "OK" for answer in _texts(answers))


def _texts(answers: list) -> Iterator[str]:
    """`OK`, or the sentence of a refusal; an error is no answer."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise NotServed(f"Redis does not answer ACL DRYRUN: {answer}", "Redis 7.0 or newer does")
        yield str(answer)

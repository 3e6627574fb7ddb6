"""Rules about the memory of Redis: it suffices, and Redis evicts no critical key."""

import pandas as pd

from nl_forensics.checks.rule import check

MB = 1024 * 1024


@check(
    section="05",
    severity="high",
    critical="used_ratio > critical_ratio",
    subject="redis/{instance}",
    because="uses {used_ratio:percent} of maxmemory, {used_bytes:bytes} of {limit_bytes:bytes} (limit {max_ratio:percent});"
    " at 100 % policy {policy} applies",
    guide=("C074",),
)
def redis_memory_is_below_its_limit(redis_memory, *, max_ratio=0.9, critical_ratio=0.95):
    """Redis uses less than {max_ratio:percent} of its maxmemory.

    At the limit Redis evicts keys or rejects writes, depending on its policy. 90 %: awesome-prometheus-alerts; critical above 95 %: our
    own. Buffers of replicas and of the append-only file do not count towards maxmemory and are subtracted.
    """
    rows = redis_memory[redis_memory.limit_bytes > 0]
    rows = rows.assign(used_ratio=(rows.used_bytes - rows.not_counted_bytes) / rows.limit_bytes)
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="critical",
    subject="redis/{instance}",
    because="uses {used_ratio:percent} of the machine's memory, {rss_bytes:bytes} of {machine_bytes:bytes} (limit {max_ratio:percent})",
    guide=("C074",),
)
def redis_fits_into_its_machine(redis_memory, *, max_ratio=0.9):
    """The Redis process uses less than {max_ratio:percent} of the machine's memory.

    Above that the kernel may OOM-kill it. 90 %: awesome-prometheus-alerts and the mixin of redis_exporter. Redis cannot see the limit of
    its container, which is lower.
    """
    rows = redis_memory.assign(used_ratio=redis_memory.rss_bytes / redis_memory.machine_bytes)
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="medium",
    critical="evicted_keys_delta > 0",
    high="evicted_keys > 0",
    subject="redis/{instance}, {key}",
    because="policy {policy} can evict these keys at {limit_bytes:bytes} ({keys:number} in the sample); keys of any kind evicted:"
    " {evicted_keys_delta:number} in {seconds:seconds}, {evicted_keys:number} since the start",
    guide=("C041", "C077"),
)
def no_critical_key_can_be_evicted(redis_precious, redis_counters):
    """Redis cannot evict a key that must not be lost.

    The queue and unbilled usage share this memory with the cache. `allkeys-*` evicts any key, `volatile-*` those that expire. Critical
    while Redis evicts keys, high if it evicted some since the start, medium if it only could. The grades are our own.
    """
    rows = redis_precious.merge(redis_counters.drop(columns="asked_at"), on="instance")
    within_reach = (rows.policy.str.startswith("allkeys") & (rows["keys"] > 0)) | (
        rows.policy.str.startswith("volatile") & (rows.keys_with_ttl > 0)
    )
    return rows[within_reach & (rows.limit_bytes > 0)].sort_values("keys", ascending=False)


@check(
    section="05",
    severity="high",
    critical="answers_delta > 0",
    subject="redis/{instance}",
    because="Redis rejected {answers_delta:number} writes for lack of memory (OOM) in {seconds:seconds}, {answers:number} since the start",
    guide=("C074",),
)
def no_write_is_refused_for_memory(redis_errors):
    """Redis rejected no write for lack of memory since its start, or since CONFIG RESETSTAT.

    With the policy `noeviction`, or with no evictable key left, every write at maxmemory fails with OOM, and services lose logs and usage.
    Critical while it happens, high if it only happened since the start; the value 0 is our own.
    """
    return redis_errors[(redis_errors.error == "OOM") & (redis_errors.answers > 0)]


@check(
    section="05",
    severity="medium",
    note="part != 'process'",
    subject="redis/{instance}",
    because="fragmentation of the {part}: ratio {ratio:.2f}, {wasted_bytes:bytes} wasted (limits {limit:.1f} and {min_bytes:bytes})",
    guide=("C074",),
)
def redis_memory_is_not_fragmented(
    redis_memory, *, max_total=1.4, max_part=1.1, min_bytes=10 * MB, min_used_bytes=5 * MB
):
    """Redis uses less than {max_total:.1f} times the memory of its data.

    The rules of MEMORY DOCTOR: ratio 1.4 for the process; 1.1 for the allocator's fragmentation, pages that the allocator has not returned,
    and the process outside the allocator; each with 10 MB at least, and none below 5 MB of data. The total is medium, its parts are notes
    that show the place.
    """
    found = [
        _fragmented(redis_memory, "process", "fragmentation", max_total),
        _fragmented(redis_memory, "allocator", "allocator_fragmentation", max_part),
        _fragmented(redis_memory, "allocator (pages not returned)", "allocator_rss", max_part),
        _fragmented(redis_memory, "process outside the allocator", "process_rss", max_part),
    ]
    rows = pd.concat(found)
    return rows[(rows.ratio > rows.limit) & (rows.wasted_bytes > min_bytes) & (rows.used_bytes > min_used_bytes)]


def _fragmented(memory: pd.DataFrame, part: str, name: str, limit: float) -> pd.DataFrame:
    return memory.assign(part=part, ratio=memory[f"{name}_ratio"], wasted_bytes=memory[f"{name}_bytes"], limit=limit)


@check(
    section="05",
    severity="note",
    subject="redis/{instance}",
    because="peak memory {peak_bytes:bytes} is {ratio:.1f}× the current {used_bytes:bytes} (limit {max_ratio:.1f}×)",
    guide=("C074",),
)
def redis_memory_is_near_its_peak(redis_memory, *, max_ratio=1.5, min_used_bytes=5 * MB):
    """Peak memory of Redis is below {max_ratio:.1f}× its current memory.

    The process keeps memory after a peak, which inflates its fragmentation ratio. 1.5 and the floor of 5 MB: MEMORY DOCTOR.
    """
    rows = redis_memory[redis_memory.used_bytes > min_used_bytes]
    rows = rows.assign(ratio=rows.peak_bytes / rows.used_bytes)
    return rows[rows.ratio > max_ratio].sort_values("ratio", ascending=False)

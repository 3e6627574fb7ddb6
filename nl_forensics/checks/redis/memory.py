"""Rules about the memory of Redis: it suffices, and nothing precious is thrown out."""

import pandas as pd

from nl_forensics.checks.rule import check

MB = 1024 * 1024


@check(
    section="05",
    severity="high",
    subject="{instance}",
    because="uses {used_ratio:percent} of maxmemory, {used_bytes:bytes} of {limit_bytes:bytes} (limit {max_ratio:percent});"
    " at the limit its policy {policy} applies",
    guide=("C074",),
)
def redis_memory_is_below_its_limit(redis_memory, *, max_ratio=0.9, critical_ratio=0.95):
    """Redis uses less than {max_ratio:percent} of its maxmemory.

    At the limit Redis throws keys out, or refuses writes, as its policy says. 90 %: awesome-prometheus-alerts; 95 %: our own.
    Buffers of replicas and of the append-only file do not count towards maxmemory, so they are taken off.
    """
    rows = redis_memory[redis_memory.limit_bytes > 0]
    rows = rows.assign(used_ratio=(rows.used_bytes - rows.not_counted_bytes) / rows.limit_bytes)
    rows["severity"] = (rows.used_ratio > critical_ratio).map({True: "critical", False: "high"})
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="critical",
    subject="{instance}",
    because="takes {used_ratio:percent} of the machine's memory, {rss_bytes:bytes} of {machine_bytes:bytes} (limit {max_ratio:percent})",
    guide=("C074",),
)
def redis_fits_into_its_machine(redis_memory, *, max_ratio=0.9):
    """The Redis process takes less than {max_ratio:percent} of the machine's memory.

    Beyond that the kernel kills it. 90 %: awesome-prometheus-alerts and the mixin of redis_exporter. The limit of a container is not
    visible from inside Redis: where there is one, it is lower.
    """
    rows = redis_memory.assign(used_ratio=redis_memory.rss_bytes / redis_memory.machine_bytes)
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="{instance}: {key}",
    because="can be thrown out: policy {policy} at {limit_bytes:bytes}, such keys seen: {keys:number}; keys of any kind evicted since the"
    " start: {evicted_keys:number}, of them in the last {seconds:seconds}: {evicted_keys_delta:number}",
    guide=("C041", "C077"),
)
def no_precious_key_can_be_evicted(redis_precious, redis_counters):
    """No key that must not get lost lies where Redis may evict it.

    The queue and unbilled usage share this memory with the cache. `allkeys-*` evicts any key, `volatile-*` those that expire. Critical
    while keys are being evicted, high when some were since the start, medium while it only could happen. The values are our own.
    """
    rows = redis_precious.merge(redis_counters.drop(columns="asked_at"), on="instance")
    within_reach = (rows.policy.str.startswith("allkeys") & (rows["keys"] > 0)) | (
        rows.policy.str.startswith("volatile") & (rows.keys_with_ttl > 0)
    )
    rows["severity"] = "medium"
    rows.loc[rows.evicted_keys > 0, "severity"] = "high"
    rows.loc[rows.evicted_keys_delta > 0, "severity"] = "critical"
    return rows[within_reach & (rows.limit_bytes > 0)].sort_values("keys", ascending=False)


@check(
    section="05",
    severity="critical",
    subject="{instance}",
    because="writes refused for lack of memory (OOM) since its start: {answers:number}, of them in the last {seconds:seconds}:"
    " {answers_delta:number}",
    guide=("C074",),
)
def no_write_is_refused_for_memory(redis_errors):
    """Redis refused no write for lack of memory since its start, or since its statistics were reset.

    With the policy `noeviction`, or with nothing left to evict, every write at maxmemory fails with OOM: logs and usage are lost by the
    services that write them. Critical while it happens, high when it only happened since the start; the value 0 is our own.
    """
    rows = redis_errors[(redis_errors.error == "OOM") & (redis_errors.answers > 0)]
    return rows.assign(severity=(rows.answers_delta > 0).map({True: "critical", False: "high"}))


@check(
    section="05",
    severity="medium",
    subject="{instance}",
    because="{part} is {ratio:.2f} times what it should be, {wasted_bytes:bytes} more (limits {limit:.1f} and {min_bytes:bytes})",
    guide=("C074",),
)
def redis_memory_is_not_fragmented(
    redis_memory, *, max_total=1.4, max_part=1.1, min_bytes=10 * MB, min_used_bytes=5 * MB
):
    """Redis takes less than {max_total:.1f} times the memory of its data.

    The rules of MEMORY DOCTOR: 1.4 in all; 1.1 for the allocator's fragmentation, what the allocator keeps, and what the process takes
    besides; each with 10 MB at least, and none below 5 MB of data. The total is of medium severity, its parts are notes that say where.
    """
    found = [
        _fragmented(redis_memory, "memory of the process", "fragmentation", max_total, "medium"),
        _fragmented(redis_memory, "fragmented memory of the allocator", "allocator_fragmentation", max_part, "note"),
        _fragmented(redis_memory, "memory that the allocator keeps", "allocator_rss", max_part, "note"),
        _fragmented(redis_memory, "memory of the process besides data", "process_rss", max_part, "note"),
    ]
    rows = pd.concat(found)
    return rows[(rows.ratio > rows.limit) & (rows.wasted_bytes > min_bytes) & (rows.used_bytes > min_used_bytes)]


def _fragmented(memory: pd.DataFrame, part: str, name: str, limit: float, severity: str) -> pd.DataFrame:
    ratio, wasted = memory[f"{name}_ratio"], memory[f"{name}_bytes"]
    return memory.assign(part=part, ratio=ratio, wasted_bytes=wasted, limit=limit, severity=severity)


@check(
    section="05",
    severity="note",
    subject="{instance}",
    because="once used {peak_bytes:bytes}, {ratio:.1f} times the {used_bytes:bytes} of now (limit {max_ratio:.1f})",
    guide=("C074",),
)
def redis_memory_is_near_its_peak(redis_memory, *, max_ratio=1.5, min_used_bytes=5 * MB):
    """Redis never used more than {max_ratio:.1f} times the memory that it uses now.

    Memory after a peak stays with the process and makes its fragmentation look worse than it is. 1.5 and the floor of 5 MB: MEMORY
    DOCTOR.
    """
    rows = redis_memory[redis_memory.used_bytes > min_used_bytes]
    rows = rows.assign(ratio=rows.peak_bytes / rows.used_bytes)
    return rows[rows.ratio > max_ratio].sort_values("ratio", ascending=False)

"""Rules about Redis commands: they are fast and succeed."""

import pandas as pd

from nl_forensics.checks.rule import check

# What each latency event means, after LATENCY DOCTOR.
EVENTS = {
    "command": "a slow command: see the slow log",
    "fast-command": "a fast command was slow: the process got no CPU, or the machine is overloaded",
    "fork": "fork for a snapshot copied the page tables; the more memory, the longer",
    "expire-cycle": "many keys expired at once",
    "expire-del": "many keys expired at once",
    "eviction-cycle": "many keys were evicted at once for lack of memory",
    "eviction-del": "many keys were evicted at once for lack of memory",
    "active-defrag-cycle": "memory was defragmented",
    "rdb-unlink-temp-file": "a snapshot file was removed: slow disk",
}
WALKS = ("keys", "sort", "smembers", "hgetall", "lrange", "zrange", "sunion", "sinter", "sdiff", "hvals", "hkeys")
FLUSHES = ("flushdb", "flushall")
# Error codes that show that a service can't do its work. Not among them: `ERR` (client libraries send commands of newer servers with every
# connection), `NOSCRIPT`, `MOVED`, `ASK`, `BUSYGROUP` (part of normal protocols).
CRITICAL_ERRORS = {
    "MISCONF": "Redis rejects writes because the last snapshot failed",
    "READONLY": "clients send writes to a replica",
    "MASTERDOWN": "a replica without its primary rejects commands",
    "NOREPLICAS": "Redis rejects writes because too few replicas are linked",
    "CLUSTERDOWN": "part of the cluster is missing",
}
HIGH_ERRORS = {"LOADING": "Redis was still loading its data", "BUSY": "a script blocked Redis"}
MEDIUM_ERRORS = {
    "NOPERM": "an ACL denies a command to a user",
    "NOAUTH": "a client sends commands without a password",
    "WRONGPASS": "a client logs in with a wrong password",
    "WRONGTYPE": "a command was sent to a key of another type: a bug of a service",
    "EXECABORT": "a transaction was aborted because one of its commands was invalid",
}
ERRORS = CRITICAL_ERRORS | HIGH_ERRORS | MEDIUM_ERRORS


@check(
    section="05",
    severity="medium",
    high="duration_ms > high_ms",
    subject="redis/{instance}, {command}",
    because="blocked Redis for {duration_ms:.0f} ms at {at:%H:%M:%S} UTC (limit {max_ms:.0f} ms; SLOWLOG)",
    at="at",
    guide=("C076",),
)
def no_command_blocks_redis(redis_slowlog, *, max_ms=10, high_ms=100):
    """No command blocks Redis for longer than {max_ms:.0f} ms.

    Redis runs one command at a time, so a slow one delays every client. 10 ms: the default of slowlog-log-slower-than; high above 100 ms
    (our own).
    """
    return redis_slowlog[redis_slowlog.duration_ms > max_ms].sort_values("duration_ms", ascending=False)


@check(
    section="05",
    severity="medium",
    note="is_rare_keys",
    subject="redis/{instance}, {command}",
    because="{why}: {calls_delta:number} calls in {seconds:seconds}, {calls:number} since the start, {mean_ms:.1f} ms on average",
    guide=("C075", "C076", "C109"),
)
def no_command_walks_all_keys(redis_commands, *, max_mean_ms=10):
    """No client uses KEYS, or reads whole collections in {max_mean_ms:.0f} ms or more.

    KEYS scans all keys in one step (114 ms for a million keys), SCAN in many. SORT, HGETALL, SMEMBERS and the like read a whole
    collection: harmless for small ones, so they count only if their mean exceeds 10 ms, the default of slowlog-log-slower-than. KEYS
    before the two readings is a note, between them medium.
    """
    rows = redis_commands.assign(mean_ms=redis_commands.spent_ms / redis_commands.calls.where(redis_commands.calls > 0))
    keys = rows[(rows.command == "keys") & (rows.calls > 0)]
    slow = rows[rows.command.isin(WALKS) & (rows.mean_ms > max_mean_ms)]
    is_rare = ~((keys.calls_delta > 0) | (keys.mean_ms > max_mean_ms)).fillna(False)
    return pd.concat(
        [
            slow.assign(why="reads whole collections", is_rare_keys=False),
            keys.assign(why="scans all keys in one step", is_rare_keys=is_rare),
        ]
    ).drop_duplicates(["instance", "command"])


@check(
    section="05",
    severity="high",
    subject="redis/{instance}, {command}",
    because="{calls:number} calls since the start, {calls_delta:number} in the last {seconds:seconds}; each deleted all keys of a database",
    guide=("C041", "C077"),
)
def redis_was_not_flushed(redis_commands):
    """Redis was not flushed since its start, or since CONFIG RESETSTAT.

    FLUSHDB and FLUSHALL delete the cache, and with it the queue and the unbilled usage in the same database. Redis records no time,
    unless the command was slow enough for SLOWLOG.
    """
    return redis_commands[redis_commands.command.isin(FLUSHES) & (redis_commands.calls > 0)]


@check(
    section="05",
    severity="medium",
    high="duration_ms > high_ms",
    subject="redis/{instance}, {event}",
    because="Redis was blocked for {duration_ms} ms at {at:%H:%M:%S} UTC (limit {max_ms:.0f} ms): {means}",
    at="at",
    guide=("C076",),
)
def redis_has_no_latency_event(redis_latency_events, *, max_ms=100, high_ms=1000):
    """Redis was never blocked for longer than {max_ms:.0f} ms.

    By its latency monitor, which also covers causes other than slow commands: forks, a slow disk, mass expiry. 100 ms: recommended by the
    documentation of the latency monitor; high above 1 s (our own).
    """
    rows = redis_latency_events[redis_latency_events.duration_ms > max_ms].sort_values("duration_ms", ascending=False)
    means = (
        rows.event.map(EVENTS)
        .fillna("a write to the append-only file waited for the disk")
        .where(rows.event.isin(EVENTS) | rows.event.str.startswith("aof"), "an event of this server version")
    )
    return rows.assign(means=means)


@check(
    section="05",
    severity="medium",
    subject="redis/{instance}, {command}",
    because="p99 latency {p99_ms:.1f} ms since the start of the server (limit {max_p99_ms:.0f} ms), p50 {p50_ms:.3f} ms",
    guide=("C076",),
)
def redis_commands_are_fast(redis_latency_percentiles, *, max_p99_ms=10):
    """p99 latency of every command is below {max_p99_ms:.0f} ms.

    Since the start of the server. 10 ms: our own, the default of slowlog-log-slower-than.
    """
    rows = redis_latency_percentiles[redis_latency_percentiles.p99_ms > max_p99_ms]
    return rows.sort_values("p99_ms", ascending=False)


@check(
    section="05",
    severity="medium",
    critical="is_critical",
    high="is_high",
    subject="redis/{instance}, {error}",
    because="{means}: {answers_delta:number} such replies in {seconds:seconds}, {answers:number} since the start",
)
def redis_answers_without_errors(redis_errors):
    """Redis sent no error reply between the two readings that stops a service.

    Rejected writes, rejected logins, wrong types. OOM has a rule of its own. `ERR` is left out: client libraries that are newer than the
    server cause some with every connection.
    """
    rows = redis_errors[redis_errors.error.isin(ERRORS) & (redis_errors.answers_delta > 0)]
    rows = rows.assign(
        means=rows.error.map(ERRORS), is_critical=rows.error.isin(CRITICAL_ERRORS), is_high=rows.error.isin(HIGH_ERRORS)
    )
    return rows.sort_values("answers_delta", ascending=False)


@check(
    section="05",
    severity="note",
    subject="redis/{instance}",
    because="cache hit ratio {hit_ratio:percent} ({lookups:number} lookups in {seconds:seconds}, limit {min_ratio:percent})",
)
def lookups_find_their_key(redis_counters, *, min_ratio=0.8, min_lookups=100):
    """At least {min_ratio:percent} of the lookups find their key.

    Cache misses move load to the database. 80 %: our own; fewer than 100 lookups between the two readings are no evidence.
    """
    lookups = redis_counters.hits_delta + redis_counters.misses_delta
    rows = redis_counters.assign(lookups=lookups, hit_ratio=redis_counters.hits_delta / lookups.where(lookups > 0))
    return rows[(rows.lookups >= min_lookups) & (rows.hit_ratio < min_ratio)].sort_values("hit_ratio")

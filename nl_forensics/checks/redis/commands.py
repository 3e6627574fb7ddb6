"""Rules about the commands that Redis is given: they are quick, and they succeed."""

import pandas as pd

from nl_forensics.checks.rule import check

# What each latency event means, after LATENCY DOCTOR.
EVENTS = {
    "command": "a slow command: see the slow log",
    "fast-command": "a command that is quick by nature: the process got no CPU, or the machine is overloaded",
    "fork": "copying the page tables to save a snapshot: the more memory, the longer",
    "expire-cycle": "many keys expired at once",
    "expire-del": "many keys expired at once",
    "eviction-cycle": "many keys were thrown out at once for lack of memory",
    "eviction-del": "many keys were thrown out at once for lack of memory",
    "active-defrag-cycle": "memory was defragmented",
    "rdb-unlink-temp-file": "removing a snapshot file: a slow disk",
}
WALKS = ("keys", "sort", "smembers", "hgetall", "lrange", "zrange", "sunion", "sinter", "sdiff", "hvals", "hkeys")
FLUSHES = ("flushdb", "flushall")
# Answers with a word of their own that say that a service can't do its work. Not among them: `ERR` (client libraries ask newer servers'
# commands of older ones with every connection), `NOSCRIPT`, `MOVED`, `ASK`, `BUSYGROUP` (a part of normal protocols).
SERIOUS = {
    "MISCONF": ("critical", "writes are refused because the last snapshot failed"),
    "READONLY": ("critical", "writes are sent to a replica"),
    "MASTERDOWN": ("critical", "a replica without its primary refuses to answer"),
    "NOREPLICAS": ("critical", "writes are refused because too few replicas are linked"),
    "CLUSTERDOWN": ("critical", "a part of the cluster is missing"),
    "LOADING": ("high", "Redis was still reading its data"),
    "BUSY": ("high", "a script held Redis"),
    "NOPERM": ("medium", "a user is not allowed what it tries"),
    "NOAUTH": ("medium", "somebody tries without a password"),
    "WRONGPASS": ("medium", "somebody tries with a wrong password"),
    "WRONGTYPE": ("medium", "a command meets a key of another type: a bug of a service"),
    "EXECABORT": ("medium", "a transaction was given up because one of its commands was wrong"),
}


@check(
    section="05",
    severity="medium",
    subject="{instance}: {command}",
    because="held Redis for {duration_ms:.0f} ms at {at:%H:%M:%S} UTC (limit {max_ms:.0f} ms)",
    at="at",
    guide=("C076",),
)
def no_command_blocks_redis(redis_slowlog, *, max_ms=10, high_ms=100):
    """No command holds Redis for longer than {max_ms:.0f} ms.

    Redis runs one command at a time, so a slow one delays every client. 10 ms: the default of slowlog-log-slower-than; from 100 ms on
    (our own) it is high.
    """
    rows = redis_slowlog[redis_slowlog.duration_ms > max_ms].sort_values("duration_ms", ascending=False)
    return rows.assign(severity=(rows.duration_ms > high_ms).map({True: "high", False: "medium"}))


@check(
    section="05",
    severity="medium",
    subject="{instance}: {command}",
    because="{why}: calls since the start {calls:number}, of them in the last {seconds:seconds} {calls_delta:number};"
    " {mean_ms:.1f} ms each",
    guide=("C075", "C076", "C109"),
)
def no_command_walks_all_keys(redis_commands, *, max_mean_ms=10):
    """Nobody uses KEYS, or reads collections so large that it takes {max_mean_ms:.0f} ms.

    KEYS walks every key in one go (114 ms for a million of them), where SCAN goes in steps. SORT, HGETALL, SMEMBERS and their like do so
    with a whole collection: harmless for small ones, so they count only when their mean is above 10 ms, the default of
    slowlog-log-slower-than. A single KEYS of the past is a note, one between the two readings is medium.
    """
    rows = redis_commands.assign(mean_ms=redis_commands.spent_ms / redis_commands.calls.where(redis_commands.calls > 0))
    keys = rows[(rows.command == "keys") & (rows.calls > 0)]
    slow = rows[rows.command.isin(WALKS) & (rows.mean_ms > max_mean_ms)]
    going_on = ((keys.calls_delta > 0) | (keys.mean_ms > max_mean_ms)).map({True: "medium", False: "note"})
    return pd.concat(
        [
            slow.assign(why="reads whole collections", severity="medium"),
            keys.assign(why="walks every key", severity=going_on),
        ]
    ).drop_duplicates(["instance", "command"])


@check(
    section="05",
    severity="high",
    subject="{instance}: {command}",
    because="calls since the start: {calls:number}, of them in the last {seconds:seconds}: {calls_delta:number}; with the cache went"
    " everything else in that database",
    guide=("C041", "C077"),
)
def nobody_flushed_redis(redis_commands):
    """Nobody emptied Redis since its start, or since its statistics were reset.

    FLUSHDB and FLUSHALL remove the cache, and with it the queue and the unbilled usage that lie in the same database. Redis does not say
    when it was, unless it was slow enough for the slow log.
    """
    return redis_commands[redis_commands.command.isin(FLUSHES) & (redis_commands.calls > 0)]


@check(
    section="05",
    severity="medium",
    subject="{instance}: {event}",
    because="stood still for {duration_ms} ms at {at:%H:%M:%S} UTC (limit {max_ms:.0f} ms): {means}",
    at="at",
    guide=("C076",),
)
def redis_never_stands_still(redis_latency_events, *, max_ms=100, high_ms=1000):
    """Redis never stood still for longer than {max_ms:.0f} ms.

    By its latency monitor, which also sees what no slow command explains: forks, a slow disk, mass expiry. 100 ms: the threshold that the
    documentation of the latency monitor recommends; 1 s: our own.
    """
    rows = redis_latency_events[redis_latency_events.duration_ms > max_ms].sort_values("duration_ms", ascending=False)
    means = (
        rows.event.map(EVENTS)
        .fillna("waiting for the disk under the append-only file")
        .where(rows.event.isin(EVENTS) | rows.event.str.startswith("aof"), "an event of this version of the server")
    )
    return rows.assign(means=means, severity=(rows.duration_ms > high_ms).map({True: "high", False: "medium"}))


@check(
    section="05",
    severity="medium",
    subject="{instance}: {command}",
    because="1 % of its calls took longer than {p99_ms:.1f} ms (limit {max_p99_ms:.0f} ms), half of them less than {p50_ms:.3f} ms",
    guide=("C076",),
)
def redis_commands_are_fast(redis_latency_percentiles, *, max_p99_ms=10):
    """Of every command, 99 % of the calls take less than {max_p99_ms:.0f} ms.

    Since the start of the server. 10 ms: our own, the default of slowlog-log-slower-than.
    """
    rows = redis_latency_percentiles[redis_latency_percentiles.p99_ms > max_p99_ms]
    return rows.sort_values("p99_ms", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="{instance}: {error}",
    because="{means}; such answers in the last {seconds:seconds}: {answers_delta:number}, since the start: {answers:number}",
)
def redis_answers_without_errors(redis_errors):
    """No answer between the two readings said that a service can't do its work.

    Refused writes, refused logins, wrong types. OOM has a rule of its own. What is counted as `ERR` is left out: client libraries get
    some with every connection when they are newer than the server.
    """
    rows = redis_errors[redis_errors.error.isin(SERIOUS) & (redis_errors.answers_delta > 0)]
    graded = {word: severity for word, (severity, _) in SERIOUS.items()}
    means = {word: text for word, (_, text) in SERIOUS.items()}
    return rows.assign(severity=rows.error.map(graded), means=rows.error.map(means)).sort_values(
        "answers_delta", ascending=False
    )


@check(
    section="05",
    severity="note",
    subject="{instance}",
    because="{hit_ratio:percent} of {lookups:number} lookups in {seconds:seconds} found their key (limit {min_ratio:percent})",
)
def lookups_find_their_key(redis_counters, *, min_ratio=0.8, min_lookups=100):
    """At least {min_ratio:percent} of the lookups find their key.

    A cache that misses sends its load to the database. 80 %: our own; fewer than 100 lookups between the two readings say nothing.
    """
    lookups = redis_counters.hits_delta + redis_counters.misses_delta
    rows = redis_counters.assign(lookups=lookups, hit_ratio=redis_counters.hits_delta / lookups.where(lookups > 0))
    return rows[(rows.lookups >= min_lookups) & (rows.hit_ratio < min_ratio)].sort_values("hit_ratio")

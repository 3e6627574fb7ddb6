"""Rules about the server: it serves, keeps its data, is followed by its replicas, and has room for its clients."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.units import in_seconds

KB = 1000
MB = 1024 * 1024


@check(
    section="05",
    severity="high",
    subject="{instance}",
    because="still reads its data from disk, {uptime_s:seconds} after its start; every command is refused with LOADING meanwhile",
    at="started_at",
    guide=("C021",),
)
def redis_has_loaded_its_data(redis_server):
    """Redis has read its data, and serves.

    While it loads, it accepts connections and refuses every command but INFO: to its clients that is an outage.
    """
    return redis_server[redis_server.loading]


@check(
    section="05",
    severity="critical",
    subject="{instance}",
    because="{what} failed last time; last snapshot at {last_save_at:%Y-%m-%d %H:%M:%S} UTC, changes since then:"
    " {changes_since_save:number}",
)
def redis_saves_its_data(redis_persistence):
    """The last snapshot, and the last write to the append-only file, succeeded.

    After a failed snapshot Redis refuses every write (MISCONF) unless stop-writes-on-bgsave-error is off. The usual causes are a full
    disk and a fork that got no memory.
    """
    failed = [
        redis_persistence[redis_persistence[status] != "ok"].assign(what=what, severity=severity)
        for status, what, severity in (
            ("aof_write_status", "writing the append-only file", "critical"),
            ("last_save_status", "the snapshot", "critical"),
            ("aof_rewrite_status", "compacting the append-only file", "high"),
        )
    ]
    return pd.concat(failed)


@check(
    section="05",
    severity="critical",
    subject="{instance}",
    because="saved its last snapshot {age_s:seconds} ago (limit {max_s:seconds}); changes since then: {changes_since_save:number}",
    at="last_save_at",
)
def redis_saved_its_data_lately(redis_persistence, *, max_s=172_800):
    """The last snapshot is less than {max_s:seconds} old.

    48 h: awesome-prometheus-alerts. Only where snapshots are configured, nothing else keeps the data (no append-only file), and there is
    something new to save.
    """
    age_s = (redis_persistence.asked_at - redis_persistence.last_save_at).dt.total_seconds()
    relied_on = (redis_persistence.save_rules != "") & ~redis_persistence.aof_enabled
    rows = redis_persistence.assign(age_s=age_s)
    return rows[relied_on & (rows.changes_since_save > 0) & (rows.age_s > max_s)].sort_values("age_s", ascending=False)


@check(
    section="05",
    severity="critical",
    subject="{instance} {direction} {peer}",
    because="the link is {state}, {silence}; its data grow old, and a failover would lose what came since",
    at="down_since",
)
def every_redis_replica_is_linked(redis_replication):
    """Every replica is linked with its primary.

    A full copy that is under way is told as high: until it ends, the replica serves old data or none.
    """
    rows = redis_replication[~redis_replication.state.isin({"up", "online"})]
    silence = ["no word yet" if pd.isna(s) else f"{in_seconds(s)} since the last word" for s in rows.silent_s]
    severity = rows.syncing.map({True: "high", False: "critical"})
    return rows.assign(silence=silence, severity=severity).sort_values("severity")


@check(
    section="05",
    severity="high",
    subject="{instance} {direction} {peer}",
    because="{lag_bytes:bytes} behind, {used_ratio:percent} of the backlog of {backlog_bytes:bytes} (limit {max_ratio:percent})",
)
def redis_replicas_keep_up(redis_replication, *, max_ratio=0.5):
    """Every replica is behind by less than {max_ratio:percent} of the backlog.

    One that falls behind by more than the whole backlog needs a full copy, which forks the primary. 50 %: our own.
    """
    rows = redis_replication[redis_replication.direction == "to"]
    rows = rows.assign(used_ratio=rows.lag_bytes / rows.backlog_bytes)
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="{instance}",
    because="full copies made for replicas: {full_syncs_delta:number} in {seconds:seconds}, {full_syncs:number} since its start",
)
def no_redis_replica_needs_a_full_copy(redis_counters):
    """No replica needed a full copy between the two readings.

    Each forks the primary and sends it all its data; when they repeat, the backlog is too small or the link breaks again and again. One
    after another in seconds is a loop: the value 0 is our own.
    """
    return redis_counters[redis_counters.full_syncs_delta > 0]


@check(
    section="05",
    severity="high",
    subject="{instance}",
    because="{connected_clients:number} of {most_clients:number} connections are taken (limit {max_ratio:percent})",
)
def redis_has_free_connections(redis_server, *, max_ratio=0.9):
    """Less than {max_ratio:percent} of maxclients are connected.

    Beyond maxclients new connections are closed with an error. 90 %: awesome-prometheus-alerts.
    """
    rows = redis_server.assign(used_ratio=redis_server.connected_clients / redis_server.most_clients)
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="high",
    subject="{instance}",
    because="turned away {per_min:.0f} connections a minute over {seconds:seconds} (limit {max_per_min:.0f});"
    " {rejected_connections:number} since its start",
)
def redis_turns_no_client_away(redis_counters, *, max_per_min=5):
    """Redis turns away no more than {max_per_min:.0f} connections a minute.

    They are refused at maxclients. 5 a minute: awesome-prometheus-alerts.
    """
    rows = redis_counters.assign(per_min=redis_counters.rejected_connections_delta / redis_counters.seconds * 60)
    return rows[rows.per_min > max_per_min].sort_values("per_min", ascending=False)


WAITS_BY_DESIGN = frozenset(
    {"blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "xread", "xreadgroup"}
)


@check(
    section="05",
    severity="high",
    subject="{instance}: {command}",
    because="the client at {host} ({name}) is held in this command, for {idle_s:seconds} now",
)
def no_client_is_held_by_redis(redis_clients):
    """Redis holds no client in a command that does not wait by design.

    BLPOP and its like wait for work: that is what consumers do. Anything else that is held was paused (CLIENT PAUSE, a failover) or
    waits for replicas (WAIT).
    """
    held = redis_clients[redis_clients.blocked & ~redis_clients.command.isin(WAITS_BY_DESIGN)]
    return held.assign(name=held.name.replace("", "without a name")).sort_values("idle_s", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="{instance}: {kind} at {host} ({name})",
    because="has not read {output_buffer_bytes:bytes} of its answers (limit {max_bytes:bytes}); last command {command}",
)
def every_client_reads_its_answers(redis_clients, *, max_bytes=10 * MB):
    """No client leaves more than {max_bytes:bytes} of its answers unread.

    They lie in the memory of Redis until the client reads them or is cut off. 10 MB: what MEMORY DOCTOR allows all replicas together.
    """
    rows = redis_clients[redis_clients.output_buffer_bytes > max_bytes]
    return rows.assign(name=rows.name.replace("", "without a name")).sort_values("output_buffer_bytes", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="{instance}",
    because="{what} take {measured_bytes:bytes} {how} (limit {limit_bytes:bytes})",
)
def connections_of_redis_are_small(redis_server, *, max_client_bytes=200 * KB, max_replica_bytes=10 * MB):
    """Connections take less than {max_client_bytes:bytes} of memory on average, replicas less than {max_replica_bytes:bytes} together.

    Both as MEMORY DOCTOR has it. Large ones belong to clients that send or ask for too much at once.
    """
    clients = redis_server.assign(
        what="connections of clients",
        how="on average",
        measured_bytes=redis_server.client_buffers_bytes / redis_server.connected_clients,
        limit_bytes=max_client_bytes,
    )
    replicas = redis_server.assign(
        what="connections of replicas",
        how="together",
        measured_bytes=redis_server.replica_buffers_bytes,
        limit_bytes=max_replica_bytes,
    )
    rows = pd.concat([clients, replicas])
    return rows[rows.measured_bytes > rows.limit_bytes].sort_values("measured_bytes", ascending=False)


# parameter, what is risky about its value, and what that means; the severity where the risk is more than housekeeping
RISKS = (
    ("maxmemory", "0", "no limit: Redis grows until the kernel or Kubernetes kills it", "note"),
    ("latency-monitor-threshold", "0", "latency events are not measured", "note"),
    ("slowlog-log-slower-than", "-1", "slow commands are not written down", "note"),
    ("slowlog-max-len", "0", "slow commands are not written down", "note"),
    ("protected-mode", "no", "a user without password is reachable from every network", "note"),
)


@check(
    section="05",
    severity="note",
    subject="{instance}: {name}",
    because='is "{value}": {risk}',
)
def redis_is_configured_with_care(redis_settings):
    """No setting of Redis loses data or hides evidence.

    From the recommendations of RedisInsight, LATENCY DOCTOR and our own. Without snapshots and append-only file a restart loses
    everything: that is of medium severity, the rest are notes.
    """
    known = pd.DataFrame(RISKS, columns=["name", "value", "risk", "severity"])
    return pd.concat([_without_persistence(redis_settings), redis_settings.merge(known, on=["name", "value"])])


def _without_persistence(settings: pd.DataFrame) -> pd.DataFrame:
    """No snapshots and no append-only file: two settings that are harmless one by one."""
    no_snapshots = settings[(settings.name == "save") & (settings.value == "")]
    no_file = settings[(settings.name == "appendonly") & (settings.value == "no")]
    rows = no_snapshots[no_snapshots.instance.isin(no_file.instance)]
    return rows.assign(risk="with appendonly no, nothing is kept: a restart loses all data", severity="medium")

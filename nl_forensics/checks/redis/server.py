"""Rules about the Redis server: it serves, persists its data, replicates, and has free connections."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.units import in_seconds

KB = 1000
MB = 1024 * 1024
REWRITE = "rewrite of the append-only file"


@check(
    section="05",
    severity="high",
    subject="redis/{instance}",
    because="Redis is still loading its data {uptime_s:seconds} after its start; it rejects every command with LOADING",
    at="started_at",
    guide=("C021",),
)
def redis_has_loaded_its_data(redis_server):
    """Redis has loaded its data.

    While it loads, it accepts connections and rejects every command except INFO: an outage for its clients.
    """
    return redis_server[redis_server.loading]


@check(
    section="05",
    severity="critical",
    high="is_rewrite",
    subject="redis/{instance}",
    because="last {what} failed; last snapshot at {last_save_at:%Y-%m-%d %H:%M:%S} UTC, {changes_since_save:number} changes since then",
)
def redis_saves_its_data(redis_persistence):
    """The last snapshot, and the last write to the append-only file, succeeded.

    After a failed snapshot Redis rejects every write (MISCONF) unless stop-writes-on-bgsave-error is off. The usual causes are a full
    disk and a fork without enough memory. A failed rewrite of the append-only file is high, the others critical.
    """
    failed = [
        redis_persistence[redis_persistence[status] != "ok"].assign(what=what)
        for status, what in (
            ("aof_write_status", "write to the append-only file"),
            ("last_save_status", "snapshot"),
            ("aof_rewrite_status", REWRITE),
        )
    ]
    rows = pd.concat(failed)
    return rows.assign(is_rewrite=rows.what == REWRITE)


@check(
    section="05",
    severity="critical",
    subject="redis/{instance}",
    because="last snapshot is {age_s:seconds} old (limit {max_s:seconds}), with {changes_since_save:number} unsaved changes",
    at="last_save_at",
)
def redis_saved_its_data_lately(redis_persistence, *, max_s=172_800):
    """The last snapshot is less than {max_s:seconds} old.

    48 h: awesome-prometheus-alerts. Only where snapshots are the only persistence (no append-only file), and there are unsaved changes.
    """
    age_s = (redis_persistence.asked_at - redis_persistence.last_save_at).dt.total_seconds()
    relied_on = (redis_persistence.save_rules != "") & ~redis_persistence.aof_enabled
    rows = redis_persistence.assign(age_s=age_s)
    return rows[relied_on & (rows.changes_since_save > 0) & (rows.age_s > max_s)].sort_values("age_s", ascending=False)


@check(
    section="05",
    severity="critical",
    high="syncing",
    subject="redis/{instance}, link {direction} {peer}",
    because="replication link is {state}, {silence}; the replica serves old data, and a failover would lose all writes since",
    at="down_since",
)
def every_redis_replica_is_linked(redis_replication):
    """Every replica is linked with its primary.

    High during a full synchronisation: until it ends, the replica serves old data or none.
    """
    rows = redis_replication[~redis_replication.state.isin({"up", "online"})]
    silence = [
        "no message from the primary yet" if pd.isna(s) else f"last message {in_seconds(s)} ago" for s in rows.silent_s
    ]
    return rows.assign(silence=silence)


@check(
    section="05",
    severity="high",
    subject="redis/{instance}, link {direction} {peer}",
    because="replica lags by {lag_bytes:bytes}, {used_ratio:percent} of the backlog of {backlog_bytes:bytes} (limit {max_ratio:percent})",
)
def redis_replicas_keep_up(redis_replication, *, max_ratio=0.5):
    """Every replica lags by less than {max_ratio:percent} of the replication backlog.

    A replica that lags by more than the whole backlog needs a full synchronisation, which forks the primary. 50 %: our own.
    """
    rows = redis_replication[redis_replication.direction == "to"]
    rows = rows.assign(used_ratio=rows.lag_bytes / rows.backlog_bytes)
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="redis/{instance}",
    because="{full_syncs_delta:number} full synchronisations of replicas in {seconds:seconds}, {full_syncs:number} since the start",
)
def no_redis_replica_needs_a_full_copy(redis_counters):
    """No replica needed a full synchronisation between the two readings.

    Each forks the primary and transfers all its data; if they repeat, the backlog is too small or the link is unstable. The value 0 is our
    own.
    """
    return redis_counters[redis_counters.full_syncs_delta > 0]


@check(
    section="05",
    severity="high",
    subject="redis/{instance}",
    because="{connected_clients:number} of {most_clients:number} connections in use ({used_ratio:percent}, limit {max_ratio:percent})",
)
def redis_has_free_connections(redis_server, *, max_ratio=0.9):
    """Less than {max_ratio:percent} of maxclients are connected.

    At maxclients Redis rejects new connections with an error. 90 %: awesome-prometheus-alerts.
    """
    rows = redis_server.assign(used_ratio=redis_server.connected_clients / redis_server.most_clients)
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="high",
    subject="redis/{instance}",
    because="rejected {per_min:.0f} connections/min over {seconds:seconds} (limit {max_per_min:.0f}/min),"
    " {rejected_connections:number} since the start",
)
def redis_rejects_no_connection(redis_counters, *, max_per_min=5):
    """Redis rejects at most {max_per_min:.0f} connections/min.

    It rejects them at maxclients. 5/min: awesome-prometheus-alerts.
    """
    rows = redis_counters.assign(per_min=redis_counters.rejected_connections_delta / redis_counters.seconds * 60)
    return rows[rows.per_min > max_per_min].sort_values("per_min", ascending=False)


WAITS_BY_DESIGN = frozenset(
    {"blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "xread", "xreadgroup"}
)


@check(
    section="05",
    severity="high",
    subject="redis/{instance}, {command}",
    because="client at {host} ({name}) has been blocked in this command for {idle_s:seconds}",
)
def no_client_is_blocked_by_redis(redis_clients):
    """Redis blocks no client in a command that does not wait by design.

    BLPOP and the like wait for work, as consumers do. Any other blocked client is paused (CLIENT PAUSE, a failover) or waits for
    replicas (WAIT).
    """
    blocked = redis_clients[redis_clients.blocked & ~redis_clients.command.isin(WAITS_BY_DESIGN)]
    return blocked.assign(name=blocked.name.replace("", "unnamed")).sort_values("idle_s", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="redis/{instance}, {kind} at {host} ({name})",
    because="client has {output_buffer_bytes:bytes} of unread replies (limit {max_bytes:bytes}); last command {command}",
)
def every_client_reads_its_answers(redis_clients, *, max_bytes=10 * MB):
    """No client has more than {max_bytes:bytes} of unread replies.

    They take memory of Redis until the client reads them or is disconnected. 10 MB: what MEMORY DOCTOR allows all replicas together.
    """
    rows = redis_clients[redis_clients.output_buffer_bytes > max_bytes]
    return rows.assign(name=rows.name.replace("", "unnamed")).sort_values("output_buffer_bytes", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="redis/{instance}",
    because="{what} use {measured_bytes:bytes} {how} (limit {limit_bytes:bytes})",
)
def connections_of_redis_are_small(redis_server, *, max_client_bytes=200 * KB, max_replica_bytes=10 * MB):
    """Client connections use less than {max_client_bytes:bytes} on average, replicas less than {max_replica_bytes:bytes} together.

    Both limits: MEMORY DOCTOR. Large ones belong to clients that send or request too much at once.
    """
    clients = redis_server.assign(
        what="client connections",
        how="on average",
        measured_bytes=redis_server.client_buffers_bytes / redis_server.connected_clients,
        limit_bytes=max_client_bytes,
    )
    replicas = redis_server.assign(
        what="replica connections",
        how="together",
        measured_bytes=redis_server.replica_buffers_bytes,
        limit_bytes=max_replica_bytes,
    )
    rows = pd.concat([clients, replicas])
    return rows[rows.measured_bytes > rows.limit_bytes].sort_values("measured_bytes", ascending=False)


# parameter, risky value, consequence
RISKS = (
    ("maxmemory", "0", "no limit, so Redis grows until the kernel or Kubernetes kills it"),
    ("latency-monitor-threshold", "0", "Redis does not measure latency events"),
    ("slowlog-log-slower-than", "-1", "Redis does not log slow commands"),
    ("slowlog-max-len", "0", "Redis does not log slow commands"),
    ("protected-mode", "no", "a user without password is reachable from every network"),
)


@check(
    section="05",
    severity="note",
    medium="loses_all_data",
    subject="redis/{instance}, {name}",
    because='setting is "{value}": {risk}',
)
def redis_is_configured_with_care(redis_settings):
    """No setting of Redis loses data or hides evidence.

    From RedisInsight, LATENCY DOCTOR and our own. Without snapshots and append-only file a restart loses all data, which is medium; the
    others are notes.
    """
    known = pd.DataFrame(RISKS, columns=["name", "value", "risk"]).assign(loses_all_data=False)
    return pd.concat([_without_persistence(redis_settings), redis_settings.merge(known, on=["name", "value"])])


def _without_persistence(settings: pd.DataFrame) -> pd.DataFrame:
    """No snapshots and no append-only file: each alone is harmless."""
    no_snapshots = settings[(settings.name == "save") & (settings.value == "")]
    no_file = settings[(settings.name == "appendonly") & (settings.value == "no")]
    rows = no_snapshots[no_snapshots.instance.isin(no_file.instance)]
    return rows.assign(risk="with appendonly no, a restart loses all data", loses_all_data=True)

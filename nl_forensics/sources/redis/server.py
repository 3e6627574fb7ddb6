"""The state of the server, by INFO. The names that Redis uses are recorded; the columns have units."""

from datetime import UTC as utc
from datetime import datetime

import pandas as pd

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.redis.settings import settings

SERVER = {
    "redis_version": "version",
    "redis_mode": "mode",
    "role": "role",
    "uptime_in_seconds": "uptime_s",
    "loading": "loading",
    "connected_clients": "connected_clients",
    "blocked_clients": "blocked_clients",
    "maxclients": "most_clients",
    "mem_clients_normal": "client_buffers_bytes",
    "mem_clients_slaves": "replica_buffers_bytes",
}
MEMORY = {
    "used_memory": "used_bytes",
    "used_memory_peak": "peak_bytes",
    "used_memory_rss": "rss_bytes",
    "used_memory_dataset": "dataset_bytes",
    "used_memory_overhead": "overhead_bytes",
    "maxmemory": "limit_bytes",
    "maxmemory_policy": "policy",
    "mem_not_counted_for_evict": "not_counted_bytes",
    "total_system_memory": "machine_bytes",
    "mem_fragmentation_ratio": "fragmentation_ratio",
    "mem_fragmentation_bytes": "fragmentation_bytes",
    "allocator_frag_ratio": "allocator_fragmentation_ratio",
    "allocator_frag_bytes": "allocator_fragmentation_bytes",
    "allocator_rss_ratio": "allocator_rss_ratio",
    "allocator_rss_bytes": "allocator_rss_bytes",
    "rss_overhead_ratio": "process_rss_ratio",
    "rss_overhead_bytes": "process_rss_bytes",
}
PERSISTENCE = {
    "rdb_last_save_time": "last_save_at",
    "rdb_last_bgsave_status": "last_save_status",
    "rdb_bgsave_in_progress": "saving",
    "rdb_changes_since_last_save": "changes_since_save",
    "save_rules": "save_rules",
    "aof_enabled": "aof_enabled",
    "aof_last_write_status": "aof_write_status",
    "aof_last_bgrewrite_status": "aof_rewrite_status",
}


def _kept(answer: dict, names: dict[str, str]) -> dict:
    """The chosen part of an INFO; a field that this version does not have is null."""
    return {name: answer.get(name) for name in names}


def _moment(seconds: pd.Series) -> pd.Series:
    return pd.to_datetime(pd.to_numeric(seconds), unit="s", utc=True)


def _server(records: list[dict]) -> pd.DataFrame:
    rows = as_rows(records).rename(columns=SERVER)
    return rows.assign(
        loading=rows.loading == 1,
        started_at=_moment(rows.server_time_usec // 1_000_000 - rows.uptime_s),
    )


@source(
    parse=_server,
    columns={
        "version": Column("str", "version of Redis; Valkey reports the Redis version that it is compatible with"),
        "mode": Column("str", "`standalone`, `sentinel` or `cluster`"),
        "role": Column("str", "`master` or `slave`, in the terms of Redis"),
        "started_at": Column(UTC, "start of the server"),
        "uptime_s": Column("Int64", "time since the start of the server"),
        "loading": Column("boolean", "the server loads its data from disk and rejects all commands except INFO"),
        "connected_clients": Column("Int64", "client connections, without replicas"),
        "blocked_clients": Column("Int64", "clients that wait in a blocking command, or are paused"),
        "most_clients": Column("Int64", "maxclients, the limit of connections"),
        "client_buffers_bytes": Column("Int64", "memory of client connections"),
        "replica_buffers_bytes": Column("Int64", "memory of replica connections"),
    },
    covers="now",
    needs=Permission(redis="+info"),
    guide=("C021", "C074"),
)
def redis_server(redis):
    """Identity of this instance, and its connections; one row."""
    asked = {}
    for section in ("server", "clients", "memory", "persistence", "replication"):
        asked |= redis.call("INFO", section)
    yield _kept(asked, SERVER) | {"server_time_usec": asked["server_time_usec"]}


@source(
    parse=lambda records: as_rows(records).rename(columns=MEMORY),
    columns={
        "used_bytes": Column("Int64", "memory that Redis requested from its allocator; maxmemory limits this"),
        "peak_bytes": Column("Int64", "highest value of used_bytes since the start"),
        "rss_bytes": Column("Int64", "resident memory of the process"),
        "dataset_bytes": Column("Int64", "memory of the data, without overhead"),
        "overhead_bytes": Column("Int64", "memory of buffers and internal structures"),
        "limit_bytes": Column("Int64", "maxmemory; 0: no limit, Redis grows until the kernel or Kubernetes kills it"),
        "policy": Column("str", "maxmemory-policy: what Redis evicts at the limit"),
        "not_counted_bytes": Column(
            "Int64", "part of used_bytes that maxmemory does not count: buffers of replicas and of the append-only file"
        ),
        "machine_bytes": Column("Int64", "memory of the whole machine; Redis cannot see the limit of its container"),
        "fragmentation_ratio": Column(
            "float64", "rss_bytes / used_bytes; 1 is ideal, meaningless for a few MB of data"
        ),
        "fragmentation_bytes": Column("Int64", "rss_bytes − used_bytes"),
        "allocator_fragmentation_ratio": Column(
            "float64", "active / allocated memory of the allocator: external fragmentation; 1 is ideal"
        ),
        "allocator_fragmentation_bytes": Column("Int64", "fragmented memory of the allocator"),
        "allocator_rss_ratio": Column(
            "float64", "resident / active memory of the allocator: pages that it has not returned; 1 is ideal"
        ),
        "allocator_rss_bytes": Column("Int64", "memory that the allocator has not returned to the kernel"),
        "process_rss_ratio": Column("float64", "resident memory of the process / that of the allocator; 1 is ideal"),
        "process_rss_bytes": Column("Int64", "resident memory of the process outside the allocator"),
    },
    covers="now",
    needs=Permission(redis="+info"),
    guide=("C074",),
)
def redis_memory(redis):
    """Memory of Redis (INFO memory); one row.

    MEMORY DOCTOR compares the same ratios."""
    yield _kept(redis.call("INFO", "memory"), MEMORY)


def _persistence(records: list[dict]) -> pd.DataFrame:
    rows = as_rows(records).rename(columns=PERSISTENCE)
    switches = {name: rows[name] == 1 for name in ("saving", "aof_enabled")}
    return rows.assign(last_save_at=_moment(rows.last_save_at), **switches)


@source(
    parse=_persistence,
    columns={
        "last_save_at": Column(UTC, "last successful snapshot (RDB); start of the server if there was none"),
        "last_save_status": Column("str", "result of the last snapshot: `ok` or `err`"),
        "saving": Column("boolean", "a snapshot is being saved"),
        "changes_since_save": Column("Int64", "writes since the last snapshot"),
        "save_rules": Column("str", '`save`: "seconds changes …"; empty: snapshots are off'),
        "aof_enabled": Column("boolean", "the append-only file is on"),
        "aof_write_status": Column("str", "result of the last write to the append-only file: `ok` or `err`"),
        "aof_rewrite_status": Column("str", "result of the last rewrite of the append-only file: `ok` or `err`"),
    },
    covers="now",
    needs=Permission(redis="+info +config|get"),
    guide=("C074",),
)
def redis_persistence(redis):
    """Whether the data survive a restart; one row."""
    rules = settings(redis, "save").get("save")
    yield _kept(redis.call("INFO", "persistence") | {"save_rules": rules}, PERSISTENCE)


@source(
    columns={
        "direction": Column("str", "`from` the primary, or `to` a replica"),
        "peer": Column("str", "IP address or host of the other side, and its port"),
        "state": Column(
            "str", "from the primary: `up` or `down`; to a replica: `online`, `wait_bgsave` or `send_bulk`"
        ),
        "lag_bytes": Column(
            "Int64", "data that the replica has not acknowledged", unknown="only the primary knows the lag of a replica"
        ),
        "silent_s": Column(
            "Int64", "time since the last message of the other side", absent="the primary has never sent a message"
        ),
        "syncing": Column("boolean", "a full synchronisation is in progress"),
        "down_since": Column(UTC, "start of the outage of the link", absent="the link is up, or was never up"),
        "backlog_bytes": Column(
            "Int64", "size of the replication backlog: a replica that lags by more needs a full synchronisation"
        ),
    },
    covers="now",
    needs=Permission(redis="+info"),
)
def redis_replication(redis):
    """Replication links of this instance; one row per link, none for an instance without replicas or primary."""
    info = redis.call("INFO", "replication")
    yield Proof(f"role {info['role']}, {info.get('connected_slaves', 0)} replicas connected")
    if info["role"] == "slave":
        yield _from_primary(redis, info)
    for name, replica in info.items():
        if name.startswith("slave") and isinstance(replica, dict):
            yield {
                "direction": "to",
                "peer": f"{replica['ip']}:{replica['port']}",
                "state": replica["state"],
                "lag_bytes": info["master_repl_offset"] - replica["offset"],
                "silent_s": replica["lag"],
                "syncing": replica["state"] != "online",
                "backlog_bytes": info["repl_backlog_size"],
            }


def _from_primary(redis, info: dict) -> dict:
    down_s = info.get("master_link_down_since_seconds", 0)
    now_s = redis.call("INFO", "server")["server_time_usec"] / 1e6
    # A replica that never was linked gives -1, or the time since the epoch.
    since = datetime.fromtimestamp(now_s - down_s, utc).isoformat() if 0 < down_s < now_s / 2 else None
    return {
        "direction": "from",
        "peer": f"{info['master_host']}:{info['master_port']}",
        "state": info["master_link_status"],
        "silent_s": down_s if since else _or_null(info["master_last_io_seconds_ago"]),
        "syncing": info["master_sync_in_progress"] == 1,
        "down_since": since,
        "backlog_bytes": info["repl_backlog_size"],
    }


def _or_null(seconds: int) -> int | None:
    """-1 stands for never."""
    return seconds if seconds >= 0 else None


@source(
    columns={
        "db": Column("Int64", "number of the database"),
        "keys": Column("Int64", "keys in it"),
        "keys_with_ttl": Column("Int64", "keys that expire"),
        "mean_ttl_s": Column(
            "float64", "mean time to live of the keys that expire, as Redis estimates it; 0: no key expires"
        ),
    },
    covers="now",
    needs=Permission(redis="+info"),
    guide=("C075",),
)
def redis_keyspace(redis):
    """Number of keys; one row per numbered database that has any."""
    databases = redis.call("INFO", "keyspace")
    yield Proof(f"INFO keyspace lists {len(databases)} databases with keys")
    for name, found in databases.items():
        yield {
            "db": int(name.removeprefix("db")),
            "keys": found["keys"],
            "keys_with_ttl": found["expires"],
            "mean_ttl_s": found["avg_ttl"] / 1000,
        }

"""The state of the server, by INFO. The names that Redis uses are recorded; the columns have units."""

from datetime import UTC as utc
from datetime import datetime

import pandas as pd

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source
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
        "version": "str",
        "mode": "str",
        "role": "str",
        "started_at": UTC,
        "uptime_s": "Int64",
        "loading": "boolean",
        "connected_clients": "Int64",
        "blocked_clients": "Int64",
        "most_clients": "Int64",
        "client_buffers_bytes": "Int64",
        "replica_buffers_bytes": "Int64",
    },
    covers="now",
    needs=Permission(redis="+info"),
    guide=("C021", "C074"),
)
def redis_server(redis):
    """What this instance is, and how many connections it has; one row.

    version   of Redis; Valkey gives the version of Redis that it is compatible with
    role      `master` or `slave`, in the words of Redis
    loading   it reads its data from disk after a start, and refuses every other command meanwhile
    connected_clients, blocked_clients, most_clients   connections; those that wait in a blocking command; maxclients
    client_buffers_bytes, replica_buffers_bytes        memory of the connections, of clients and of replicas
    """
    asked = {}
    for section in ("server", "clients", "memory", "persistence", "replication"):
        asked |= redis.call("INFO", section)
    yield _kept(asked, SERVER) | {"server_time_usec": asked["server_time_usec"]}


@source(
    parse=lambda records: as_rows(records).rename(columns=MEMORY),
    columns={
        "used_bytes": "Int64",
        "peak_bytes": "Int64",
        "rss_bytes": "Int64",
        "dataset_bytes": "Int64",
        "overhead_bytes": "Int64",
        "limit_bytes": "Int64",
        "policy": "str",
        "not_counted_bytes": "Int64",
        "machine_bytes": "Int64",
        "fragmentation_ratio": "float64",
        "fragmentation_bytes": "Int64",
        "allocator_fragmentation_ratio": "float64",
        "allocator_fragmentation_bytes": "Int64",
        "allocator_rss_ratio": "float64",
        "allocator_rss_bytes": "Int64",
        "process_rss_ratio": "float64",
        "process_rss_bytes": "Int64",
    },
    covers="now",
    needs=Permission(redis="+info"),
    guide=("C074",),
)
def redis_memory(redis):
    """Where the memory goes; one row.

    used_bytes       what Redis asked its allocator for; compared with limit_bytes
    not_counted_bytes   the part of it that maxmemory does not count: buffers of replicas and of the append-only file
    rss_bytes        what the process takes from the machine
    limit_bytes      maxmemory; 0: none, so Redis grows until the kernel or Kubernetes kills it
    policy           maxmemory-policy: what happens at the limit
    machine_bytes    memory of the whole machine: the limit of a container can't be seen from inside Redis
    *_ratio          as MEMORY DOCTOR compares them; of a few MB of data they mean nothing
    """
    yield _kept(redis.call("INFO", "memory"), MEMORY)


def _persistence(records: list[dict]) -> pd.DataFrame:
    rows = as_rows(records).rename(columns=PERSISTENCE)
    switches = {name: rows[name] == 1 for name in ("saving", "aof_enabled")}
    return rows.assign(last_save_at=_moment(rows.last_save_at), **switches)


@source(
    parse=_persistence,
    columns={
        "last_save_at": UTC,
        "last_save_status": "str",
        "saving": "boolean",
        "changes_since_save": "Int64",
        "save_rules": "str",
        "aof_enabled": "boolean",
        "aof_write_status": "str",
        "aof_rewrite_status": "str",
    },
    covers="now",
    needs=Permission(redis="+info +config|get"),
    guide=("C074",),
)
def redis_persistence(redis):
    """Whether the data would survive a restart; one row.

    last_save_at         of the snapshot (RDB), UTC; of a server that never saved: its start
    changes_since_save   writes that no snapshot has
    save_rules           `save`: "seconds changes …"; empty: no snapshots are made
    aof_enabled          the append-only file is on
    *_status             `ok` or `err`
    """
    rules = settings(redis, "save").get("save")
    yield _kept(redis.call("INFO", "persistence") | {"save_rules": rules}, PERSISTENCE)


@source(
    columns={
        "direction": "str",
        "peer": "str",
        "state": "str",
        "lag_bytes": "Int64",
        "silent_s": "Int64",
        "syncing": "boolean",
        "down_since": UTC,
        "backlog_bytes": "Int64",
    },
    nullable=("lag_bytes", "silent_s", "down_since"),
    covers="now",
    needs=Permission(redis="+info"),
)
def redis_replication(redis):
    """Links between this instance and its replicas or its primary; one row per link, none for an instance that stands alone.

    direction      `from` the primary, or `to` a replica
    state          `up` or `down` from the primary; `online`, `wait_bgsave` or `send_bulk` to a replica
    lag_bytes      what a replica has not confirmed yet; null towards the primary, which knows it better
    silent_s       since the last word of the other side, seconds; null towards a primary that never said one
    syncing        a full copy is being made
    backlog_bytes  how far a replica may fall behind before it needs a full copy
    """
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
    columns={"db": "Int64", "keys": "Int64", "keys_with_ttl": "Int64", "mean_ttl_s": "float64"},
    covers="now",
    needs=Permission(redis="+info"),
    guide=("C075",),
)
def redis_keyspace(redis):
    """How many keys there are; one row per numbered database that has any.

    mean_ttl_s   over the keys that expire, seconds, as Redis estimates it; 0 where none does
    """
    databases = redis.call("INFO", "keyspace")
    yield Proof(f"INFO keyspace lists {len(databases)} databases with keys")
    for name, found in databases.items():
        yield {
            "db": int(name.removeprefix("db")),
            "keys": found["keys"],
            "keys_with_ttl": found["expires"],
            "mean_ttl_s": found["avg_ttl"] / 1000,
        }

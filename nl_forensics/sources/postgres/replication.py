"""Replication: replicas as the primary sees them, a standby as it sees itself, and the slots that keep WAL for them."""

from nl_forensics.sources import UTC, Permission, Proof, source
from nl_forensics.sources.postgres.rights import sees_statistics, without_monitor

# How far WAL has come on this server: a standby may feed replicas of its own.
POSITION = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END"

REPLICATION = f"""
SELECT r.pid, r.application_name AS replica, host(r.client_addr) AS client, r.usename AS role, slot.slot_name AS slot,
       r.state, r.sync_state, r.backend_start AS connected_at,
       pg_wal_lsn_diff({POSITION}, r.sent_lsn)::bigint AS unsent_bytes,
       pg_wal_lsn_diff({POSITION}, coalesce(r.replay_lsn, r.flush_lsn, r.write_lsn))::bigint AS behind_bytes,
       extract(epoch FROM r.flush_lag)::float8 AS flush_lag_s, extract(epoch FROM r.replay_lag)::float8 AS replay_lag_s,
       r.reply_time AS replied_at
  FROM pg_stat_replication r LEFT JOIN pg_replication_slots slot ON slot.active_pid = r.pid
 ORDER BY behind_bytes DESC NULLS LAST, r.pid
"""

# `primary_conninfo` holds a password: only whether it is set leaves the server.
RECOVERY = """
SELECT pg_is_in_recovery() AS is_standby,
       CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('primary_conninfo') <> '' END AS has_primary,
       (SELECT status FROM pg_stat_wal_receiver) AS receiver_status,
       (SELECT pg_wal_lsn_diff(latest_end_lsn, pg_last_wal_replay_lsn())::bigint FROM pg_stat_wal_receiver) AS behind_bytes,
       (SELECT last_msg_receipt_time FROM pg_stat_wal_receiver) AS heard_at,
       pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::bigint AS unreplayed_bytes,
       pg_last_xact_replay_timestamp() AS replayed_upto_at,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END AS is_paused
"""

# `inactive_since` and `synced` came with 17: read through jsonb, one statement serves every version.
SLOTS = f"""
SELECT slot_name AS slot, slot_type AS kind, plugin, database, temporary AS is_temporary, active AS is_active, wal_status,
       coalesce((to_jsonb(s) ->> 'synced')::boolean, false) AS is_synced,
       (to_jsonb(s) ->> 'inactive_since')::timestamptz AS inactive_since_at,
       to_jsonb(s) ->> 'invalidation_reason' AS invalidation_reason,
       pg_wal_lsn_diff({POSITION}, restart_lsn)::bigint AS retained_bytes,
       pg_wal_lsn_diff({POSITION}, confirmed_flush_lsn)::bigint AS unconfirmed_bytes,
       safe_wal_size AS safe_bytes,
       nullif(pg_size_bytes(current_setting('max_slot_wal_keep_size')), -1) AS keep_limit_bytes
  FROM pg_replication_slots s
 ORDER BY retained_bytes DESC NULLS LAST, slot_name
"""


@source(
    columns={
        "pid": "Int64",
        "replica": "str",
        "client": "str",
        "role": "str",
        "slot": "str",
        "state": "str",
        "sync_state": "str",
        "connected_at": UTC,
        "unsent_bytes": "Int64",
        "behind_bytes": "Int64",
        "flush_lag_s": "float64",
        "replay_lag_s": "float64",
        "replied_at": UTC,
    },
    nullable=("client", "slot", "unsent_bytes", "behind_bytes", "flush_lag_s", "replay_lag_s", "replied_at"),
    covers="now",
    needs=Permission(postgres="pg_monitor"),
)
def pg_replication(postgres):
    """Who takes WAL from this server; one row per connection, the furthest behind first.

    replica       the name that it gave itself (application_name)
    state         `streaming`; `catchup` while it reads up; `backup` is a base backup
    sync_state    `async`, `sync`, `quorum` or `potential`: whether a commit waits for it
    unsent_bytes  WAL that this server hasn't sent yet; null during a base backup
    behind_bytes  WAL that the replica hasn't replayed yet, or not received where it never replays
    replay_lag_s  from commit here to visible there, for the last transactions; null on an idle system

    A replica that is gone has no row: see its slot. Empty is normal on a server without replicas.
    """
    if not sees_statistics(postgres):
        yield without_monitor("who replicates, and how far behind")
        return
    yield from postgres.rows(REPLICATION)
    yield Proof("pg_stat_replication was read")


@source(
    columns={
        "is_standby": "boolean",
        "has_primary": "boolean",
        "receiver_status": "str",
        "behind_bytes": "Int64",
        "heard_at": UTC,
        "unreplayed_bytes": "Int64",
        "replayed_upto_at": UTC,
        "is_paused": "boolean",
    },
    nullable=("has_primary", "receiver_status", "behind_bytes", "heard_at", "unreplayed_bytes", "replayed_upto_at"),
    covers="now",
    needs=Permission(postgres="pg_monitor"),
)
def pg_recovery(postgres):
    """Whether this server is a standby, and how it keeps up; one row.

    has_primary       a primary to stream from is configured (primary_conninfo)
    receiver_status   of the process that receives WAL: `streaming`, `starting`, …; null: there is no such process
    behind_bytes      WAL that the primary has and this standby hasn't replayed, as of `heard_at`
    unreplayed_bytes  WAL that was received and not replayed
    replayed_upto_at  commit time of the last replayed transaction; old on an idle primary, too
    is_paused         replay was paused by hand (pg_wal_replay_pause)
    """
    yield from postgres.rows(RECOVERY)
    if not sees_statistics(postgres):
        yield without_monitor("what the WAL receiver does")


@source(
    columns={
        "slot": "str",
        "kind": "str",
        "plugin": "str",
        "database": "str",
        "is_temporary": "boolean",
        "is_active": "boolean",
        "is_synced": "boolean",
        "wal_status": "str",
        "inactive_since_at": UTC,
        "invalidation_reason": "str",
        "retained_bytes": "Int64",
        "unconfirmed_bytes": "Int64",
        "safe_bytes": "Int64",
        "keep_limit_bytes": "Int64",
    },
    nullable=(
        "plugin",
        "database",
        "wal_status",
        "inactive_since_at",
        "invalidation_reason",
        "retained_bytes",
        "unconfirmed_bytes",
        "safe_bytes",
        "keep_limit_bytes",
    ),
    covers="now",
)
def pg_slots(postgres):
    """Replication slots: what keeps WAL for replicas and subscribers; one row per slot, the one that keeps most first.

    kind               `physical` or `logical`
    is_synced          a copy of a slot of the primary, kept on a standby: never active here
    wal_status         `reserved`, `extended`, `unreserved` (about to lose WAL) or `lost`; null: it has reserved nothing yet
    inactive_since_at  UTC, from PostgreSQL 17 on; else null
    retained_bytes     WAL that can't be removed because of it; null: none
    unconfirmed_bytes  of a logical slot: WAL that its reader hasn't confirmed
    safe_bytes         WAL that may still be written before it is lost; null without a limit
    keep_limit_bytes   max_slot_wal_keep_size; null: no limit, so that a forgotten slot fills the disk
    """
    yield from postgres.rows(SLOTS)
    yield Proof("pg_replication_slots was read")

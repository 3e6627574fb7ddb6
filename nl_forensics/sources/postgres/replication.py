"""Replication: replicas as the primary sees them, a standby as it sees itself, and the slots that retain WAL for them."""

import pandas as pd

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.postgres.rights import sees_statistics, without_monitor

# The WAL position of this server: a standby may feed replicas of its own.
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
       pg_has_role('pg_read_all_stats', 'USAGE') AS is_receiver_visible,
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
        "pid": Column("Int64", "process id of the WAL sender"),
        "replica": Column("str", "application_name of the replica"),
        "client": Column("str", "IP address of the replica", absent="a Unix socket"),
        "role": Column("str", "role that the replica logged in with"),
        "slot": Column("str", "its replication slot", absent="it uses no slot"),
        "state": Column("str", "`streaming`; `catchup` until it has caught up; `backup` for a base backup"),
        "sync_state": Column("str", "`async`, `sync`, `quorum` or `potential`: whether commits wait for it"),
        "connected_at": Column(UTC, "start of the connection"),
        "unsent_bytes": Column(
            "Int64", "WAL that this server has not sent yet", unknown="not reported, as during a base backup"
        ),
        "behind_bytes": Column(
            "Int64",
            "WAL that the replica has not replayed yet; for a receiver that never replays, not received yet",
            unknown="the replica has not reported its position",
        ),
        "flush_lag_s": Column("float64", "lag from commit here to flushed there", absent="no recent commit to measure"),
        "replay_lag_s": Column(
            "float64",
            "lag from commit here to visible there",
            absent="no recent commit, or it never replays",
        ),
        "replied_at": Column(UTC, "send time of its last status message", absent="it has sent none yet"),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
)
def pg_replication(postgres):
    """Replicas and other receivers of WAL of this server; one row per connection, the furthest behind first.

    A disconnected replica has no row: see its slot. Empty is normal on a server without replicas.
    """
    if not sees_statistics(postgres):
        yield without_monitor("connected replicas and their lag")
        return
    yield from postgres.rows(REPLICATION)
    yield Proof("pg_stat_replication was read")


def _recovery(records: list[dict]) -> pd.DataFrame:
    """A null status is `none` to a role that would see a receiver, and unknown to any other."""
    rows = as_rows(records)
    hidden = rows.get("is_receiver_visible", pd.Series(True, index=rows.index)).eq(False)
    return rows.assign(receiver_status=rows.receiver_status.mask(rows.receiver_status.isna() & ~hidden, "none"))


def _slots(records: list[dict]) -> pd.DataFrame:
    """A slot that has reserved no WAL yet, or has lost it, retains none; of any other slot a null is unknown."""
    rows = as_rows(records)
    nothing = rows.retained_bytes.isna() & (rows.wal_status.isna() | (rows.wal_status == "lost"))
    return rows.assign(retained_bytes=rows.retained_bytes.mask(nothing, 0))


@source(
    parse=_recovery,
    columns={
        "is_standby": Column("boolean", "the server is a standby"),
        "has_primary": Column(
            "boolean", "primary_conninfo is set", unknown="shown only to members of pg_read_all_settings"
        ),
        "receiver_status": Column(
            "str",
            "state of the WAL receiver: `streaming`, `starting`, …; `none` if there is no such process",
            unknown="shown only to members of pg_read_all_stats",
        ),
        "behind_bytes": Column(
            "Int64",
            "WAL of the primary that is not replayed here, as of `heard_at`",
            unknown="no WAL receiver, or not shown to our role",
        ),
        "heard_at": Column(UTC, "last message from the primary", unknown="no WAL receiver, or not shown to our role"),
        "unreplayed_bytes": Column(
            "Int64", "WAL received and not replayed", absent="no WAL was received by streaming since the start"
        ),
        "replayed_upto_at": Column(
            UTC,
            "commit time of the last replayed transaction; old on an idle primary, too",
            absent="none replayed since the start",
        ),
        "is_paused": Column("boolean", "replay is paused (pg_wal_replay_pause)"),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
)
def pg_recovery(postgres):
    """Whether this server is a standby, and its WAL receiver and replay; one row."""
    yield from postgres.rows(RECOVERY)
    if not sees_statistics(postgres):
        yield without_monitor("state of the WAL receiver")


@source(
    parse=_slots,
    columns={
        "slot": Column("str", "name of the slot"),
        "kind": Column("str", "`physical` or `logical`"),
        "plugin": Column("str", "output plugin of a logical slot", absent="a physical slot"),
        "database": Column("str", "database of a logical slot", absent="a physical slot"),
        "is_temporary": Column("boolean", "it ends with its session"),
        "is_active": Column("boolean", "a replica or subscriber is reading it"),
        "is_synced": Column("boolean", "copy of a slot of the primary on a standby: never active here"),
        "wal_status": Column(
            "str",
            "`reserved`, `extended`, `unreserved` (about to lose WAL) or `lost`",
            absent="it has reserved no WAL yet",
        ),
        "inactive_since_at": Column(
            UTC, "when it became inactive", absent="active; PostgreSQL before 17 does not record it"
        ),
        "invalidation_reason": Column(
            "str", "why it was invalidated", unknown="it was not, or PostgreSQL is older than 17"
        ),
        "retained_bytes": Column(
            "Int64", "WAL that cannot be removed because of it", unknown="WAL position of this server not known"
        ),
        "unconfirmed_bytes": Column(
            "Int64", "WAL that the reader of a logical slot has not confirmed", absent="a physical slot"
        ),
        "safe_bytes": Column(
            "Int64", "WAL that may still be written before the slot loses WAL", absent="no limit is set, or it is lost"
        ),
        "keep_limit_bytes": Column(
            "Int64", "max_slot_wal_keep_size", absent="no limit: an unread slot can fill the disk"
        ),
    },
    covers="now",
)
def pg_slots(postgres):
    """Replication slots and the WAL that they retain; one row per slot, the one that retains most first."""
    yield from postgres.rows(SLOTS)
    yield Proof("pg_replication_slots was read")

"""Rules about replication: replicas keep up, standbys receive and replay, and every slot has a reader."""

import pandas as pd

from nl_forensics.checks.rows import seconds_since
from nl_forensics.checks.rule import check

MIB = 1024**2
GIB = 1024**3


@check(
    section="05",
    severity="medium",
    high="behind_bytes > high_bytes or (is_slow and replay_lag_s > high_s)",
    subject="postgres/{instance}, {replica}",
    because="{behind_bytes:bytes} behind (limit {max_bytes:bytes}), replay lag {replay_lag_s:seconds} (limit {max_s:seconds}), "
    "state {state}",
)
def replicas_keep_up(
    pg_replication, *, max_bytes=50 * MIB, high_bytes=100 * MIB, max_s=5.0, high_s=300.0, min_bytes=MIB
):
    """No replica is more than {max_bytes:bytes} or {max_s:seconds} behind.

    WAL that it lacks is lost if the primary fails, and reads there are stale. 50 and 100 MiB (high): Crunchy; 5 s:
    awesome-prometheus-alerts, 300 s (high): CloudNativePG. The lag of an idle primary means nothing, so seconds
    count from {min_bytes:bytes} on (our choice). A base backup is no replica.
    """
    rows = pg_replication[pg_replication.state != "backup"]
    rows = rows.assign(is_slow=(rows.replay_lag_s > max_s) & (rows.behind_bytes >= min_bytes))
    return rows[(rows.behind_bytes > max_bytes) | rows.is_slow].sort_values("behind_bytes", ascending=False)


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}",
    because="standby receives no WAL from its primary (WAL receiver: {receiver_status}); last message from the primary: {heard}",
)
def every_standby_receives(pg_recovery):
    """Every standby receives WAL from its primary.

    Without it the data here is out of date, and a failover loses what is missing (CloudNativePG: replica not streaming).
    A standby that is fed from an archive only, without primary_conninfo, is excluded.
    """
    rows = pg_recovery[pg_recovery.is_standby]
    rows = rows[rows.has_primary]
    rows = rows[rows.receiver_status.notna() & (rows.receiver_status != "streaming")]
    return rows.assign(heard=rows.heard_at.dt.strftime("%Y-%m-%d %H:%M:%S UTC").fillna("not known"))


@check(
    section="05",
    severity="medium",
    high="unreplayed_bytes > high_bytes",
    subject="postgres/{instance}",
    because="standby has {unreplayed_bytes:bytes} of received WAL to replay (limit {max_bytes:bytes}), replay is {paused}",
)
def every_standby_replays(pg_recovery, *, max_bytes=50 * MIB, high_bytes=100 * MIB):
    """Every standby replays the WAL that it receives, and is not paused.

    Replay waits for queries on the standby that need old rows (max_standby_streaming_delay), for the disk, or until it is
    resumed. 50 and 100 MiB (high): Crunchy's limits for replication.
    """
    rows = pg_recovery[pg_recovery.is_standby]
    rows = rows.assign(paused=rows.is_paused.map({True: "paused", False: "not paused"}))
    rows = rows[(rows.unreplayed_bytes > max_bytes) | rows.is_paused]
    return rows.sort_values("unreplayed_bytes", ascending=False)


@check(
    section="05",
    severity="medium",
    critical="is_broken",
    high="is_unread or retained_bytes > high_bytes",
    subject="postgres/{instance}, slot {slot}",
    because="{fault}, {retained_bytes:bytes} of WAL retained (limit {max_bytes:bytes})",
    at="inactive_since_at",
)
def every_slot_is_read(pg_slots, *, max_bytes=5 * GIB, high_bytes=20 * GIB, grace_s=60):
    """Every replication slot has a reader, and retains less than {max_bytes:bytes} of WAL.

    A slot without a reader retains all WAL until the disk is full; a lost one needs a new copy of its replica.
    Inactive: Crunchy, from 60 s on where PostgreSQL records since when (17); 5 and 20 GiB: pg-healthcheck. Excluded:
    temporary slots, copies of the primary's slots on a standby, and slots that never reserved any WAL.
    """
    rows = pg_slots[~pg_slots.is_temporary & ~pg_slots.is_synced]
    fault = pd.Series("retains too much", index=rows.index).mask(unread := _is_unread(rows, grace_s), "no reader")
    fault = fault.mask(rows.wal_status == "unreserved", "about to lose WAL that its reader needs")
    fault = fault.mask(rows.wal_status == "lost", "lost WAL that its reader needs (recreate the replica)")
    rows = rows.assign(fault=fault, is_unread=unread, is_broken=rows.wal_status.isin(["lost", "unreserved"]))
    rows = rows[rows.is_broken | rows.is_unread | (rows.retained_bytes > max_bytes)]
    return rows.sort_values("retained_bytes", ascending=False)


def _is_unread(slots: pd.DataFrame, grace_s: float) -> pd.Series:
    """Inactive for some time, or for an unknown time, and it has reserved WAL."""
    idle_s = seconds_since(slots.inactive_since_at, slots)
    return ~slots.is_active & slots.wal_status.notna() & (idle_s.isna() | (idle_s > grace_s))


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}",
    because="max_slot_wal_keep_size has no limit: slot {slot}, or any other, can fill the disk",
)
def slots_can_not_fill_the_disk(pg_slots):
    """Where there are replication slots, the WAL that they retain has a limit.

    With the default (-1) a disconnected replica fills the primary's disk and stops it; with a limit only the
    replica is lost (pg-healthcheck).
    """
    rows = pg_slots[~pg_slots.is_temporary & pg_slots.keep_limit_bytes.isna()]
    return rows.sort_values("retained_bytes", ascending=False).drop_duplicates("instance")

"""Rules about replication: replicas keep up, standbys receive and replay, and no slot keeps WAL for nobody."""

import pandas as pd

from nl_forensics.checks.rows import graded, seconds_since, worst_first
from nl_forensics.checks.rule import check

MIB = 1024**2
GIB = 1024**3


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {replica}",
    because="is {behind_bytes:bytes} behind (limit {max_bytes:bytes}), {replay_lag_s:seconds} from commit to visible there"
    " (limit {max_s:seconds}); it is {state}",
)
def replicas_keep_up(
    pg_replication, *, max_bytes=50 * MIB, severe_bytes=100 * MIB, max_s=5.0, severe_s=300.0, min_bytes=MIB
):
    """No replica is more than {max_bytes:bytes} or {max_s:seconds} behind.

    What it lacks is lost if the primary fails, and reads there are stale. 50 and 100 MiB (high): Crunchy; 5 s:
    awesome-prometheus-alerts, 300 s (high): CloudNativePG. The seconds of an idle primary mean nothing, so they
    count from {min_bytes:bytes} on (our own). A base backup is no replica.
    """
    t = pg_replication[pg_replication.state != "backup"]
    slow = (t.replay_lag_s > max_s) & (t.behind_bytes >= min_bytes)
    severe = (t.behind_bytes > severe_bytes) | (slow & (t.replay_lag_s > severe_s))
    return worst_first(graded(t, high=severe, medium=(t.behind_bytes > max_bytes) | slow), "behind_bytes")


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}",
    because="is a standby that receives nothing from its primary ({status}); last heard from: {heard}",
)
def every_standby_receives(pg_recovery):
    """Every standby receives WAL from its primary.

    Without it the data here grow old, and a failover loses what is missing (CloudNativePG: replica not streaming).
    A standby that is fed from an archive only, without primary_conninfo, is left out.
    """
    t = pg_recovery[pg_recovery.is_standby & pg_recovery.has_primary.fillna(False)]
    heard = t.heard_at.dt.strftime("%Y-%m-%d %H:%M:%S UTC").fillna("unknown")
    t = t.assign(status=t.receiver_status.fillna("there is no WAL receiver"), heard=heard)
    return t[t.receiver_status != "streaming"]


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}",
    because="is a standby that does not replay: {unreplayed_bytes:bytes} of the WAL that it received wait (limit"
    " {max_bytes:bytes}), and replay is {paused}",
)
def every_standby_replays(pg_recovery, *, max_bytes=50 * MIB, severe_bytes=100 * MIB):
    """Every standby replays what it receives, and is not paused.

    Replay waits for queries here that need old rows (max_standby_streaming_delay), for the disk, or for whoever
    paused it. 50 and 100 MiB (high): Crunchy's limits for replication.
    """
    t = pg_recovery[pg_recovery.is_standby]
    t = t.assign(paused=t.is_paused.map({True: "paused", False: "not paused"}))
    behind = t.unreplayed_bytes > max_bytes
    return worst_first(
        graded(t, high=t.unreplayed_bytes > severe_bytes, medium=behind | t.is_paused), "unreplayed_bytes"
    )


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}, {slot}",
    because="{fault}; it keeps {retained_bytes:bytes} of WAL (limit {max_bytes:bytes})",
    at="inactive_since_at",
)
def every_slot_is_read(pg_slots, *, max_bytes=5 * GIB, severe_bytes=20 * GIB, grace_s=60):
    """Every replication slot is being read, and keeps less than {max_bytes:bytes} of WAL.

    A slot that nobody reads keeps all WAL until the disk is full; one that is lost needs a new copy of its replica.
    Inactive: Crunchy, from 60 s on where PostgreSQL says since when (17); 5 and 20 GiB: pg-healthcheck. Left out:
    temporary slots, copies of the primary's slots on a standby, and slots that never reserved any WAL.
    """
    t = pg_slots[~pg_slots.is_temporary & ~pg_slots.is_synced]
    broken = t.wal_status.isin(["lost", "unreserved"])
    idle_s = seconds_since(t.inactive_since_at, t)
    unread = ~t.is_active & t.retained_bytes.notna() & (idle_s.isna() | (idle_s > grace_s))
    fault = pd.Series("keeps too much", index=t.index).mask(unread, "nobody reads it")
    fault = fault.mask(t.wal_status == "unreserved", "is about to lose WAL that its reader needs")
    fault = fault.mask(t.wal_status == "lost", "has lost WAL that its reader needs: make the replica anew")
    high, medium = unread | (t.retained_bytes > severe_bytes), t.retained_bytes > max_bytes
    return worst_first(graded(t.assign(fault=fault), critical=broken, high=high, medium=medium), "retained_bytes")


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}",
    because="max_slot_wal_keep_size has no limit: {slot}, or any other slot, can fill the disk",
)
def slots_can_not_fill_the_disk(pg_slots):
    """Where there are replication slots, the WAL that they keep has a limit.

    With the default (-1) a replica that stays away fills the primary's disk and stops it; with a limit only the
    replica is lost (pg-healthcheck).
    """
    t = pg_slots[~pg_slots.is_temporary & pg_slots.keep_limit_bytes.isna()]
    return t.sort_values("retained_bytes", ascending=False).drop_duplicates("instance")

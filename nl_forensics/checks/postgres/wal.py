"""Rules about the write-ahead log: it is archived, its directory stays small, and checkpoints come by the clock."""

import pandas as pd

from nl_forensics.checks.rows import graded, seconds_since, worst_first
from nl_forensics.checks.rule import check

MIB = 1024**2
GIB = 1024**3


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}",
    because="{fault}; last archived: {archived_when}; {ready_files} finished WAL files wait on the disk (limit {max_files})",
    at="last_failed_at",
    guide=("C010", "C011"),
)
def wal_is_archived(pg_archiver, *, max_files=100, severe_files=500, max_s=300):
    """Where WAL is archived, that doesn't fail, and fewer than {max_files} files wait.

    What isn't archived stays on the disk until it is full, and can't be restored from. Failing after the last
    success: CloudNativePG; 100 and 500 files (high): pg-healthcheck; 300 s with files waiting: pg_gather. Where
    archive_mode is off, nothing is asked of it.
    """
    t = pg_archiver[pg_archiver.archive_mode != "off"]
    failing = t.last_failed_at.notna() & (t.last_archived_at.isna() | (t.last_failed_at > t.last_archived_at))
    waiting = (t.ready_files > 0).fillna(False)
    stuck = waiting & (~t.has_command | (seconds_since(t.last_archived_at, t) > max_s))
    fault = pd.Series("the archiver can't keep up", index=t.index).mask(stuck, "nothing was archived lately")
    fault = fault.mask(~t.has_command, "there is no archive_command")
    fault = fault.mask(failing, "archiving fails: " + t.last_failed_wal + " could not be archived")
    archived_when = t.last_archived_at.dt.strftime("%Y-%m-%d %H:%M UTC").fillna("never")
    severe = failing | (stuck & ~t.has_command) | (t.ready_files >= severe_files)
    t = t.assign(fault=fault, archived_when=archived_when)
    return worst_first(graded(t, high=severe, medium=stuck | (t.ready_files >= max_files)), "ready_files")


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}",
    because="{because}; a checkpoint is requested early when WAL grows by max_wal_size ({max_wal_bytes:bytes})",
)
def checkpoints_come_by_the_clock(pg_checkpoints, *, max_ratio=0.5, min_checkpoints=10, max_requested=1):
    """Checkpoints come because their time has come, not because WAL has grown too fast.

    Each one writes out every changed page, and the first change of a page after it writes the whole page to WAL:
    too many of them slow every write. More than half of them requested (the mixin of postgres_exporter), of at
    least 10, is housekeeping: it may be long ago. More than one while we looked (our own) is medium.
    """
    t = pg_checkpoints
    total = t.timed + t.requested
    ratio = t.requested.astype("float64") / total.clip(lower=1).astype("float64")
    hurried = t.requested_delta > max_requested
    now = t.requested_delta.astype(str) + " were requested early in " + t.seconds.round(1).astype(str) + " s"
    ever = t.requested.astype(str) + " of " + total.astype(str) + " were requested early since the last reset"
    t = t.assign(because=now.where(hurried, ever))
    return graded(t, medium=hurried, note=(ratio > max_ratio) & (total >= min_checkpoints))


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}",
    because="pg_wal holds {directory_bytes:bytes} in {files:number} files; max_wal_size and wal_keep_size together allow"
    " {allowed_bytes:bytes} (limit {max_times:g} times that, or {max_bytes:bytes})",
)
def wal_directory_is_small(pg_wal, *, max_times=2.0, severe_times=5.0, max_bytes=50 * GIB):
    """The directory of the write-ahead log is at most {max_times:g} times as large as the settings ask for, and below {max_bytes:bytes}.

    When its volume is full, PostgreSQL stops. What keeps WAL: a slot that nobody reads, an archiver that fails, a
    write load that checkpoints can't keep up with. 50 GiB (high): pg-healthcheck; twice, and five times for high:
    our own.
    """
    t = pg_wal.assign(allowed_bytes=pg_wal.max_wal_bytes + pg_wal.keep_bytes)
    severe = (t.directory_bytes > severe_times * t.allowed_bytes) | (t.directory_bytes > max_bytes)
    t = graded(t, high=severe, medium=t.directory_bytes > max_times * t.allowed_bytes)
    return worst_first(t, "directory_bytes")


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}",
    because="{bytes_per_s:bytes} of WAL per second, over {seconds:.1f} s (limit {max_bytes_per_s:bytes})",
)
def wal_grows_at_a_bearable_rate(pg_wal, *, max_bytes_per_s=50 * MIB, severe_bytes_per_s=200 * MIB):
    """Less than {max_bytes_per_s:bytes} of WAL are written per second.

    Every byte goes to the disk, to each replica and to the archive. 50 and 200 MiB per second (high):
    pg-healthcheck.
    """
    t = pg_wal.assign(bytes_per_s=pg_wal.position_bytes_delta / pg_wal.seconds)
    t = graded(t, high=t.bytes_per_s > severe_bytes_per_s, medium=t.bytes_per_s > max_bytes_per_s)
    return worst_first(t, "bytes_per_s")

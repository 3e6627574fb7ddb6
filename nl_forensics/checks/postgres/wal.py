"""Rules about the write-ahead log: archiving, size, write rate and checkpoints."""

import pandas as pd

from nl_forensics.checks.rows import seconds_since
from nl_forensics.checks.rule import check

MIB = 1024**2
GIB = 1024**3


@check(
    section="05",
    severity="medium",
    high="is_failing or ready_files >= high_files",
    subject="postgres/{instance}",
    because="{fault}, WAL files waiting: {ready_files} (limit {max_files}); last archived: {archived_when}",
    at="last_failed_at",
    guide=("C010", "C011"),
)
def wal_is_archived(pg_archiver, *, max_files=100, high_files=500, max_s=300):
    """Archiving of WAL does not fail, and fewer than {max_files} files wait for it.

    Files that are not archived stay on the disk until it is full, and are missing from a restore. Failing after the last
    success: CloudNativePG; 100 and 500 files (high): pg-healthcheck; 300 s with files waiting: pg_gather. Servers with
    archive_mode off are excluded.
    """
    t = pg_archiver[pg_archiver.archive_mode != "off"]
    failing = t.last_failed_at.notna() & (t.last_archived_at.isna() | (t.last_failed_at > t.last_archived_at))
    waiting = (t.ready_files > 0).fillna(False)
    stuck = waiting & (~t.has_command | (seconds_since(t.last_archived_at, t) > max_s))
    fault = pd.Series("the archiver cannot keep up", index=t.index).mask(stuck, "no WAL file was archived recently")
    fault = fault.mask(~t.has_command, "archive_command is not set")
    fault = fault.mask(failing, "archiving of " + t.last_failed_wal + " failed")
    archived_when = t.last_archived_at.dt.strftime("%Y-%m-%d %H:%M UTC").fillna("never")
    t = t.assign(fault=fault, archived_when=archived_when, is_failing=failing | (stuck & ~t.has_command))
    return t[t.is_failing | stuck | (t.ready_files >= max_files)].sort_values("ready_files", ascending=False)


@check(
    section="05",
    severity="note",
    medium="is_hurried",
    subject="postgres/{instance}",
    because="{counted}; a checkpoint is requested early when WAL grows by max_wal_size ({max_wal_bytes:bytes})",
)
def checkpoints_come_by_the_clock(pg_checkpoints, *, max_ratio=0.5, min_checkpoints=10, max_requested=1):
    """Checkpoints are started by checkpoint_timeout, not by the growth of WAL.

    Each one writes out every changed page, and the first change of a page after it writes the whole page to WAL:
    too many of them slow down all writes. More than half of them requested (the mixin of postgres_exporter), of at
    least 10, is housekeeping: it may be long ago. More than one between the two readings (our choice) is medium.
    """
    t = pg_checkpoints
    total = t.timed + t.requested
    ratio = t.requested.astype("float64") / total.clip(lower=1).astype("float64")
    hurried = (t.requested_delta > max_requested).fillna(False)
    now = t.requested_delta.astype(str) + " checkpoints requested early in " + t.seconds.round(1).astype(str) + " s"
    ever = t.requested.astype(str) + " of " + total.astype(str) + " checkpoints requested early since the last reset"
    t = t.assign(counted=now.where(hurried, ever), is_hurried=hurried)
    return t[hurried | ((ratio > max_ratio) & (total >= min_checkpoints))]


@check(
    section="05",
    severity="medium",
    high="directory_bytes > high_times * allowed_bytes or directory_bytes > high_bytes",
    subject="postgres/{instance}",
    because="pg_wal has {directory_bytes:bytes} in {files:number} files (limit {high_bytes:bytes}, or {max_times:g}× the"
    " {allowed_bytes:bytes} of max_wal_size and wal_keep_size)",
)
def wal_directory_is_small(pg_wal, *, max_times=2.0, high_times=5.0, high_bytes=50 * GIB):
    """The WAL directory is at most {max_times:g} times as large as its settings allow, and below {high_bytes:bytes}.

    When its volume is full, PostgreSQL stops. WAL is retained by a slot without a reader, a failing archiver, or a
    write load that checkpoints cannot keep up with. 50 GiB (high): pg-healthcheck; twice, and five times for high:
    our choices.
    """
    t = pg_wal.assign(allowed_bytes=pg_wal.max_wal_bytes + pg_wal.keep_bytes)
    large = (t.directory_bytes > max_times * t.allowed_bytes) | (t.directory_bytes > high_bytes)
    return t[large].sort_values("directory_bytes", ascending=False)


@check(
    section="05",
    severity="medium",
    high="bytes_per_s > high_bytes_per_s",
    subject="postgres/{instance}",
    because="{bytes_per_s:bytes}/s of WAL written over {seconds:.1f} s (limit {max_bytes_per_s:bytes}/s)",
)
def wal_grows_at_a_bearable_rate(pg_wal, *, max_bytes_per_s=50 * MIB, high_bytes_per_s=200 * MIB):
    """At most {max_bytes_per_s:bytes} of WAL are written per second.

    Every byte goes to the disk, to each replica and to the archive. 50 and 200 MiB/s (high): pg-healthcheck.
    """
    t = pg_wal.assign(bytes_per_s=pg_wal.position_bytes_delta / pg_wal.seconds)
    return t[t.bytes_per_s > max_bytes_per_s].sort_values("bytes_per_s", ascending=False)

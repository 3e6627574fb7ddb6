"""The write-ahead log: how fast it grows, how it is archived, and the checkpoints that let go of it."""

from nl_forensics.sources import UTC, Permission, Proof, deltas, source
from nl_forensics.sources.postgres.rights import may_run, without_monitor

ARCHIVER = """
SELECT current_setting('archive_mode') AS archive_mode,
       current_setting('archive_command') NOT IN ('', '(disabled)') OR coalesce(current_setting('archive_library', true), '') <> ''
           AS has_command,
       archived_count AS archived, last_archived_wal, last_archived_time AS last_archived_at,
       failed_count AS failed, last_failed_wal, last_failed_time AS last_failed_at, stats_reset AS stats_reset_at
  FROM pg_stat_archiver
"""
READY = "SELECT count(*) AS files FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"

# The counters of checkpoints moved to a view of their own in 17.
CHECKPOINTS_BEFORE_17 = """
SELECT checkpoints_timed AS timed, checkpoints_req AS requested, checkpoint_write_time AS write_ms, checkpoint_sync_time AS sync_ms,
       extract(epoch FROM current_setting('checkpoint_timeout')::interval)::float8 AS timeout_s,
       pg_size_bytes(current_setting('max_wal_size')) AS max_wal_bytes, stats_reset AS stats_reset_at
  FROM pg_stat_bgwriter
"""
CHECKPOINTS = """
SELECT num_timed AS timed, num_requested AS requested, write_time AS write_ms, sync_time AS sync_ms,
       extract(epoch FROM current_setting('checkpoint_timeout')::interval)::float8 AS timeout_s,
       pg_size_bytes(current_setting('max_wal_size')) AS max_wal_bytes, stats_reset AS stats_reset_at
  FROM pg_stat_checkpointer
"""

WAL = """
SELECT pg_is_in_recovery() AS is_standby,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       '0/0')::bigint AS position_bytes,
       pg_size_bytes(current_setting('max_wal_size')) AS max_wal_bytes,
       pg_size_bytes(current_setting('wal_keep_size')) AS keep_bytes
"""
DIRECTORY = "SELECT count(*) AS files, coalesce(sum(size), 0)::bigint AS directory_bytes FROM pg_ls_waldir()"


@source(
    columns={
        "archive_mode": "str",
        "has_command": "boolean",
        "archived": "Int64",
        "last_archived_wal": "str",
        "last_archived_at": UTC,
        "failed": "Int64",
        "last_failed_wal": "str",
        "last_failed_at": UTC,
        "ready_files": "Int64",
        "stats_reset_at": UTC,
    },
    nullable=(
        "last_archived_wal",
        "last_archived_at",
        "last_failed_wal",
        "last_failed_at",
        "ready_files",
        "stats_reset_at",
    ),
    covers="now",
    needs=Permission(postgres="pg_monitor"),
)
def pg_archiver(postgres):
    """How finished WAL files leave for the archive; one row.

    archive_mode      `off`: nothing is archived, and nothing else here means anything; `on`; `always`: a standby does it, too
    has_command       there is a command or a library that archives; without one, finished files pile up
    archived, failed  files archived, and attempts that failed, since `stats_reset_at`
    ready_files       finished files that wait to be archived; null where we may not look
    """
    row = next(postgres.rows(ARCHIVER))
    if may_run(postgres, "pg_ls_archive_statusdir()"):
        yield row | {"ready_files": next(postgres.rows(READY))["files"]}
    else:
        yield row | {"ready_files": None}
        yield without_monitor("how many WAL files wait to be archived")


def _checkpoints(records: list[dict]):
    return deltas(records, ("timeout_s",), ("timed", "requested", "write_ms", "sync_ms"))


@source(
    parse=_checkpoints,
    columns={
        "timed": "Int64",
        "requested": "Int64",
        "timeout_s": "float64",
        "max_wal_bytes": "Int64",
        "stats_reset_at": UTC,
        "seconds": "float64",
        "timed_delta": "Int64",
        "requested_delta": "Int64",
        "write_ms_delta": "float64",
        "sync_ms_delta": "float64",
    },
    nullable=("stats_reset_at",),
    covers="since",
    readings=2,
)
def pg_checkpoints(postgres):
    """Checkpoints since the statistics were reset, and those while we looked; one row.

    timed             begun because checkpoint_timeout was over (timeout_s)
    requested         begun earlier: WAL had grown by max_wal_size (max_wal_bytes), or somebody asked for one
    *_delta           growth during `seconds`, while we looked
    write_ms_delta    time spent on writing pages, sync_ms_delta on waiting for the disk

    Cannot tell who requested one: a base backup and CREATE DATABASE do so, too.
    """
    yield from postgres.rows(CHECKPOINTS if postgres.version >= 170000 else CHECKPOINTS_BEFORE_17)
    yield Proof("the counters of checkpoints were read")


def _wal(records: list[dict]):
    return deltas(records, ("is_standby",), ("position_bytes",))


@source(
    parse=_wal,
    columns={
        "is_standby": "boolean",
        "files": "Int64",
        "directory_bytes": "Int64",
        "max_wal_bytes": "Int64",
        "keep_bytes": "Int64",
        "seconds": "float64",
        "position_bytes_delta": "Int64",
    },
    nullable=("files", "directory_bytes"),
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    readings=2,
)
def pg_wal(postgres):
    """The directory of the write-ahead log, and how fast it is written; one row.

    files, directory_bytes  in pg_wal; null where we may not look
    max_wal_bytes           max_wal_size: what checkpoints try to keep it below
    keep_bytes              wal_keep_size: kept for replicas without a slot
    position_bytes_delta    WAL written (on a standby: replayed) during `seconds`, while we looked

    How full the volume is, PostgreSQL cannot tell: that comes from Prometheus.
    """
    row = next(postgres.rows(WAL))
    if may_run(postgres, "pg_ls_waldir()"):
        yield row | next(postgres.rows(DIRECTORY))
    else:
        yield row | {"files": None, "directory_bytes": None}
        yield without_monitor("how large the directory of the write-ahead log is")
    yield Proof("the position in the write-ahead log was read")

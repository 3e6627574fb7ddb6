"""The write-ahead log: growth, archiving, and checkpoints."""

from nl_forensics.sources import UTC, Permission, Proof, deltas, source
from nl_forensics.sources.column import Column
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

RESET = "the statistics were reset between the two readings"


@source(
    columns={
        "archive_mode": Column("str", "`off`; `on`; `always`: a standby archives, too"),
        "has_command": Column(
            "boolean", "archive_command or archive_library is set; without one, finished files pile up"
        ),
        "archived": Column("Int64", "files archived since `stats_reset_at`"),
        "last_archived_wal": Column("str", "last file archived", absent="none since the statistics were reset"),
        "last_archived_at": Column(UTC, "when it was archived", absent="none since the statistics were reset"),
        "failed": Column("Int64", "failed attempts since `stats_reset_at`"),
        "last_failed_wal": Column(
            "str", "file of the last failed attempt", absent="no failure since the statistics were reset"
        ),
        "last_failed_at": Column(UTC, "last failed attempt", absent="no failure since the statistics were reset"),
        "ready_files": Column(
            "Int64", "finished files that are not archived yet", unknown="shown only to members of pg_monitor"
        ),
        "stats_reset_at": Column(UTC, "last reset of the statistics", absent="never reset"),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
)
def pg_archiver(postgres):
    """Archiving of finished WAL files; one row. With archive_mode `off` the other columns mean nothing."""
    row = next(postgres.rows(ARCHIVER))
    if may_run(postgres, "pg_ls_archive_statusdir()"):
        yield row | {"ready_files": next(postgres.rows(READY))["files"]}
    else:
        yield row | {"ready_files": None}
        yield without_monitor("WAL files ready to be archived")


def _checkpoints(records: list[dict]):
    return deltas(records, ("timeout_s",), ("timed", "requested", "write_ms", "sync_ms"))


@source(
    parse=_checkpoints,
    columns={
        "timed": Column("Int64", "checkpoints started by checkpoint_timeout"),
        "requested": Column(
            "Int64", "checkpoints started earlier: WAL grew by max_wal_size, or a command requested one"
        ),
        "timeout_s": Column("float64", "checkpoint_timeout"),
        "max_wal_bytes": Column("Int64", "max_wal_size"),
        "stats_reset_at": Column(UTC, "last reset of the statistics", absent="never reset"),
        "seconds": Column("float64", "seconds between the two readings", unknown=RESET),
        "timed_delta": Column("Int64", "growth of `timed` over `seconds`", unknown=RESET),
        "requested_delta": Column("Int64", "growth of `requested` over `seconds`", unknown=RESET),
        "write_ms_delta": Column("float64", "time spent writing pages", unknown=RESET),
        "sync_ms_delta": Column("float64", "time spent waiting for the disk to sync", unknown=RESET),
    },
    covers="since",
    readings=2,
)
def pg_checkpoints(postgres):
    """Checkpoints since the statistics were reset, and between two readings; one row.

    The requester is not recorded: base backups and CREATE DATABASE request checkpoints, too.
    """
    yield from postgres.rows(CHECKPOINTS if postgres.version >= 170000 else CHECKPOINTS_BEFORE_17)
    yield Proof("the counters of checkpoints were read")


def _wal(records: list[dict]):
    return deltas(records, ("is_standby",), ("position_bytes",))


@source(
    parse=_wal,
    columns={
        "is_standby": Column("boolean", "the server is a standby"),
        "files": Column("Int64", "files in pg_wal", unknown="shown only to members of pg_monitor"),
        "directory_bytes": Column("Int64", "their total size", unknown="shown only to members of pg_monitor"),
        "max_wal_bytes": Column("Int64", "max_wal_size: checkpoints try to keep the directory below it"),
        "keep_bytes": Column("Int64", "wal_keep_size: retained for replicas without a slot"),
        "seconds": Column(
            "float64", "seconds between the two readings", unknown="it was promoted between the two readings"
        ),
        "position_bytes_delta": Column(
            "Int64",
            "WAL written over `seconds`; on a standby, replayed",
            unknown="it was promoted between the two readings",
        ),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    readings=2,
)
def pg_wal(postgres):
    """The WAL directory and the write rate; one row.

    PostgreSQL does not know the free space of its volume: that comes from Prometheus.
    """
    row = next(postgres.rows(WAL))
    if may_run(postgres, "pg_ls_waldir()"):
        yield row | next(postgres.rows(DIRECTORY))
    else:
        yield row | {"files": None, "directory_bytes": None}
        yield without_monitor("size of the WAL directory")
    yield Proof("the position in the write-ahead log was read")

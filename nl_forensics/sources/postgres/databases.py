"""Counters of each database, and facts about the server."""

import time

import pandas as pd

from nl_forensics.sources import UTC, Partial, Permission, Proof, deltas, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.postgres.activity import HIDDEN_WITHOUT_STATS, MONITOR

RESET = "the statistics were reset between the two readings, or it is new"
COUNTERS = {
    "commits": "committed transactions, our own included",
    "rollbacks": "rolled-back transactions, our own included",
    "read_blocks": "blocks not found in shared_buffers: read from the disk or the operating system's cache",
    "hit_blocks": "blocks found in shared_buffers",
    "temp_files": "temporary files written by sorts and hashes that exceeded work_mem",
    "temp_bytes": "size of these temporary files",
    "deadlocks": "deadlocks; each ended one transaction with an error",
    "conflicts": "queries on a replica that replay cancelled",
    "sessions_abandoned": "sessions that ended because the client vanished",
    "sessions_fatal": "sessions that ended with a fatal error",
    "sessions_killed": "sessions that an operator terminated",
}
SINCE_14 = ("sessions_abandoned", "sessions_fatal", "sessions_killed")
DATABASES = """
SELECT datname AS database, numbackends AS backends, xact_commit AS commits, xact_rollback AS rollbacks,
       blks_read AS read_blocks, blks_hit AS hit_blocks, temp_files, temp_bytes, deadlocks, conflicts,
       {sessions}, stats_reset AS counted_since
  FROM pg_stat_database WHERE datname IS NOT NULL ORDER BY datname
"""
CHECKSUMS = """
SELECT datname AS database, checksum_failures AS failures, checksum_last_failure AS last_failure_at
  FROM pg_stat_database ORDER BY datname NULLS FIRST
"""
SERVER = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int / 10000 AS major_version,
       pg_is_in_recovery() AS in_recovery, pg_postmaster_start_time() AS started_at, pg_conf_load_time() AS configured_at,
       (SELECT max(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer') AS processes_started_at,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier
"""
EXTENSIONS = """
SELECT current_database() AS database, e.extname AS extension, e.extversion AS version, a.default_version AS shipped_version
  FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname ORDER BY e.extname
"""


def _counters() -> dict[str, Column]:
    """Each counter, and its growth between the two readings."""
    missing = dict.fromkeys(SINCE_14, "not counted before PostgreSQL 14")
    columns = {name: Column("Int64", meaning, unknown=missing.get(name, "")) for name, meaning in COUNTERS.items()}
    grown = {
        f"{name}_delta": Column("float64", f"growth of `{name}` over `seconds`", unknown=RESET) for name in COUNTERS
    }
    return columns | grown


def _growth(records: list[dict]) -> pd.DataFrame:
    return deltas(records, ("database",), tuple(COUNTERS))


@source(
    parse=_growth,
    columns={
        "database": Column("str", "name of the database"),
        "backends": Column("Int64", "current sessions in it"),
        **_counters(),
        "counted_since": Column(UTC, "last reset of the counters", absent="never reset since the database was created"),
        "seconds": Column("float64", "seconds between the two readings", unknown=RESET),
    },
    covers="since",
    readings=2,
    guide=("C038", "C066"),
)
def pg_databases(postgres):
    """Counters of each database since its statistics began, and their growth between two readings; one row per database.

    Cumulative counters carry no timestamps: they do not show when, before the first reading, an event was counted.
    """
    shown = ", ".join(SINCE_14 if postgres.version >= 140000 else (f"NULL::bigint AS {name}" for name in SINCE_14))
    yield from postgres.rows(DATABASES.format(sessions=shown))


@source(
    columns={
        "database": Column("str", "name of the database", absent="objects shared by all databases"),
        "failures": Column("Int64", "pages with a wrong checksum since the statistics began"),
        "last_failure_at": Column(UTC, "time of the last one", absent="no failure"),
    },
    covers="since",
)
def pg_checksums(postgres):
    """Pages read from disk with a wrong checksum; one row per database, and one for shared objects.

    Covers only pages that were read. Nothing is counted where data checksums are off.
    """
    if next(postgres.rows("SELECT current_setting('data_checksums') AS state"))["state"] != "on":
        yield Partial("page corruption: data checksums are off", "stop the server and run pg_checksums --enable")
        return
    yield from postgres.rows(CHECKSUMS)


@source(
    columns={
        "version": Column("str", "version, as `17.5`"),
        "major_version": Column("Int64", "major version"),
        "in_recovery": Column("boolean", "the server is a replica"),
        "started_at": Column(UTC, "start of the main process (postmaster)"),
        "configured_at": Column(UTC, "last reload of the configuration files"),
        "processes_started_at": Column(
            UTC,
            "start of the checkpointer: later than `started_at` after a crash, when PostgreSQL restarts all its processes",
            unknown=HIDDEN_WITHOUT_STATS,
        ),
        "system_identifier": Column("str", "identifies the cluster: the same for a primary and its replicas"),
        "answer_ms": Column("float64", "round trip of a trivial query"),
    },
    covers="since",
    needs=MONITOR,
    guide=("C020",),
)
def pg_server(postgres):
    """Version, role and start times of the server; one row."""
    began = time.monotonic()
    next(postgres.rows("SELECT 1 AS one"))
    took_ms = (time.monotonic() - began) * 1000
    for row in postgres.rows(SERVER):
        yield row | {"answer_ms": took_ms}


@source(
    columns={
        "database": Column("str", "database in which it is installed"),
        "extension": Column("str", "name of the extension"),
        "version": Column("str", "installed version"),
        "shipped_version": Column(
            "str", "version of the files on the server", absent="its files are not on the server"
        ),
    },
    covers="now",
    needs=Permission(),
)
def pg_extensions(database):
    """Installed extensions of every database; one row each."""
    yield from database.rows(EXTENSIONS)
    yield Proof("pg_extension was read")

"""What each database counted, and what the server tells of itself."""

import time

import pandas as pd

from nl_forensics.sources import UTC, Partial, Permission, Proof, deltas, source
from nl_forensics.sources.postgres.activity import MONITOR

COUNTERS = (
    "commits",
    "rollbacks",
    "read_blocks",
    "hit_blocks",
    "temp_files",
    "temp_bytes",
    "deadlocks",
    "conflicts",
    "sessions_abandoned",
    "sessions_fatal",
    "sessions_killed",
)
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


def _growth(records: list[dict]) -> pd.DataFrame:
    return deltas(records, ("database",), COUNTERS)


@source(
    parse=_growth,
    columns={
        "database": "str",
        "backends": "Int64",
        **dict.fromkeys(COUNTERS, "Int64"),
        "counted_since": UTC,
        "seconds": "float64",
        **{f"{counter}_delta": "float64" for counter in COUNTERS},
    },
    nullable=("counted_since", *SINCE_14, *(f"{counter}_delta" for counter in SINCE_14)),
    covers="since",
    readings=2,
    guide=("C038", "C066"),
)
def pg_databases(postgres):
    """What each database counted since its statistics began, and between two readings; one row per database.

    backends            sessions in it now
    commits, rollbacks  transactions that ended so; ours are among them
    read_blocks         blocks that were not in PostgreSQL's memory: read from the operating system, whose memory may have had them
    hit_blocks          blocks that were
    temp_files          written by sorts and hashes that did not fit into work_mem; temp_bytes: their size
    deadlocks           each ended one transaction with an error
    conflicts           queries on a replica that were cancelled for replay
    sessions_*          ended because the client vanished (abandoned), an error (fatal), or an operator (killed); null before PostgreSQL 14
    counted_since       null: never reset since the database was made
    seconds             between the two readings
    *_delta             what was added between them; null when the statistics were reset in between

    Counters have no past: when within the long time before the first reading something was counted is not told.
    """
    shown = ", ".join(SINCE_14 if postgres.version >= 140000 else (f"NULL::bigint AS {name}" for name in SINCE_14))
    yield from postgres.rows(DATABASES.format(sessions=shown))


@source(
    columns={"database": "str", "failures": "Int64", "last_failure_at": UTC},
    nullable=("database", "last_failure_at"),
    covers="since",
)
def pg_checksums(postgres):
    """Pages that were read from disk and did not match their checksum; one row per database, null: objects of all databases.

    failures         since the statistics began
    last_failure_at  null when there was none

    Only pages that were read are checked. Without data checksums nothing is, and this can't be told at all.
    """
    if next(postgres.rows("SELECT current_setting('data_checksums') AS state"))["state"] != "on":
        yield Partial("damaged pages: data checksums are off", "stop the server and run pg_checksums --enable")
        return
    yield from postgres.rows(CHECKSUMS)


@source(
    columns={
        "version": "str",
        "major_version": "Int64",
        "in_recovery": "boolean",
        "started_at": UTC,
        "configured_at": UTC,
        "processes_started_at": UTC,
        "system_identifier": "str",
        "answer_ms": "float64",
    },
    covers="since",
    needs=MONITOR,
    guide=("C020",),
)
def pg_server(postgres):
    """Who the server is, and since when it runs; one row.

    in_recovery           true: a replica
    started_at            start of the main process
    configured_at         when the configuration files were last read
    processes_started_at  start of the checkpointer: later than `started_at` when a crash made PostgreSQL start all its processes anew
    system_identifier     the same for a primary and its replicas
    answer_ms             how long a trivial question took, there and back, milliseconds
    """
    began = time.monotonic()
    next(postgres.rows("SELECT 1 AS one"))
    took_ms = (time.monotonic() - began) * 1000
    for row in postgres.rows(SERVER):
        yield row | {"answer_ms": took_ms}


@source(
    columns={"database": "str", "extension": "str", "version": "str", "shipped_version": "str"},
    nullable=("shipped_version",),
    covers="now",
    needs=Permission(),
)
def pg_extensions(database):
    """Extensions, by database; one row each.

    shipped_version  the version that the installed files would give; null when the files are gone
    """
    yield from database.rows(EXTENSIONS)
    yield Proof("pg_extension was read")

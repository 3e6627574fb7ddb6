"""Vacuum: its queue, its progress, what blocks it, and the age of transaction ids."""

from nl_forensics.sources import UTC, Permission, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.postgres.rights import of_the_primary_alone, sees_statistics, without_monitor

MAX_OLDEST_TABLES = 10  # of each database

AGES = {
    "xid_age": Column("Int64", "age of the oldest transaction id; writes stop before 2,147,483,648"),
    "multixact_age": Column("Int64", "age of the oldest multixact id; writes stop before 2,147,483,648"),
    "freeze_xid_age": Column("Int64", "age of transaction ids at which autovacuum freezes a table in any case"),
    "freeze_multixact_age": Column("Int64", "age of multixact ids at which autovacuum freezes a table in any case"),
}

AUTOVACUUM = """
SELECT current_setting('autovacuum')::boolean AS is_on,
       current_setting('track_counts')::boolean AS is_counting,
       current_setting('autovacuum_max_workers')::int AS max_workers,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker') AS workers,
       extract(epoch FROM current_setting('autovacuum_naptime')::interval)::float8 AS naptime_s
"""

# The formula of autovacuum.c: threshold + scale factor × rows, capped from 18 on; a table's own options come first.
QUEUE = """
SELECT current_database() AS database, n.nspname AS schema, c.relname AS "table",
       s.n_live_tup AS live_rows, s.n_dead_tup AS dead_rows,
       CASE WHEN cap.rows >= 0 THEN least(vacuum.rows, cap.rows) ELSE vacuum.rows END::float8 AS vacuum_at_dead_rows,
       s.n_mod_since_analyze AS rows_changed_since_analyze, analyze_at.rows::float8 AS analyze_at_changed_rows,
       coalesce((own.options ->> 'autovacuum_enabled')::boolean, true) AS is_enabled,
       EXISTS (SELECT FROM pg_stat_progress_vacuum p
                WHERE p.datname = current_database() AND p.relid = c.oid) AS is_being_vacuumed,
       greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum_at,
       greatest(s.last_analyze, s.last_autoanalyze) AS last_analyze_at
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_stat_all_tables s ON s.relid = c.oid
  LEFT JOIN LATERAL (SELECT jsonb_object_agg(option_name, option_value) AS options
                       FROM pg_options_to_table(c.reloptions)) own ON true
  CROSS JOIN LATERAL (
      SELECT coalesce(own.options ->> 'autovacuum_vacuum_threshold', current_setting('autovacuum_vacuum_threshold'))::numeric
           + coalesce(own.options ->> 'autovacuum_vacuum_scale_factor', current_setting('autovacuum_vacuum_scale_factor'))::numeric
           * greatest(c.reltuples, 0)::numeric AS rows) vacuum
  CROSS JOIN LATERAL (
      SELECT coalesce(own.options ->> 'autovacuum_analyze_threshold', current_setting('autovacuum_analyze_threshold'))::numeric
           + coalesce(own.options ->> 'autovacuum_analyze_scale_factor', current_setting('autovacuum_analyze_scale_factor'))::numeric
           * greatest(c.reltuples, 0)::numeric AS rows) analyze_at
  CROSS JOIN LATERAL (
      SELECT coalesce(own.options ->> 'autovacuum_vacuum_max_threshold',
                      current_setting('autovacuum_vacuum_max_threshold', true))::numeric AS rows) cap
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
   AND (n.nspname NOT IN ('pg_catalog', 'information_schema') OR s.n_dead_tup > 10000)
 ORDER BY s.n_dead_tup DESC, c.oid
"""

PROGRESS = """
SELECT p.pid, p.datname AS database, p.relid::bigint AS oid, p.phase, a.backend_type = 'autovacuum worker' AS is_automatic,
       a.query LIKE '%to prevent wraparound%' AS is_against_wraparound, a.xact_start AS started_at,
       p.heap_blks_total * current_setting('block_size')::bigint AS total_bytes,
       p.heap_blks_scanned * current_setting('block_size')::bigint AS scanned_bytes,
       p.heap_blks_vacuumed * current_setting('block_size')::bigint AS vacuumed_bytes,
       p.index_vacuum_count AS index_passes
  FROM pg_stat_progress_vacuum p JOIN pg_stat_activity a USING (pid)
 ORDER BY a.xact_start, p.pid
"""

WRAPAROUND = """
SELECT datname AS database, age(datfrozenxid) AS xid_age, mxid_age(datminmxid) AS multixact_age,
       current_setting('autovacuum_freeze_max_age')::bigint AS freeze_xid_age,
       current_setting('autovacuum_multixact_freeze_max_age')::bigint AS freeze_multixact_age
  FROM pg_database
 ORDER BY age(datfrozenxid) DESC, datname
"""

# A table's own option can only lower the age at which it is frozen. A TOAST table is listed under the name of its table.
WRAPAROUND_TABLES = """
SELECT current_database() AS database, n.nspname AS schema, coalesce(main.relname, c.relname) AS "table",
       c.relkind = 't' AS is_toast, age(c.relfrozenxid) AS xid_age, mxid_age(c.relminmxid) AS multixact_age,
       least((own.options ->> 'autovacuum_freeze_max_age')::bigint,
             current_setting('autovacuum_freeze_max_age')::bigint) AS freeze_xid_age,
       least((own.options ->> 'autovacuum_multixact_freeze_max_age')::bigint,
             current_setting('autovacuum_multixact_freeze_max_age')::bigint) AS freeze_multixact_age,
       c.relpages * current_setting('block_size')::bigint AS heap_bytes
  FROM pg_class c
  LEFT JOIN pg_class main ON c.relkind = 't' AND main.reltoastrelid = c.oid
  JOIN pg_namespace n ON n.oid = coalesce(main.relnamespace, c.relnamespace)
  LEFT JOIN LATERAL (SELECT jsonb_object_agg(option_name, option_value) AS options
                       FROM pg_options_to_table(c.reloptions)) own ON true
 WHERE c.relfrozenxid <> '0'
 ORDER BY greatest(age(c.relfrozenxid)::float8 / current_setting('autovacuum_freeze_max_age')::float8,
                   mxid_age(c.relminmxid)::float8 / current_setting('autovacuum_multixact_freeze_max_age')::float8) DESC, c.oid
 LIMIT %s
"""

# The xmin of a vacuum or a parallel worker does not keep dead rows.
XMIN_HOLDERS = """
SELECT CASE WHEN backend_type = 'walsender' THEN 'standby feedback' ELSE 'session' END AS kind,
       pid::text AS name, datname AS database, usename AS role, application_name AS application, state,
       greatest(age(backend_xmin), age(backend_xid)) AS xid_age,
       CASE WHEN backend_type <> 'walsender' THEN xact_start END AS held_since_at
  FROM pg_stat_activity
 WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND pid <> pg_backend_pid()
   AND backend_type NOT IN ('autovacuum worker', 'parallel worker')
   AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
UNION ALL
SELECT 'replication slot', slot_name, database, NULL, NULL, CASE WHEN active THEN 'active' ELSE 'inactive' END,
       greatest(age(xmin), age(catalog_xmin)), NULL
  FROM pg_replication_slots
 WHERE xmin IS NOT NULL OR catalog_xmin IS NOT NULL
UNION ALL
SELECT 'prepared transaction', gid, database, owner, NULL, 'prepared', age(transaction), prepared
  FROM pg_prepared_xacts
 ORDER BY xid_age DESC
"""

PREPARED = """
SELECT gid, database, owner AS role, prepared AS prepared_at, age(transaction) AS xid_age
  FROM pg_prepared_xacts
 ORDER BY prepared
"""


@source(
    columns={
        "is_on": Column("boolean", "autovacuum"),
        "is_counting": Column(
            "boolean", "track_counts: without it autovacuum does not know what changed, and does nothing"
        ),
        "max_workers": Column("Int64", "autovacuum_max_workers"),
        "workers": Column("Int64", "busy workers"),
        "naptime_s": Column("float64", "pause between two runs on a database"),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C073",),
)
def pg_autovacuum(postgres):
    """Settings of autovacuum and its busy workers; one row."""
    yield from postgres.rows(AUTOVACUUM)
    if not sees_statistics(postgres):
        yield without_monitor("busy autovacuum workers")


@source(
    columns={
        "database": Column("str", "database of the table"),
        "schema": Column("str", "schema of the table"),
        "table": Column("str", "name of the table"),
        "live_rows": Column("Int64", "live rows, by the statistics"),
        "dead_rows": Column("Int64", "dead rows, by the statistics"),
        "vacuum_at_dead_rows": Column(
            "float64", "autovacuum vacuums above this many, by the settings and the table's own options"
        ),
        "rows_changed_since_analyze": Column("Int64", "rows changed since the last analyze"),
        "analyze_at_changed_rows": Column("float64", "autovacuum analyzes above this many"),
        "is_enabled": Column("boolean", "false if the table has autovacuum_enabled=off"),
        "is_being_vacuumed": Column("boolean", "a vacuum of it is running"),
        "last_vacuum_at": Column(
            UTC, "last vacuum, manual or automatic", absent="never since the statistics were reset"
        ),
        "last_analyze_at": Column(
            UTC, "last analyze, manual or automatic", absent="never since the statistics were reset"
        ),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C073",),
)
def pg_vacuum_queue(database):
    """Tables of every database against the thresholds of autovacuum; one row per table, most dead rows first.

    A standby does not count dead rows: its primary does. System tables are included from 10,000 dead rows on.
    """
    yield from of_the_primary_alone(database, "dead and changed rows: a standby does not count them")
    if not sees_statistics(database):
        yield without_monitor("vacuums in progress")
    yield from database.rows(QUEUE)
    yield Proof("the statistics of the tables were read")


@source(
    columns={
        "pid": Column("Int64", "process id"),
        "database": Column("str", "database of the table"),
        "oid": Column("Int64", "oid of the table in its database"),
        "phase": Column("str", "`scanning heap`, `vacuuming indexes`, …"),
        "is_automatic": Column("boolean", "it runs in an autovacuum worker"),
        "is_against_wraparound": Column("boolean", "it must not be postponed, and does not yield to other work"),
        "started_at": Column(UTC, "start of the vacuum"),
        "total_bytes": Column("Int64", "size of the table"),
        "scanned_bytes": Column("Int64", "scanned so far"),
        "vacuumed_bytes": Column("Int64", "vacuumed so far"),
        "index_passes": Column("Int64", "passes over the indexes; more than one means too little maintenance_work_mem"),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C073",),
)
def pg_vacuum_progress(postgres):
    """Running vacuums; one row per process, oldest first."""
    if not sees_statistics(postgres):
        yield without_monitor("vacuums of other roles")
        return
    yield from postgres.rows(PROGRESS)
    yield Proof("the progress of vacuums was read")


@source(
    columns={
        "database": Column("str", "name of the database"),
        **AGES,
    },
    covers="now",
    guide=("C073",),
)
def pg_wraparound(postgres):
    """Age of the oldest transaction ids of each database; one row per database, oldest first."""
    yield from postgres.rows(WRAPAROUND)


@source(
    columns={
        "database": Column("str", "database of the table"),
        "schema": Column("str", "schema of the table"),
        "table": Column("str", "name of the table"),
        "is_toast": Column("boolean", "it is the part of the table that holds oversized values"),
        **AGES,
        "heap_bytes": Column("Int64", "size of the rows at the last vacuum or analyze"),
    },
    covers="now",
)
def pg_wraparound_tables(database):
    """The 10 tables of every database with the oldest transaction ids, system tables included; one row per table, oldest first.

    Freeze ages include the table's own options.
    """
    yield from database.rows(WRAPAROUND_TABLES, [MAX_OLDEST_TABLES])


@source(
    columns={
        "kind": Column(
            "str", "`session`, `replication slot`, `prepared transaction`, or `standby feedback` (a query on a replica)"
        ),
        "name": Column("str", "process id, name of the slot, or id of the prepared transaction"),
        "database": Column("str", "database that it is connected to", absent="connected to no database"),
        "role": Column("str", "role that it belongs to", absent="a replication slot belongs to no role"),
        "application": Column("str", "application_name", absent="not a session"),
        "state": Column(
            "str",
            "state of the session; of a slot `active` or `inactive`",
            absent="a background process without a state",
        ),
        "xid_age": Column("Int64", "transactions begun since: rows that died after that cannot be removed"),
        "held_since_at": Column(
            UTC, "start of the transaction", unknown="recorded for sessions and prepared transactions only"
        ),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C073",),
)
def pg_xmin_holders(postgres):
    """What prevents vacuum from removing dead rows; one row per holder, the oldest first."""
    if not sees_statistics(postgres):
        yield without_monitor("the transactions of other roles")
    yield from of_the_primary_alone(postgres, "transactions and slots of the primary")
    yield from postgres.rows(XMIN_HOLDERS)
    yield Proof("sessions, slots and prepared transactions were read")


@source(
    columns={
        "gid": Column("str", "identifier that the transaction manager assigned"),
        "database": Column("str", "database of the transaction"),
        "role": Column("str", "role that prepared it"),
        "prepared_at": Column(UTC, "when it was prepared; it holds its locks since then, restarts included"),
        "xid_age": Column("Int64", "transactions begun since"),
    },
    covers="now",
)
def pg_prepared_transactions(postgres):
    """Prepared transactions (two-phase commit), neither committed nor rolled back; one row each, oldest first."""
    yield from of_the_primary_alone(postgres, "prepared transactions: a standby does not show them")
    yield from postgres.rows(PREPARED)
    yield Proof("pg_prepared_xacts was read")

"""Vacuum: what waits for it, what holds it back, and how far the transaction ids are used up."""

from nl_forensics.sources import UTC, Permission, Proof, source
from nl_forensics.sources.postgres.rights import of_the_primary_alone, sees_statistics, without_monitor

OLDEST_TABLES = 10  # of each database

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

# A table's own option can only lower the age at which it is frozen. A TOAST table is told under the name of its table.
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

# A vacuum and a parallel worker carry an xmin that holds nothing back.
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
        "is_on": "boolean",
        "is_counting": "boolean",
        "max_workers": "Int64",
        "workers": "Int64",
        "naptime_s": "float64",
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C073",),
)
def pg_autovacuum(postgres):
    """How autovacuum is set, and how many of its workers are busy; one row.

    is_counting  track_counts: without it, autovacuum doesn't know what changed, and does nothing
    workers      busy now, of max_workers
    naptime_s    pause between two looks at a database, seconds
    """
    yield from postgres.rows(AUTOVACUUM)
    if not sees_statistics(postgres):
        yield without_monitor("how many autovacuum workers are busy")


@source(
    columns={
        "database": "str",
        "schema": "str",
        "table": "str",
        "live_rows": "Int64",
        "dead_rows": "Int64",
        "vacuum_at_dead_rows": "float64",
        "rows_changed_since_analyze": "Int64",
        "analyze_at_changed_rows": "float64",
        "is_enabled": "boolean",
        "is_being_vacuumed": "boolean",
        "last_vacuum_at": UTC,
        "last_analyze_at": UTC,
    },
    nullable=("last_vacuum_at", "last_analyze_at"),
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C073",),
)
def pg_vacuum_queue(database):
    """What each table of every database has in store for autovacuum; one row per table, most dead rows first.

    live_rows, dead_rows        counted by PostgreSQL's statistics
    vacuum_at_dead_rows         autovacuum comes above this many, by the settings and the table's own options
    rows_changed_since_analyze  autovacuum renews the planner's statistics above analyze_at_changed_rows
    is_enabled                  false: the table was taken out of autovacuum (autovacuum_enabled=off)
    last_vacuum_at, last_analyze_at
                                by hand or automatic, UTC; null: never since the statistics were reset

    A standby can't tell: its primary counts. Tables of the system are told only when they have > 10,000 dead rows.
    """
    yield from of_the_primary_alone(database, "dead and changed rows: a standby doesn't count them")
    if not sees_statistics(database):
        yield without_monitor("which tables are being vacuumed right now")
    yield from database.rows(QUEUE)
    yield Proof("the statistics of the tables were read")


@source(
    columns={
        "pid": "Int64",
        "database": "str",
        "oid": "Int64",
        "phase": "str",
        "is_automatic": "boolean",
        "is_against_wraparound": "boolean",
        "started_at": UTC,
        "total_bytes": "Int64",
        "scanned_bytes": "Int64",
        "vacuumed_bytes": "Int64",
        "index_passes": "Int64",
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C073",),
)
def pg_vacuum_progress(postgres):
    """Vacuums that run right now; one row per process, oldest first.

    oid                    of the table, in its database
    is_against_wraparound  it can't be put off, and doesn't give way to other work
    total_bytes            of the table; scanned_bytes and vacuumed_bytes of these are done
    index_passes           how often the indexes were gone through: more than one means too little maintenance_work_mem
    """
    if not sees_statistics(postgres):
        yield without_monitor("what the vacuums of other roles do")
        return
    yield from postgres.rows(PROGRESS)
    yield Proof("the progress of vacuums was read")


@source(
    columns={
        "database": "str",
        "xid_age": "Int64",
        "multixact_age": "Int64",
        "freeze_xid_age": "Int64",
        "freeze_multixact_age": "Int64",
    },
    covers="now",
    guide=("C073",),
)
def pg_wraparound(postgres):
    """How old the oldest transaction id of each database is; one row per database, oldest first.

    xid_age, multixact_age  PostgreSQL stops to accept writes before either reaches 2^31 = 2,147,483,648
    freeze_xid_age, freeze_multixact_age
                            at this age autovacuum freezes a table, whatever else it has to do
    """
    yield from postgres.rows(WRAPAROUND)


@source(
    columns={
        "database": "str",
        "schema": "str",
        "table": "str",
        "is_toast": "boolean",
        "xid_age": "Int64",
        "multixact_age": "Int64",
        "freeze_xid_age": "Int64",
        "freeze_multixact_age": "Int64",
        "heap_bytes": "Int64",
    },
    covers="now",
)
def pg_wraparound_tables(database):
    """The 10 tables of every database with the oldest transaction ids, system tables too; one row per table, oldest first.

    is_toast         it is the part of the table that holds oversized values
    xid_age, multixact_age, freeze_xid_age, freeze_multixact_age
                     as in `pg_wraparound`, with the table's own options
    """
    yield from database.rows(WRAPAROUND_TABLES, [OLDEST_TABLES])


@source(
    columns={
        "kind": "str",
        "name": "str",
        "database": "str",
        "role": "str",
        "application": "str",
        "state": "str",
        "xid_age": "Int64",
        "held_since_at": UTC,
    },
    nullable=("database", "role", "application", "state", "held_since_at"),
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C073",),
)
def pg_xmin_holders(postgres):
    """What keeps vacuum from removing dead rows; one row per holder, the oldest first.

    kind           `session`, `replication slot`, `prepared transaction`, or `standby feedback` (a query on a replica)
    name           process id, name of the slot, or id of the prepared transaction
    xid_age        how many transactions have begun since: rows that died after that can't be removed
    held_since_at  UTC; null where PostgreSQL doesn't say (slots, standbys)
    """
    if not sees_statistics(postgres):
        yield without_monitor("the transactions of other roles")
    yield from of_the_primary_alone(postgres, "transactions and slots of the primary")
    yield from postgres.rows(XMIN_HOLDERS)
    yield Proof("sessions, slots and prepared transactions were read")


@source(
    columns={"gid": "str", "database": "str", "role": "str", "prepared_at": UTC, "xid_age": "Int64"},
    covers="now",
)
def pg_prepared_transactions(postgres):
    """Transactions that were prepared (two-phase commit) and neither committed nor rolled back; one row each, oldest first.

    gid          the name that the transaction manager gave it
    prepared_at  UTC; since then its locks are held, also through a restart
    """
    yield from of_the_primary_alone(postgres, "prepared transactions: a standby doesn't show them")
    yield from postgres.rows(PREPARED)
    yield Proof("pg_prepared_xacts was read")

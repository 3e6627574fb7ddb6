"""Tables and databases: sizes, and reads by sequential scan or index."""

from nl_forensics.errors import NotReachable
from nl_forensics.sources import UTC, Partial, Permission, Proof, deltas, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.postgres.rights import GRANT_MONITOR

MAX_SIZED_EXACTLY = 30
NO_DELTA = "the statistics were reset between the two readings, or the table is new"

# Pages come from the catalogue, which needs no lock on the table; the exact size functions wait behind ALTER TABLE.
TABLES = """
WITH indexes AS (
    SELECT i.indrelid, sum(c.relpages)::bigint AS pages
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
     GROUP BY i.indrelid
)
SELECT current_database() AS database, c.oid::bigint AS oid, n.nspname AS schema, c.relname AS "table",
       root_schema.nspname || '.' || root.relname AS root,
       nullif(c.reltuples, -1)::bigint AS estimated_rows,
       c.relpages * current_setting('block_size')::bigint AS heap_bytes,
       (coalesce(toast.relpages, 0) + coalesce(toast_indexes.pages, 0)) * current_setting('block_size')::bigint AS toast_bytes,
       coalesce(indexes.pages, 0) * current_setting('block_size')::bigint AS indexes_bytes,
       coalesce(s.seq_scan, 0) AS sequential_scans,
       coalesce(s.seq_tup_read, 0) AS sequential_rows,
       coalesce(s.idx_scan, 0) AS index_scans,
       s.n_tup_ins + s.n_tup_upd + s.n_tup_del AS written_rows,
       coalesce(d.stats_reset, pg_postmaster_start_time()) AS counted_since_at
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class root ON root.oid = coalesce(pg_partition_root(c.oid), c.oid)
  JOIN pg_namespace root_schema ON root_schema.oid = root.relnamespace
  JOIN pg_stat_all_tables s ON s.relid = c.oid
  JOIN pg_stat_database d ON d.datname = current_database()
  LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
  LEFT JOIN indexes ON indexes.indrelid = c.oid
  LEFT JOIN indexes toast_indexes ON toast_indexes.indrelid = toast.oid
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
 ORDER BY c.relpages DESC, c.oid
"""

# Partitions count for the table that they are parts of.
LARGEST = """
SELECT n.nspname AS schema, root.relname AS "table", parts.oids
  FROM (SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root, array_agg(c.oid::bigint) AS oids,
               sum(greatest(c.relpages, coalesce(s.n_live_tup, 0) / 100)) AS pages
          FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
         GROUP BY 1) parts
  JOIN pg_class root ON root.oid = parts.root
  JOIN pg_namespace n ON n.oid = root.relnamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
 ORDER BY parts.pages DESC, root.oid
 LIMIT %s
"""

EXACT_SIZE = """
SELECT sum(pg_table_size(oid)) AS table_bytes, sum(pg_indexes_size(oid)) AS indexes_bytes
  FROM unnest(%s::oid[]) AS part(oid)
"""

DATABASES = """
SELECT datname AS database,
       CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') OR has_database_privilege(oid, 'CONNECT')
            THEN pg_database_size(oid) END AS size_bytes
  FROM pg_database
 ORDER BY size_bytes DESC NULLS LAST
"""


def _growth(records: list[dict]):
    counters = ("sequential_scans", "sequential_rows", "index_scans", "written_rows")
    return deltas(records, ("database", "oid"), counters)


@source(
    parse=_growth,
    columns={
        "database": Column("str", "database of the table"),
        "schema": Column("str", "schema of the table"),
        "table": Column("str", "name of the table"),
        "root": Column("str", "partitioned table that it belongs to, else itself, as `schema.table`"),
        "estimated_rows": Column("Int64", "rows at the last vacuum or analyze", unknown="never vacuumed or analyzed"),
        "heap_bytes": Column("Int64", "size of the rows at the last vacuum or analyze; 0 before the first"),
        "toast_bytes": Column(
            "Int64", "size of oversized values (TOAST) at the last vacuum or analyze; 0 before the first"
        ),
        "indexes_bytes": Column("Int64", "size of all indexes at the last vacuum or analyze; 0 before the first"),
        "sequential_scans": Column("Int64", "sequential scans since `counted_since_at`"),
        "index_scans": Column("Int64", "index scans since `counted_since_at`"),
        "counted_since_at": Column(UTC, "last reset of the statistics, else start of the server"),
        "seconds": Column("float64", "seconds between the two readings", unknown=NO_DELTA),
        "sequential_scans_delta": Column("Int64", "sequential scans that ended within `seconds`", unknown=NO_DELTA),
        "sequential_rows_delta": Column("Int64", "rows that they read", unknown=NO_DELTA),
        "index_scans_delta": Column("Int64", "index scans within `seconds`", unknown=NO_DELTA),
        "written_rows_delta": Column("Int64", "rows inserted, updated and deleted within `seconds`", unknown=NO_DELTA),
    },
    covers="now",
    readings=2,
    guide=("C071",),
)
def pg_tables(database):
    """Tables of every database with estimated sizes and scans; one row per table, largest first.

    Estimates come from the catalogue, which no lock on the table blocks. A scan is counted when it ends.
    """
    yield from database.rows(TABLES)
    yield Proof("the catalogue of the tables was read")


@source(
    columns={
        "database": Column("str", "database of the table"),
        "schema": Column("str", "schema of the table"),
        "table": Column("str", "name of the table"),
        "partitions": Column("Int64", "tables that hold its data: 1 unless it is partitioned"),
        "table_bytes": Column("Int64", "rows, oversized values (TOAST) and maps of free space"),
        "indexes_bytes": Column("Int64", "all its indexes"),
    },
    covers="now",
    guide=("C071",),
)
def pg_relation_sizes(database):
    """Exact sizes of the 30 largest tables of every database, partitions summed; one row per table, largest first.

    The size functions wait behind an exclusive lock, so each table is measured alone, with a timeout of 0.1 s.
    """
    for root in list(database.rows(LARGEST, [MAX_SIZED_EXACTLY])):
        name = {"schema": root["schema"], "table": root["table"]}
        try:
            size = next(database.rows(EXACT_SIZE, [root["oids"]]))
        except NotReachable as error:
            yield Partial(f"size of {name['schema']}.{name['table']}: {error}", "check pg_blocking, then collect again")
            continue
        if size["table_bytes"] is not None:  # it was not dropped meanwhile
            yield {"database": database.database} | name | {"partitions": len(root["oids"])} | size
    yield Proof(f"the {MAX_SIZED_EXACTLY} largest tables were measured")


@source(
    columns={
        "database": Column("str", "name of the database"),
        "size_bytes": Column("Int64", "all its files", unknown="our role may not connect to it"),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C071",),
)
def pg_database_sizes(postgres):
    """The size of every database on disk; one row per database, largest first.

    PostgreSQL does not know the free space of its volume: that comes from Prometheus.
    """
    for row in postgres.rows(DATABASES):
        yield row
        if row["size_bytes"] is None:
            yield Partial(f"size of database {row['database']}", GRANT_MONITOR)

"""What lies in a database: its tables, how large they are and how they are read."""

from nl_forensics.errors import NotReachable
from nl_forensics.sources import UTC, Partial, Permission, Proof, deltas, source
from nl_forensics.sources.postgres.rights import GRANT_MONITOR

SIZED_EXACTLY = 30

# Pages come from the catalogue, which nobody locks; the exact size functions wait behind ALTER TABLE.
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
        "database": "str",
        "schema": "str",
        "table": "str",
        "root": "str",
        "estimated_rows": "Int64",
        "heap_bytes": "Int64",
        "toast_bytes": "Int64",
        "indexes_bytes": "Int64",
        "sequential_scans": "Int64",
        "index_scans": "Int64",
        "counted_since_at": UTC,
        "seconds": "float64",
        "sequential_scans_delta": "Int64",
        "sequential_rows_delta": "Int64",
        "index_scans_delta": "Int64",
        "written_rows_delta": "Int64",
    },
    nullable=("estimated_rows",),
    covers="now",
    readings=2,
    guide=("C071",),
)
def pg_tables(database):
    """Tables of every database: their size by estimate, and how they are read; one row per table, largest first.

    root                    the partitioned table that this one is a part of, else the table itself: `schema.table`
    estimated_rows          as of the last vacuum or analyze; null before the first
    heap_bytes, toast_bytes, indexes_bytes
                            pages at the last vacuum or analyze: an estimate, 0 before the first, which no lock can hold up
    sequential_scans, index_scans
                            how often the table was read whole, or through an index, since `counted_since_at`
    counted_since_at        when its statistics were reset, else when the server started; UTC
    *_delta                 growth of a counter during `seconds`, while we looked
    sequential_rows_delta   rows read by sequential scans
    written_rows_delta      rows inserted, updated and deleted

    Cannot tell what was read before we looked; a scan is counted when it ends.
    """
    yield from database.rows(TABLES)
    yield Proof("the catalogue of the tables was read")


@source(
    columns={
        "database": "str",
        "schema": "str",
        "table": "str",
        "partitions": "Int64",
        "table_bytes": "Int64",
        "indexes_bytes": "Int64",
    },
    covers="now",
    guide=("C071",),
)
def pg_relation_sizes(database):
    """Exact sizes of the 30 largest tables of every database, partitions added up; one row per table, largest first.

    partitions     tables that hold the data: 1 unless it is partitioned
    table_bytes    rows, their oversized values (TOAST) and the maps of free space
    indexes_bytes  all its indexes

    The size functions wait behind an exclusive lock, so each table is asked for alone and given up after 0.1 s.
    """
    for root in list(database.rows(LARGEST, [SIZED_EXACTLY])):
        name = {"schema": root["schema"], "table": root["table"]}
        try:
            size = next(database.rows(EXACT_SIZE, [root["oids"]]))
        except NotReachable as error:
            yield Partial(f"the size of {name['schema']}.{name['table']}: {error}", "see the lock tree, collect again")
            continue
        if size["table_bytes"] is not None:  # it was not dropped meanwhile
            yield {"database": database.database} | name | {"partitions": len(root["oids"])} | size
    yield Proof(f"the {SIZED_EXACTLY} largest tables were measured")


@source(
    columns={"database": "str", "size_bytes": "Int64"},
    nullable=("size_bytes",),
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C071",),
)
def pg_database_sizes(postgres):
    """The size of every database on disk; one row per database, largest first.

    size_bytes  all its files; null where we may not connect to it

    How full the volume is, PostgreSQL cannot tell: that comes from Prometheus.
    """
    for row in postgres.rows(DATABASES):
        yield row
        if row["size_bytes"] is None:
            yield Partial(f"the size of database {row['database']}", GRANT_MONITOR)

"""Bloat: space that tables and indexes hold and do not use."""

from nl_forensics.errors import NotReachable
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import Column

MIN_BYTES = 10 * 1024**2  # smaller ones can't waste much
MAX_BYTES_READ = 128 * 1024**2  # by pgstattuple_approx, per database: a slow disk must not get slower

EXTENSION = """
SELECT quote_ident(n.nspname) AS schema
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
 WHERE e.extname = 'pgstattuple' AND pg_has_role('pg_stat_scan_tables', 'USAGE')
"""

# pgstattuple_approx reads only the pages that the visibility map does not mark as all-visible.
TABLES_TO_MEASURE = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS "table",
       greatest(c.relpages - c.relallvisible, 0) * current_setting('block_size')::bigint AS read_bytes,
       coalesce((SELECT option_value::float8 FROM pg_options_to_table(c.reloptions) WHERE option_name = 'fillfactor'), 100)
           / 100 AS fill_ratio
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND c.relpages * current_setting('block_size')::bigint > %s
 ORDER BY c.relpages DESC, c.oid
"""
MEASURE = """
SELECT table_len AS heap_bytes,
       greatest(dead_tuple_len + approx_free_space - table_len * (1 - %s::float8), 0)::bigint AS bloat_bytes
  FROM {schema}.pgstattuple_approx(%s::oid::regclass)
"""

# Of a column of variable width only pg_stats knows the average, and shows it only to roles that may read the column. Widths are rounded
# up to the alignment, nulls count as values: so the estimate errs on the side of too little bloat.
WIDTHS = """
SELECT a.attrelid AS relation,
       count(*) FILTER (WHERE a.attlen < 0 AND s.avg_width IS NULL) AS unknown,
       sum(ceil(coalesce(nullif(a.attlen, -1), s.avg_width)::numeric / align.bytes) * align.bytes)::bigint AS bytes
  FROM pg_attribute a
  CROSS JOIN LATERAL (SELECT CASE a.attalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END AS bytes) align
  LEFT JOIN pg_index x ON x.indexrelid = a.attrelid
  JOIN pg_class owner ON owner.oid = CASE WHEN x.indkey[a.attnum - 1] > 0 THEN x.indrelid ELSE a.attrelid END
  JOIN pg_namespace n ON n.oid = owner.relnamespace
  LEFT JOIN pg_attribute named ON named.attrelid = owner.oid
       AND named.attnum = CASE WHEN x.indkey[a.attnum - 1] > 0 THEN x.indkey[a.attnum - 1] ELSE a.attnum END
  LEFT JOIN (SELECT schemaname, tablename, attname, max(avg_width) AS avg_width FROM pg_stats GROUP BY 1, 2, 3) s
       ON s.schemaname = n.nspname AND s.tablename = owner.relname AND s.attname = named.attname
 WHERE a.attnum > 0 AND NOT a.attisdropped
   AND a.attrelid IN (SELECT oid FROM pg_class WHERE relpages * current_setting('block_size')::bigint > {floor})
 GROUP BY a.attrelid
"""

# A row: 4 bytes of pointer, 24 of header, the columns; 8,168 usable bytes of a page.
TABLE_ESTIMATE = f"""
WITH widths AS ({WIDTHS.format(floor=MIN_BYTES)}), size AS (SELECT current_setting('block_size')::bigint AS page)
SELECT current_database() AS database, n.nspname AS schema, c.relname AS "table", 'estimate' AS method,
       c.relpages * size.page AS heap_bytes, widths.unknown > 0 AS is_unknown,
       greatest(c.relpages - ceil(c.reltuples * (28 + ceil(widths.bytes / 8.0) * 8) / ((size.page - 24) * fill.ratio)), 0)::bigint
           * size.page AS bloat_bytes
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN widths ON widths.relation = c.oid
  CROSS JOIN size
  CROSS JOIN LATERAL (SELECT coalesce((SELECT option_value::float8 FROM pg_options_to_table(c.reloptions)
                                        WHERE option_name = 'fillfactor'), 100) / 100 AS ratio) fill
 WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND c.reltuples >= 0
 ORDER BY bloat_bytes DESC NULLS LAST, c.oid
"""

# An entry: 4 bytes of pointer, 8 of header, the columns; 8,152 usable bytes of a page. Equal keys may be stored once
# (deduplication), which this doesn't count: again too little bloat.
INDEX_ESTIMATE = f"""
WITH widths AS ({WIDTHS.format(floor=MIN_BYTES)}), size AS (SELECT current_setting('block_size')::bigint AS page)
SELECT current_database() AS database, n.nspname AS schema, t.relname AS "table", c.relname AS index, 'estimate' AS method,
       c.relpages * size.page AS index_bytes, widths.unknown > 0 AS is_unknown,
       greatest(c.relpages - 1 - ceil(c.reltuples * (12 + ceil(widths.bytes / 8.0) * 8) / ((size.page - 40) * fill.ratio)), 0)::bigint
           * size.page AS bloat_bytes
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_am am ON am.oid = c.relam AND am.amname = 'btree'
  JOIN widths ON widths.relation = c.oid
  CROSS JOIN size
  CROSS JOIN LATERAL (SELECT coalesce((SELECT option_value::float8 FROM pg_options_to_table(c.reloptions)
                                        WHERE option_name = 'fillfactor'), 90) / 100 AS ratio) fill
 WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
   AND c.reltuples >= 0
 ORDER BY bloat_bytes DESC NULLS LAST, c.oid
"""
CLOSES_TABLES = (
    "CREATE EXTENSION pgstattuple in the database (pg_monitor may use it), or GRANT SELECT ON its tables TO the role"
)
CLOSES_INDEXES = "GRANT SELECT ON the tables TO the role (pg_stats then shows the widths of their columns)"


@source(
    columns={
        "database": Column("str", "database of the table"),
        "schema": Column("str", "schema of the table"),
        "table": Column("str", "name of the table"),
        "method": Column("str", "`measured` by pgstattuple_approx where that extension is installed, else `estimate`"),
        "heap_bytes": Column("Int64", "the table without indexes and TOAST"),
        "bloat_bytes": Column("Int64", "unused space beyond the free space that the fillfactor reserves"),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C071",),
)
def pg_table_bloat(database):
    """Unused space in tables larger than 10 MiB; one row per table.

    New rows reuse this space; only a rewrite of the table returns it to the disk. An estimate uses row counts and column widths of the last
    vacuum or analyze, and errs on the low side.
    """
    extension = list(database.rows(EXTENSION))
    if extension:
        yield from _measured(database, extension[0]["schema"])
    else:
        yield from _known(database, TABLE_ESTIMATE, "tables", CLOSES_TABLES)
    yield Proof("tables larger than 10 MiB were searched for")


def _measured(database, schema: str):
    left = MAX_BYTES_READ
    for table in list(database.rows(TABLES_TO_MEASURE, [MIN_BYTES])):
        name = f"{table['schema']}.{table['table']}"
        if table["read_bytes"] > left:
            large = f"bloat of {name}: measuring it means reading {table['read_bytes'] / 1024**2:,.0f} MiB"
            yield Partial(large, f"VACUUM {name} (makes it quick to measure), then collect again")
            continue
        left -= table["read_bytes"]
        try:
            size = next(database.rows(MEASURE.format(schema=schema), [table["fill_ratio"], table["oid"]]))
        except NotReachable as error:
            yield Partial(f"bloat of {name}: {error}", "check pg_blocking, then collect again")
            continue
        yield {
            "database": database.database,
            "schema": table["schema"],
            "table": table["table"],
            "method": "measured",
        } | size


def _known(database, estimate: str, what: str, remedy: str):
    """The estimates, and a gap where we may not read the widths of columns."""
    unknown = 0
    for row in database.rows(estimate):
        if row.pop("is_unknown"):
            unknown += 1
        else:
            yield row
    if unknown:
        yield Partial(
            f"bloat of {unknown} {what} in {database.database}: no right to read the widths of their columns", remedy
        )


@source(
    columns={
        "database": Column("str", "database of the index"),
        "schema": Column("str", "schema of the index and its table"),
        "table": Column("str", "table of the index"),
        "index": Column("str", "name of the index"),
        "method": Column("str", "`estimate`: from the number of entries and the widths of the columns"),
        "index_bytes": Column("Int64", "size of the whole index"),
        "bloat_bytes": Column("Int64", "unused space beyond the free space that the fillfactor reserves"),
    },
    covers="now",
    needs=Permission(postgres="SELECT ON ALL TABLES IN SCHEMA public", adds="bloat of indexes on text columns"),
    guide=("C071", "C072"),
)
def pg_index_bloat(database):
    """Unused space in B-tree indexes larger than 10 MiB, estimated; one row per index.

    An estimate errs on the low side. Only REINDEX returns the space to the disk.
    """
    yield from _known(database, INDEX_ESTIMATE, "indexes", CLOSES_INDEXES)
    yield Proof("indexes larger than 10 MiB were searched for")

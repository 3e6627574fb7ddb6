"""Indexes: which are used, valid, needed; and foreign keys that lack one."""

from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.postgres.rights import sees_statistics, without_monitor

LARGE_BYTES = 10 * 1024**2  # a smaller index isn't worth the question whether it is used

# The functions that print an index (pg_get_indexdef, pg_get_expr) wait behind an exclusive lock on its table, so columns are
# named from the catalogue, and an expression or a predicate by the hash of its parse tree, without the places in the text.
# `last_idx_scan` came with 16: read through jsonb, one statement serves every version.
INDEXES = """
SELECT current_database() AS database, n.nspname AS schema, t.relname AS "table", c.relname AS index, am.amname AS method,
       keys.text AS keys, included.text AS included_columns,
       'hash ' || left(md5(regexp_replace(i.indpred::text, ' :location -?[0-9]+', '', 'g')), 8) AS predicate,
       CASE WHEN i.indisprimary THEN 'primary key' WHEN i.indisexclusion THEN 'exclusion'
            WHEN i.indisunique THEN 'uniqueness' WHEN i.indisreplident THEN 'replica identity' END AS enforces,
       i.indisvalid AS is_valid,
       EXISTS (SELECT FROM pg_stat_progress_create_index p
                WHERE p.datid = d.datid AND (p.index_relid = c.oid OR p.relid = t.oid)) AS is_being_built,
       c.relpages * current_setting('block_size')::bigint AS size_bytes,
       coalesce(s.idx_scan, 0) AS scans,
       (to_jsonb(s) ->> 'last_idx_scan')::timestamptz AS last_scan_at,
       coalesce(d.stats_reset, pg_postmaster_start_time()) AS counted_since_at
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_am am ON am.oid = c.relam
  JOIN pg_stat_database d ON d.datname = current_database()
  LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
  CROSS JOIN LATERAL (
      SELECT string_agg(concat_ws(' ', coalesce(named.attname, 'expression ' || left(md5(
                                      regexp_replace(i.indexprs::text, ' :location -?[0-9]+', '', 'g')), 8)),
                                  CASE WHEN NOT o.opcdefault THEN o.opcname END,
                                  CASE WHEN l.oid <> type.typcollation THEN 'collate ' || l.collname END,
                                  CASE k.option WHEN 1 THEN 'desc nulls last' WHEN 2 THEN 'nulls first' WHEN 3 THEN 'desc' END),
                        '; ' ORDER BY k.n) AS text
        FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1], i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[])
             WITH ORDINALITY AS k(attnum, class, collation_oid, option, n)
        LEFT JOIN pg_attribute named ON named.attrelid = i.indrelid AND named.attnum = k.attnum AND k.attnum > 0
        JOIN pg_opclass o ON o.oid = k.class
        JOIN pg_attribute a ON a.attrelid = i.indexrelid AND a.attnum = k.n
        JOIN pg_type type ON type.oid = a.atttypid
        LEFT JOIN pg_collation l ON l.oid = k.collation_oid) keys
  CROSS JOIN LATERAL (
      SELECT coalesce(string_agg(a.attname, '; ' ORDER BY k.n), '') AS text
        FROM unnest((i.indkey::int2[])[i.indnkeyatts:]) WITH ORDINALITY AS k(attnum, n)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum) included
 WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
 ORDER BY c.relpages DESC, c.oid
"""

INDEX_USE = """
SELECT current_database() AS database, n.nspname AS schema, t.relname AS "table", c.relname AS index,
       c.relpages * current_setting('block_size')::bigint AS size_bytes, s.idx_scan AS scans,
       (to_jsonb(s) ->> 'last_idx_scan')::timestamptz AS last_scan_at,
       coalesce(d.stats_reset, pg_postmaster_start_time()) AS counted_since_at,
       coalesce(d.stats_reset, pg_postmaster_start_time()) > now() - interval '30 days' AS is_counting_too_short,
       pg_is_in_recovery() AS is_standby
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
  JOIN pg_stat_database d ON d.datname = current_database()
 WHERE i.indisvalid AND NOT (i.indisunique OR i.indisexclusion OR i.indisreplident)
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
   AND c.relpages * current_setting('block_size')::bigint >= %s
 ORDER BY c.relpages DESC, c.oid
"""

# A foreign key of a partitioned table is told once, for the whole table. Any order of the columns serves.
FOREIGN_KEYS = """
WITH rows AS (
    SELECT coalesce(pg_partition_root(oid), oid) AS root, sum(greatest(reltuples, 0))::bigint AS estimated
      FROM pg_class WHERE relkind IN ('r', 'm') GROUP BY 1
)
SELECT current_database() AS database, n.nspname AS schema, t.relname AS "table", k.conname AS constraint,
       (SELECT string_agg(a.attname, ', ' ORDER BY part.n)
          FROM unnest(k.conkey) WITH ORDINALITY AS part(attnum, n)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = part.attnum) AS columns,
       referenced_schema.nspname || '.' || referenced.relname AS referenced_table,
       coalesce(rows.estimated, 0) AS estimated_rows, coalesce(referenced_rows.estimated, 0) AS referenced_estimated_rows,
       (SELECT x.relname
          FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
         WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
           AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
         ORDER BY x.relpages, x.oid
         LIMIT 1) AS index
  FROM pg_constraint k
  JOIN pg_class t ON t.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_class referenced ON referenced.oid = k.confrelid
  JOIN pg_namespace referenced_schema ON referenced_schema.oid = referenced.relnamespace
  LEFT JOIN rows ON rows.root = k.conrelid
  LEFT JOIN rows referenced_rows ON referenced_rows.root = k.confrelid
 WHERE k.contype = 'f' AND k.conparentid = 0
 ORDER BY estimated_rows DESC, k.oid
"""


@source(
    columns={
        "database": "str",
        "schema": "str",
        "table": "str",
        "index": "str",
        "method": "str",
        "keys": "str",
        "included_columns": "str",
        "predicate": "str",
        "enforces": "str",
        "is_valid": "boolean",
        "is_being_built": "boolean",
        "size_bytes": "Int64",
        "scans": "Int64",
        "last_scan_at": UTC,
        "counted_since_at": UTC,
    },
    nullable=("predicate", "enforces", "last_scan_at"),
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C072",),
)
def pg_indexes(database):
    """Indexes of every database; one row per index, largest first.

    keys              its columns in order, separated by `; `, each with operator class, collation and direction where these are
                      not the default; an expression is told by a hash, equal for equal ones
    included_columns  columns that it carries along (INCLUDE); empty for none
    predicate         of a partial index: a hash, equal for equal predicates; else null
    enforces          the rule that would fall with it: `primary key`, `uniqueness`, `exclusion`, `replica identity`; else null
    is_valid          queries may use it; one that failed half-way (CREATE INDEX CONCURRENTLY) is only written to
    is_being_built    an index is being built on the table right now
    size_bytes        pages at the last vacuum or analyze: an estimate
    scans             how often it was used since `counted_since_at`; last_scan_at: when last, from PostgreSQL 16 on

    Cannot tell what a replica uses it for: each server counts for itself.
    """
    if not sees_statistics(database):
        yield without_monitor("which indexes are being built right now")
    yield from database.rows(INDEXES)
    yield Proof("the catalogue of the indexes was read")


@source(
    columns={
        "database": "str",
        "schema": "str",
        "table": "str",
        "index": "str",
        "size_bytes": "Int64",
        "scans": "Int64",
        "last_scan_at": UTC,
        "counted_since_at": UTC,
        "is_standby": "boolean",
    },
    nullable=("last_scan_at",),
    covers="now",
    guide=("C072",),
)
def pg_index_use(database):
    """How often the indexes of 10 MiB and more are used that enforce no rule; one row per index, largest first.

    scans         uses since `counted_since_at` (its statistics were reset, or the server started), by this server alone
    last_scan_at  when last, from PostgreSQL 16 on; null before, and without a use

    Counters that are younger than 30 days have not seen every monthly report; those of a standby, not what its primary does.
    """
    rows = list(database.rows(INDEX_USE, [LARGE_BYTES]))
    yield from rows
    yield Proof("indexes of 10 MiB and more were looked for")
    unseen = [row for row in rows if not row["scans"]]
    if unseen and unseen[0]["is_standby"]:
        yield Partial(f"how the primary uses its indexes: {len(unseen)} in {database.database}", "ask its primary, too")
    elif unseen and unseen[0]["is_counting_too_short"]:
        day = f"{unseen[0]['counted_since_at']:%Y-%m-%d}"
        use = f"the use of indexes before {day}, when counting began: {len(unseen)} in {database.database}"
        yield Partial(use, f"collect again 30 days after {day}")


@source(
    columns={
        "database": "str",
        "schema": "str",
        "table": "str",
        "constraint": "str",
        "columns": "str",
        "referenced_table": "str",
        "estimated_rows": "Int64",
        "referenced_estimated_rows": "Int64",
        "index": "str",
    },
    nullable=("index",),
    covers="now",
    guide=("C072",),
)
def pg_foreign_keys(database):
    """Foreign keys of every database, and the index that serves each; one row per key, largest table first.

    columns         those that refer
    estimated_rows  of the table that refers, referenced_estimated_rows of the other; as of the last vacuum or analyze
    index           the smallest whole index that begins with these columns; null: there is none
    """
    yield from database.rows(FOREIGN_KEYS)
    yield Proof("the catalogue of the constraints was read")

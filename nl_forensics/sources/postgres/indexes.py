"""Indexes: their use, validity and purpose; and foreign keys without one."""

import re

from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.digest import digest
from nl_forensics.sources.postgres.rights import sees_statistics, without_monitor

MIN_BYTES = 10 * 1024**2  # dropping a smaller index saves too little

_HASH = re.compile(r"\bexpression ([0-9a-f]{32})\b")

# The functions that print an index (pg_get_indexdef, pg_get_expr) wait behind an exclusive lock on its table, so columns are
# named from the catalogue, and an expression or a predicate by the hash of its parse tree, without the places in the text.
# `last_idx_scan` came with 16: read through jsonb, one statement serves every version.
INDEXES = """
SELECT current_database() AS database, n.nspname AS schema, t.relname AS "table", c.relname AS index, am.amname AS method,
       keys.text AS keys, included.text AS included_columns,
       'hash ' || md5(regexp_replace(i.indpred::text, ' :location -?[0-9]+', '', 'g')) AS predicate,
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
      SELECT string_agg(concat_ws(' ', coalesce(named.attname, 'expression ' || md5(
                                      regexp_replace(i.indexprs::text, ' :location -?[0-9]+', '', 'g'))),
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

# A foreign key of a partitioned table is listed once, for the whole table. An index serves with its columns in any order.
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


def _keyed(found: re.Match) -> str:
    """An expression may compare with a value that can be guessed."""
    return f"expression {digest(found[1])}"


@source(
    columns={
        "database": Column("str", "database of the index"),
        "schema": Column("str", "schema of the index and its table"),
        "table": Column("str", "table of the index"),
        "index": Column("str", "name of the index"),
        "method": Column("str", "access method: `btree`, `gin`, …"),
        "keys": Column(
            "str",
            "key columns in order, separated by `; `, with operator class, collation and direction where not the default; "
            "an expression appears as a hash, equal for equal expressions",
        ),
        "included_columns": Column("str", "INCLUDE columns; empty for none"),
        "predicate": Column("str", "hash of the predicate, equal for equal predicates", absent="not a partial index"),
        "enforces": Column(
            "str",
            "constraint that depends on it: `primary key`, `uniqueness`, `exclusion`, `replica identity`",
            absent="it enforces nothing",
        ),
        "is_valid": Column(
            "boolean", "queries may use it; an invalid one (failed CREATE INDEX CONCURRENTLY) is only written to"
        ),
        "is_being_built": Column("boolean", "an index build is running on its table"),
        "size_bytes": Column("Int64", "size at the last vacuum or analyze: an estimate"),
        "scans": Column("Int64", "index scans since `counted_since_at`"),
        "last_scan_at": Column(UTC, "last index scan", absent="never scanned; PostgreSQL before 16 does not record it"),
        "counted_since_at": Column(UTC, "last reset of the statistics, else start of the server"),
    },
    covers="now",
    needs=Permission(postgres="pg_monitor"),
    guide=("C072",),
)
def pg_indexes(database):
    """Indexes of every database; one row per index, largest first.

    Scans on a replica are not included: each server counts its own.
    """
    if not sees_statistics(database):
        yield without_monitor("index builds in progress")
    for row in database.rows(INDEXES):
        predicate = row["predicate"] and f"hash {digest(row['predicate'])}"
        yield row | {"predicate": predicate, "keys": _HASH.sub(_keyed, row["keys"] or "")}
    yield Proof("the catalogue of the indexes was read")


@source(
    columns={
        "database": Column("str", "database of the index"),
        "schema": Column("str", "schema of the index and its table"),
        "table": Column("str", "table of the index"),
        "index": Column("str", "name of the index"),
        "size_bytes": Column("Int64", "size at the last vacuum or analyze: an estimate"),
        "scans": Column("Int64", "index scans on this server since `counted_since_at`"),
        "last_scan_at": Column(UTC, "last index scan", absent="never scanned; PostgreSQL before 16 does not record it"),
        "counted_since_at": Column(UTC, "last reset of the statistics, else start of the server"),
        "is_standby": Column("boolean", "the server is a standby"),
    },
    covers="now",
    guide=("C072",),
)
def pg_index_use(database):
    """Scans of indexes of 10 MiB and more that enforce no constraint; one row per index, largest first.

    Counters younger than 30 days may have missed a monthly report; those of a standby do not include its primary.
    """
    rows = list(database.rows(INDEX_USE, [MIN_BYTES]))
    yield from rows
    yield Proof("indexes of 10 MiB and more were searched for")
    unseen = [row for row in rows if not row["scans"]]
    if unseen and unseen[0]["is_standby"]:
        yield Partial(
            f"use of {len(unseen)} indexes in {database.database} by the primary",
            "add its primary to the platform file",
        )
    elif unseen and unseen[0]["is_counting_too_short"]:
        day = f"{unseen[0]['counted_since_at']:%Y-%m-%d}"
        use = f"use of {len(unseen)} indexes in {database.database} before {day}, when counting began"
        yield Partial(use, f"collect again 30 days after {day}")


@source(
    columns={
        "database": Column("str", "database of the table"),
        "schema": Column("str", "schema of the referencing table"),
        "table": Column("str", "referencing table"),
        "constraint": Column("str", "name of the constraint"),
        "columns": Column("str", "referencing columns, separated by `, `"),
        "referenced_table": Column("str", "referenced table, as `schema.table`"),
        "estimated_rows": Column("Int64", "rows of the referencing table at its last vacuum or analyze"),
        "referenced_estimated_rows": Column("Int64", "rows of the referenced table at its last vacuum or analyze"),
        "index": Column("str", "smallest valid index that begins with these columns", absent="no index serves it"),
    },
    covers="now",
    guide=("C072",),
)
def pg_foreign_keys(database):
    """Foreign keys of every database with the index that serves each; one row per key, largest table first."""
    yield from database.rows(FOREIGN_KEYS)
    yield Proof("the catalogue of the constraints was read")

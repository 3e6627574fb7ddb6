"""Sequences, and how far they are used up."""

from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import Column

# The owner is the column that the sequence belongs to (serial, identity), else one with a default that draws from it. The column may
# be narrower than the sequence: then it is the column that runs out. A standby holds no data of unlogged sequences.
SEQUENCES = """
SELECT current_database() AS database, n.nspname AS schema, c.relname AS sequence,
       owner.name AS owner, owner.type AS owner_type,
       s.seqincrement < 0 AS is_descending, s.seqcycle AS is_cyclic,
       CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END AS first_value,
       CASE WHEN s.seqincrement > 0 THEN least(s.seqmax, owner.highest) ELSE greatest(s.seqmin, owner.lowest) END
           AS final_value,
       has_sequence_privilege(c.oid, 'SELECT, USAGE') AS is_readable,
       CASE WHEN has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(c.oid) END AS last_value
  FROM pg_sequence s
  JOIN pg_class c ON c.oid = s.seqrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN LATERAL (
      SELECT table_schema.nspname || '.' || t.relname || '.' || a.attname AS name, format_type(a.atttypid, NULL) AS type,
             CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 END AS highest,
             CASE a.atttypid WHEN 'int2'::regtype THEN -32768 WHEN 'int4'::regtype THEN -2147483648 END AS lowest
        FROM (SELECT d.refobjid AS relation, d.refobjsubid AS attnum, 1 AS rank
                FROM pg_depend d
               WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                 AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
               UNION ALL
              SELECT f.adrelid, f.adnum, 2
                FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
               WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid) owned
        JOIN pg_attribute a ON a.attrelid = owned.relation AND a.attnum = owned.attnum
        JOIN pg_class t ON t.oid = owned.relation
        JOIN pg_namespace table_schema ON table_schema.oid = t.relnamespace
       ORDER BY owned.rank, highest NULLS LAST
       LIMIT 1) owner ON true
 WHERE c.relpersistence <> 't' AND (c.relpersistence = 'p' OR NOT pg_is_in_recovery())
 ORDER BY n.nspname, c.relname
"""


@source(
    columns={
        "database": Column("str", "database of the sequence"),
        "schema": Column("str", "schema of the sequence"),
        "sequence": Column("str", "name of the sequence"),
        "owner": Column("str", "column that it numbers, as `schema.table.column`", absent="it belongs to no column"),
        "owner_type": Column(
            "str",
            "type of that column; an `integer` ends at 2,147,483,647",
            absent="it belongs to no column",
        ),
        "is_descending": Column("boolean", "it counts downwards"),
        "is_cyclic": Column("boolean", "it starts again at its end"),
        "first_value": Column("Int64", "first number"),
        "final_value": Column("Int64", "last number that both the sequence and its column can hold"),
        "last_value": Column("float64", "last number drawn", absent="none drawn yet"),
    },
    covers="now",
    needs=Permission(postgres="SELECT ON ALL SEQUENCES IN SCHEMA public", adds="use of sequences"),
)
def pg_sequences(database):
    """Sequences of every database and the columns that they number; one row per sequence that our role may read."""
    hidden = []
    for row in database.rows(SEQUENCES):
        if row.pop("is_readable"):
            yield row
        else:  # left out: a null `last_value` says that no number was drawn
            hidden.append(row["schema"])
    yield Proof("the catalogue of the sequences was read")
    if hidden:
        schemas = ", ".join(sorted(set(hidden)))
        remedy = f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schemas} TO the role (it shows numbers only)"
        yield Partial(f"use of {len(hidden)} sequences in {database.database}", remedy)

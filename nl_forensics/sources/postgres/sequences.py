"""Numbers that run out."""

from nl_forensics.sources import Partial, Permission, Proof, source

# The owner is the column that the sequence belongs to (serial, identity), else one whose default draws from it. The column may
# be narrower than the sequence: then it is the column that runs out.
SEQUENCES = """
SELECT current_database() AS database, n.nspname AS schema, c.relname AS sequence,
       owner.name AS owner, owner.type AS owner_type,
       s.seqincrement < 0 AS is_descending, s.seqcycle AS is_cyclic,
       CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END AS first_value,
       CASE WHEN s.seqincrement > 0 THEN least(s.seqmax, owner.highest) ELSE greatest(s.seqmin, owner.lowest) END
           AS final_value,
       has_sequence_privilege(c.oid, 'SELECT, USAGE') AS is_readable,
       CASE WHEN has_sequence_privilege(c.oid, 'SELECT, USAGE') AND (c.relpersistence = 'p' OR NOT pg_is_in_recovery())
            THEN pg_sequence_last_value(c.oid) END AS last_value
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
 WHERE c.relpersistence <> 't'
 ORDER BY n.nspname, c.relname
"""


@source(
    columns={
        "database": "str",
        "schema": "str",
        "sequence": "str",
        "owner": "str",
        "owner_type": "str",
        "is_descending": "boolean",
        "is_cyclic": "boolean",
        "first_value": "Int64",
        "final_value": "Int64",
        "last_value": "float64",
    },
    nullable=("owner", "owner_type", "last_value"),
    covers="now",
    needs=Permission(postgres="SELECT ON ALL SEQUENCES IN SCHEMA public", adds="how far each sequence is used up"),
)
def pg_sequences(database):
    """Sequences of every database, and the columns that they fill; one row per sequence.

    owner        the column that it numbers: `schema.table.column`; null for one that stands alone
    owner_type   of that column: an `integer` column ends at 2,147,483,647, however long its sequence goes on
    first_value  where it began; final_value: the last number that both it and its column can hold
    last_value   the last number drawn; null when none was, and where we may not read it
    is_cyclic    it starts again at its end
    """
    hidden = []
    for row in database.rows(SEQUENCES):
        if not row.pop("is_readable"):
            hidden.append(row["schema"])
        yield row
    yield Proof("the catalogue of the sequences was read")
    if hidden:
        schemas = ", ".join(sorted(set(hidden)))
        closes = f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schemas} TO the role (it shows numbers only)"
        yield Partial(f"how far the sequences are used up: {len(hidden)} in {database.database}", closes)

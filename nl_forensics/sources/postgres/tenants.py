"""Tenants in the database: which there are, and whether the rows of one are kept from the roles of another.

Which table lists them, which columns hold their id, and how their roles are named: `tenants` in the platform file.
"""

from collections.abc import Generator

from nl_forensics.errors import SourceError
from nl_forensics.inputs.tenants import NUMBER, PLACE, TenantTable
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import Column

MAX_TENANTS, MAX_TABLES = 50_000, 200
GRANT = "GRANT SELECT on the table that lists the tenants, and on those with their rows, TO the role"

FIND = """
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS "table"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = %s AND (%s::text = '' OR n.nspname = %s::text) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')
 ORDER BY n.nspname <> 'public', n.nspname
 LIMIT 1
"""

# Roles of tenants that may read a table, and that no policy keeps from the rows of others.
TABLES = """
WITH tenant_roles AS (SELECT oid, rolname, rolsuper OR rolbypassrls AS bypasses FROM pg_roles WHERE rolname ~ %s),
tables AS (
    SELECT c.oid, n.nspname AS schema, c.relname AS "table", a.attname AS "column", a.attnum, c.relowner,
           c.relrowsecurity AS row_security, c.relforcerowsecurity AS forced,
           EXISTS (SELECT FROM pg_policy p
                    WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', 'r')
                      AND pg_get_expr(p.polqual, p.polrelid) = 'true') AS is_open
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY(%s) AND NOT a.attisdropped
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema')
     ORDER BY c.relpages DESC, c.oid
     LIMIT %s
)
SELECT t.schema, t."table", t."column", t.row_security, t.is_open AS policy_is_open,
       (SELECT count(*) FROM pg_policy p WHERE p.polrelid = t.oid) AS policies,
       (SELECT count(*) FROM tenant_roles) AS tenant_roles,
       r.readers, r.reader,
       EXISTS (SELECT FROM pg_constraint k
                WHERE k.conrelid = t.oid AND k.contype = 'f' AND k.convalidated AND k.confrelid = %s
                  AND k.conkey = ARRAY[t.attnum]) AS is_referenced,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indkey[0] = t.attnum AND i.indisvalid) AS is_indexed
  FROM tables t
  CROSS JOIN LATERAL (
       SELECT count(*) AS readers, coalesce(min(rolname), '') AS reader
         FROM tenant_roles
        WHERE has_table_privilege(tenant_roles.oid, t.oid, 'SELECT')
          AND (NOT t.row_security OR t.is_open OR bypasses
               OR (pg_has_role(tenant_roles.oid, t.relowner, 'USAGE') AND NOT t.forced))
  ) r
"""

# One look into the index for each tenant, however many rows it has.
ORPHANS = """
WITH RECURSIVE ids AS (
    (SELECT {column} AS id FROM {table} WHERE {column} IS NOT NULL ORDER BY 1 LIMIT 1)
    UNION ALL
    SELECT (SELECT {column} FROM {table} WHERE {column} > ids.id ORDER BY 1 LIMIT 1) FROM ids WHERE ids.id IS NOT NULL
)
SELECT count(*) AS orphans, coalesce(min(id)::text, '') AS orphan
  FROM (SELECT id FROM ids WHERE id IS NOT NULL LIMIT 100000) AS known
 WHERE NOT EXISTS (SELECT FROM {tenants} WHERE {id} = known.id)
"""


def _quoted(*names: str) -> str:
    """Names as SQL; the platform file admits plain names only, those of the catalogue may be any."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def _found(database, table: TenantTable) -> dict | None:
    schema, _, name = table.name.rpartition(".")
    return next(database.rows(FIND, [name, schema, schema]), None)


@source(
    columns={
        "database": Column("str", "database that lists the tenant"),
        "id": Column("str", "number of the tenant, which other tables refer to"),
        "tenant": Column("str", "name of the tenant"),
        "plan": Column("str", "plan of the tenant; empty if the table has none"),
    },
    covers="now",
    needs=Permission(postgres="SELECT ON tenants", adds="tenants of the database, and what is left of deleted ones"),
    about="tenants.table",
    of_all_tenants=True,
    guide=("C092",),
)
def pg_tenants(database, platform):
    """The tenants that a database lists; one row per tenant, 50,000 at most."""
    table = platform.tenants.table
    if not (found := _found(database, table)):
        yield Proof(f"database {database.database} has no table {table.name}")
        return
    columns = f"{_quoted(table.id)}::text AS id, {_quoted(table.tenant)}::text AS tenant"
    plan = f"coalesce({_quoted(table.plan)}::text, '')" if table.plan else "''"
    sql = f"SELECT {columns}, {plan} AS plan FROM {_quoted(found['schema'], found['table'])} ORDER BY 1 LIMIT {MAX_TENANTS + 1}"
    number = 0
    for number, row in enumerate(database.rows(sql), 1):
        if number > MAX_TENANTS:
            yield Partial(f"tenants beyond the first {MAX_TENANTS:,}")
            return
        yield {"database": database.database, **row}
    yield Proof(f"{number} tenants are in {found['schema']}.{found['table']} of database {database.database}")


NOT_COUNTED = "no index begins with the column, or the table may not be read"


@source(
    columns={
        "database": Column("str", "database of the table"),
        "schema": Column("str", "schema of the table"),
        "table": Column("str", "name of the table"),
        "column": Column("str", "column with the id of a tenant"),
        "row_security": Column("boolean", "row-level security is enabled"),
        "policies": Column("Int64", "policies of row-level security"),
        "policy_is_open": Column("boolean", "a permissive policy lets every row be read: USING (true)"),
        "tenant_roles": Column("Int64", "roles of tenants, by the pattern in the platform file"),
        "readers": Column("Int64", "of these, roles that may read the rows of every tenant"),
        "reader": Column("str", "the first of them; empty if there is none"),
        "orphans": Column("Int64", "tenants that have rows, and are not in the table of tenants", unknown=NOT_COUNTED),
        "orphan": Column("str", "id of the first of them; empty if there is none"),
    },
    covers="now",
    needs=Permission(
        postgres="SELECT ON ALL TABLES IN SCHEMA public",
        adds="rows that are left of deleted tenants, counted per tenant",
    ),
    about="tenants.columns",
    guide=("C101",),
    hole=GRANT,
)
def pg_tenant_tables(database, platform):
    """Tables with a column for the id of a tenant; one row per table, the 200 largest. No row of a customer is read.

    Policies that compare something are not judged: only one that admits everything is seen as open.
    """
    names = platform.tenants
    home = _found(database, names.table) if names.table else None
    pattern = names.role.replace(PLACE, ".+").replace(NUMBER, ".+")
    role = f"^{pattern}$" if pattern else "^$"
    rows = list(database.rows(TABLES, [role, list(names.columns), MAX_TABLES, home["oid"] if home else 0]))
    yield Proof(f"{len(rows)} tables of database {database.database} have a column {', '.join(names.columns)}")
    for row in rows:
        referenced, indexed = row.pop("is_referenced"), row.pop("is_indexed")
        orphans = {"orphans": 0, "orphan": ""}
        if not referenced:
            orphans = yield from _orphans(database, row, home, names.table, indexed)
        yield {"database": database.database, **row, **orphans}


def _orphans(
    database, row: dict, home: dict | None, table: TenantTable | None, indexed: bool
) -> Generator[Partial, None, dict]:
    """Return the ids without a tenant; a foreign key, where there is one, proves that there are none."""
    name = f"{row['schema']}.{row['table']}"
    if not home or not table or not indexed:
        why = f"no index begins with {row['column']}" if home else "this database does not list the tenants"
        yield Partial(f"rows of deleted tenants in {name}: {why}")
        return {"orphans": None, "orphan": ""}
    place = {
        "column": _quoted(row["column"]),
        "table": _quoted(row["schema"], row["table"]),
        "tenants": _quoted(home["schema"], home["table"]),
        "id": _quoted(table.id),
    }
    try:
        return next(database.rows(ORPHANS.format(**place)))
    except SourceError as error:
        yield Partial(f"rows of deleted tenants in {name}: {error}", GRANT)
        return {"orphans": None, "orphan": ""}

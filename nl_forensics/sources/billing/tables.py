"""Reading of the tables that the platform file names: by quoted names, within a time, and only where an index serves it."""

from collections.abc import Iterator
from typing import Any

from nl_forensics.errors import NotAllowed
from nl_forensics.inputs.billing import BillingTable
from nl_forensics.sources import Partial, Permission

FREE_OF_INDEX = 200_000  # rows; a larger table is not read without an index that begins with the column of time

EXISTS = """
SELECT c.oid::bigint AS oid, greatest(c.reltuples, 0)::bigint AS estimated_rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

INDEXED = """
SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = %s AND i.indisvalid AND a.attname = %s
) AS is_indexed
"""


def is_here(database, *tables: BillingTable) -> bool:
    """Whether this database has these tables: of several databases, one has them."""
    return all(next(database.rows(EXISTS, [*table.place]), None) for table in tables)


def not_cheap(database, table: BillingTable, column: str) -> Iterator[Partial]:
    """The gap where a read of a time would read the whole of a large table."""
    found = next(database.rows(EXISTS, [*table.place]))
    if found["estimated_rows"] <= FREE_OF_INDEX:
        return
    if not next(database.rows(INDEXED, [found["oid"], column]))["is_indexed"]:
        name = ".".join(table.place)
        yield Partial(
            f"{name} was not read: about {found['estimated_rows']:,} rows, and no index begins with {column}",
            f"CREATE INDEX CONCURRENTLY ON {name} ({column})",
        )


def names(**tables: Any) -> dict[str, tuple[str, ...]]:
    """Names for `rows`: {usage} is the table, {usage_at} its column `at`."""
    found: dict[str, tuple[str, ...]] = {}
    for prefix, table in tables.items():
        found[prefix] = table.place
        found |= {f"{prefix}_{field}": (column,) for field, column in table.columns.items()}
    return found


def of_tenants(platform) -> dict[str, tuple[str, ...]]:
    """The same for the table of tenants: {tenants}, {tenants_id}, {tenants_name}, {tenants_currency}, {tenants_plan} if there is one."""
    table, columns = platform.tenants.table, platform.billing.tenants
    place = BillingTable(table=table.name).place
    found = {"tenants": place, "tenants_id": (table.id,), "tenants_name": (table.tenant,)}
    found |= {"tenants_currency": (columns.currency,)}
    return found | ({"tenants_plan": (table.plan,)} if table.plan else {})


def asked(database, sql: str, parameters: list | dict, named: dict[str, tuple[str, ...]]) -> Iterator[dict]:
    """The rows. Raises NotAllowed with the grants that close the gap."""
    try:
        yield from database.rows(sql, parameters, named)
    except NotAllowed as error:
        raise NotAllowed(str(error), Permission(tables="billing").remedy("postgres")) from None

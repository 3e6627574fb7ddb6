"""PgBouncer: pools, clients and settings."""

import pandas as pd

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source
from nl_forensics.sources.column import Column

SHOWS = Permission(pgbouncer="stats_users")
CONSOLE = "pgbouncer"  # the database of the console itself, which is no pool
# Values are read by name only: some settings hold statements and paths of keys.
SETTINGS = (
    *("max_client_conn", "default_pool_size", "min_pool_size", "reserve_pool_size", "reserve_pool_timeout"),
    *("max_db_connections", "max_user_connections", "pool_mode", "query_wait_timeout", "query_timeout"),
    *("server_idle_timeout", "server_lifetime", "idle_transaction_timeout", "client_idle_timeout"),
)
POOLS = {
    "cl_active": "active_clients",
    "cl_waiting": "waiting_clients",
    "sv_active": "active_servers",
    "sv_idle": "idle_servers",
    "sv_used": "used_servers",
}
MICROSECONDS = 1_000_000


def _pools(records: list[dict]) -> pd.DataFrame:
    """SHOW POOLS: `maxwait` is whole seconds, `maxwait_us` the rest of it in microseconds."""
    rows = as_rows(records).rename(columns=POOLS)
    if rows.empty:
        return rows
    return rows.assign(longest_wait_s=rows.maxwait.astype("int64") + rows.maxwait_us.astype("int64") / MICROSECONDS)


@source(
    parse=_pools,
    columns={
        "reading": Column("Int64", "number of the sample, from 0"),
        "read_at": Column(UTC, "time of the sample"),
        "database": Column("str", "database of the pool"),
        "role": Column("str", "role of the pool"),
        "active_clients": Column("Int64", "clients linked to a server connection, or idle"),
        "waiting_clients": Column("Int64", "clients with a query that waits for a server connection"),
        "active_servers": Column("Int64", "server connections (to PostgreSQL) in use by a client"),
        "idle_servers": Column("Int64", "free server connections"),
        "used_servers": Column("Int64", "server connections to be tested before their next use"),
        "longest_wait_s": Column("float64", "wait of the client that has waited longest; 0 if none waits"),
        "pool_mode": Column("str", "`session`, `transaction` or `statement`"),
    },
    covers="now",
    readings=5,
    needs=SHOWS,
    guide=("C067", "C069"),
)
def pgbouncer_pools(pgbouncer):
    """Pools in five samples; one row per sample, database and role."""
    for row in pgbouncer.show("POOLS"):
        if row["database"] != CONSOLE:
            yield row | {"role": row["user"]}
    yield Proof("SHOW POOLS was answered")


@source(
    columns={
        "kind": Column("str", "`used_clients`, `free_servers`, …"),
        "items": Column("Int64", "number of them, our own session included"),
    },
    covers="now",
    needs=SHOWS,
    guide=("C067",),
)
def pgbouncer_lists(pgbouncer):
    """Numbers of clients, server connections, pools and databases; one row per kind."""
    for row in pgbouncer.show("LISTS"):
        yield {"kind": row["list"], "items": row["items"]}


@source(
    columns={
        "name": Column("str", "name of the setting"),
        "setting": Column("str", "running value"),
        "default": Column("str", "default value", unknown="this version of PgBouncer does not show it"),
    },
    covers="now",
    needs=SHOWS,
    guide=("C067",),
)
def pgbouncer_settings(pgbouncer):
    """Sizes and timeouts of PgBouncer; one row each. Single pools may override them."""
    for row in pgbouncer.show("CONFIG"):
        if row["key"] in SETTINGS:
            yield {"name": row["key"], "setting": row["value"], "default": row.get("default")}

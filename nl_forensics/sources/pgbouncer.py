"""What PgBouncer says about its pools."""

import pandas as pd

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source

SHOWS = Permission(pgbouncer="stats_users")
CONSOLE = "pgbouncer"  # the database of the console itself, which is no pool
# Values are asked by name only: some settings hold statements and paths of keys.
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
        "reading": "Int64",
        "read_at": UTC,
        "database": "str",
        "role": "str",
        **dict.fromkeys(POOLS.values(), "Int64"),
        "longest_wait_s": "float64",
        "pool_mode": "str",
    },
    covers="now",
    readings=5,
    needs=SHOWS,
    guide=("C067", "C069"),
)
def pgbouncer_pools(pgbouncer):
    """Pools, looked at five times; one row per look, database and role.

    reading          number of the look, from 0
    active_clients   clients that have a connection to PostgreSQL, or wait for nothing
    waiting_clients  clients that sent a query and wait for a connection to PostgreSQL
    active_servers   connections to PostgreSQL in use by a client; idle_servers: free; used_servers: to be tested before their next use
    longest_wait_s   how long the first of the waiting clients has waited, seconds
    pool_mode        `session`, `transaction` or `statement`
    """
    for row in pgbouncer.show("POOLS"):
        if row["database"] != CONSOLE:
            yield row | {"role": row["user"]}
    yield Proof("SHOW POOLS was answered")


@source(columns={"kind": "str", "items": "Int64"}, covers="now", needs=SHOWS, guide=("C067",))
def pgbouncer_lists(pgbouncer):
    """How many of each kind of thing it has (`used_clients`, `free_servers`, …), our own session included; one row per kind."""
    for row in pgbouncer.show("LISTS"):
        yield {"kind": row["list"], "items": row["items"]}


@source(
    columns={"name": "str", "setting": "str", "default": "str"},
    nullable=("default",),
    covers="now",
    needs=SHOWS,
    guide=("C067",),
)
def pgbouncer_settings(pgbouncer):
    """Settings of sizes and timeouts, as it runs with them; one row each. Pools may have sizes of their own."""
    for row in pgbouncer.show("CONFIG"):
        if row["key"] in SETTINGS:
            yield {"name": row["key"], "setting": row["value"], "default": row.get("default")}

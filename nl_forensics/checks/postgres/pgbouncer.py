"""Rules about PgBouncer: room for clients, and server connections for them."""

from nl_forensics.checks.rule import check

KEY = ["instance", "database", "role"]


@check(
    section="05",
    severity="high",
    critical="longest_wait_s >= critical_s",
    subject="pgbouncer/{instance}, {role}@{database}",
    because="{waiting_clients} clients wait for a server connection, longest {longest_wait_s:seconds} (limit {max_s:seconds}); server "
    "connections: {active_servers} in use, {idle_servers} free; clients waited in {waited} of {samples} samples",
    guide=("C067", "C069"),
)
def no_client_waits_for_a_pool(pgbouncer_pools, *, max_s=1, critical_s=60):
    """No client waits longer than {max_s:seconds} for a server connection.

    The pool is too small, or slow statements, locks or idle transactions occupy its connections. High from 1 s, or when
    clients waited in every sample; critical from 60 s (our choices). Waits of milliseconds are normal.
    """
    pools = pgbouncer_pools.assign(waits=pgbouncer_pools.waiting_clients > 0)
    of_pool = pools.groupby(KEY)
    pools = pools.assign(waited=of_pool.waits.transform("sum"), samples=of_pool.reading.transform("nunique"))
    rows = pools.sort_values("longest_wait_s", ascending=False).drop_duplicates(KEY)
    return rows[(rows.longest_wait_s >= max_s) | ((rows.waited == rows.samples) & (rows.samples > 1))]


@check(
    section="05",
    severity="high",
    critical="used_ratio >= critical_ratio",
    subject="pgbouncer/{instance}",
    because="{clients} of {max_clients} client connections are in use ({used_ratio:percent}, limit {max_ratio:percent}); beyond "
    "max_client_conn PgBouncer refuses clients",
    guide=("C067",),
)
def pgbouncer_has_room_for_clients(pgbouncer_lists, pgbouncer_settings, *, max_ratio=0.75, critical_ratio=0.9):
    """At most {max_ratio:percent} of max_client_conn are in use.

    Beyond it PgBouncer refuses clients with "no more connections allowed"; only its log counts these.
    75 and 90 %, as for PostgreSQL.
    """
    clients = pgbouncer_lists[pgbouncer_lists.kind.isin(["used_clients", "login_clients"])]
    rows = clients.groupby("instance", as_index=False).agg(clients=("items", "sum"), asked_at=("asked_at", "max"))
    limits = pgbouncer_settings[pgbouncer_settings.name == "max_client_conn"].set_index("instance").setting
    rows["max_clients"] = rows.instance.map(limits.astype("int64"))
    rows["used_ratio"] = (rows.clients / rows.max_clients).astype("float64")
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)

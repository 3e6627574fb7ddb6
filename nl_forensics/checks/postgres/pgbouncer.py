"""Rules about PgBouncer: it has room for clients, and connections for them."""

import pandas as pd

from nl_forensics.checks.rule import check

KEY = ["instance", "database", "role"]


@check(
    section="05",
    severity="high",
    subject="pgbouncer/{instance}, {role}@{database}",
    because="clients waiting for a connection to PostgreSQL: {waiting_clients}, the first for {longest_wait_s:seconds} in this try "
    "(limit {max_s:seconds}); connections in use: {active_servers}, free: {idle_servers}; clients waited at {waited} of {looks} looks",
    guide=("C067", "C069"),
)
def no_client_waits_for_a_pool(pgbouncer_pools, *, max_s=1, critical_s=60):
    """No client waits longer than {max_s:seconds} for a connection to PostgreSQL.

    The pool is too small, or its connections are kept busy: by slow statements, locks, or transactions that idle. High from 1 s, or when
    clients waited at every look; critical from 60 s (choices of ours). A wait of milliseconds is what a pool is for.
    """
    pools = pgbouncer_pools.assign(waits=pgbouncer_pools.waiting_clients > 0)
    of_pool = pools.groupby(KEY)
    pools = pools.assign(waited=of_pool.waits.transform("sum"), looks=of_pool.reading.transform("nunique"))
    rows = pools.sort_values("longest_wait_s", ascending=False).drop_duplicates(KEY)
    rows = rows[(rows.longest_wait_s >= max_s) | ((rows.waited == rows.looks) & (rows.looks > 1))]
    severity = pd.Series("high", index=rows.index).mask(rows.longest_wait_s >= critical_s, "critical")
    return rows.assign(severity=severity)


@check(
    section="05",
    severity="high",
    subject="pgbouncer/{instance}",
    because="{clients} of {most_clients} client connections are taken ({used_ratio:percent}, limit {max_ratio:percent}): the next beyond "
    "are refused",
    guide=("C067",),
)
def pgbouncer_has_room_for_clients(pgbouncer_lists, pgbouncer_settings, *, max_ratio=0.75, critical_ratio=0.9):
    """At most {max_ratio:percent} of the connections that PgBouncer allows to clients are taken.

    Beyond max_client_conn it refuses with "no more connections allowed"; how often it did is only in its log.
    75 and 90 %, as for PostgreSQL.
    """
    clients = pgbouncer_lists[pgbouncer_lists.kind.isin(["used_clients", "login_clients"])]
    rows = clients.groupby("instance", as_index=False).agg(clients=("items", "sum"), asked_at=("asked_at", "max"))
    most = (
        pgbouncer_settings[pgbouncer_settings.name == "max_client_conn"].set_index("instance").setting.astype("int64")
    )
    rows["most_clients"] = rows.instance.map(most)
    rows["used_ratio"] = (rows.clients / rows.most_clients).astype("float64")
    rows = rows[rows.used_ratio >= max_ratio]
    severity = pd.Series("high", index=rows.index, dtype="str").mask(rows.used_ratio >= critical_ratio, "critical")
    return rows.assign(severity=severity).sort_values("used_ratio", ascending=False)

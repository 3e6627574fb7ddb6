"""Housekeeping of privileges."""

from nl_forensics.checks.rule import check

LOOPBACK = r"^(127\.|::1$)"


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}",
    because="{superusers} roles that can log in are superusers (limit {most}): {names}",
)
def few_roles_are_superusers(pg_roles, *, most=2):
    """At most {most} roles that can log in are superusers.

    A superuser is bound by no privilege, no limit and no row security, and can run programs on the machine. More than 2: pg_gather.
    """
    rows = pg_roles[pg_roles.superuser & pg_roles.can_log_in]
    rows = rows.groupby("instance", as_index=False).agg(
        superusers=("role", "size"), names=("role", ", ".join), asked_at=("asked_at", "max")
    )
    return rows[rows.superusers > most].sort_values("superusers", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{schema}",
    because="every role may create tables and functions in it: those are found before others of the same name (REVOKE CREATE ON SCHEMA "
    "{schema} FROM PUBLIC)",
)
def no_schema_is_open_to_everyone(pg_open_schemas):
    """No schema lets every role create objects in it.

    Such an object can take the place of another in the statements of more powerful roles (CVE-2018-1058). New databases are closed since
    PostgreSQL 15; older ones keep their privileges through upgrades.
    """
    return pg_open_schemas.sort_values(["database", "schema"])


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}",
    because="{sessions} sessions over the network are not encrypted (limit {most}), most by {largest}; client addresses: {addresses}",
)
def sessions_over_the_network_are_encrypted(pg_activity, *, most=10):
    """At most {most} sessions over the network are not encrypted.

    Passwords, statements and rows can be read on the way. 10: pg_gather. Connections from the same machine are not counted; where a
    service mesh encrypts, PostgreSQL can't know.
    """
    rows = pg_activity[pg_activity.client.notna() & (pg_activity.encrypted == False)]  # noqa: E712 (null is neither)
    rows = rows[~rows.client.str.match(LOOPBACK)]
    rows = rows.groupby("instance", as_index=False).agg(
        sessions=("pid", "size"),
        addresses=("client", "nunique"),
        largest=("application", lambda names: names.value_counts().index[0] or "no application_name"),
        asked_at=("asked_at", "max"),
    )
    return rows[rows.sessions > most].sort_values("sessions", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{function}",
    because="runs with the rights of {owner} and with the caller's search_path, so the caller can make it run other functions",
)
def definer_functions_fix_their_search_path(pg_definer_functions):
    """Every SECURITY DEFINER function sets its own search_path.

    Without it, whoever may call the function and create objects anywhere can act as its owner. Worst where that is a superuser.
    """
    return pg_definer_functions.sort_values(["owner_is_superuser", "database"], ascending=[False, True])

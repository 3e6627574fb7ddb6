"""Housekeeping of privileges."""

from nl_forensics.checks.rule import check

LOOPBACK = r"^(127\.|::1$)"
OVER_THE_NETWORK = ("client backend", "walsender")  # processes that serve a connection


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}",
    because="{superusers} login roles are superusers (limit {max_superusers}): {names}",
)
def few_roles_are_superusers(pg_roles, *, max_superusers=2):
    """At most {max_superusers} login roles are superusers.

    A superuser bypasses privileges, limits and row security, and can run programs on the server. More than 2: pg_gather.
    """
    rows = pg_roles[pg_roles.superuser & pg_roles.can_log_in]
    rows = rows.groupby("instance", as_index=False).agg(
        superusers=("role", "size"), names=("role", ", ".join), asked_at=("asked_at", "max")
    )
    return rows[rows.superusers > max_superusers].sort_values("superusers", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{schema}",
    because="every role may create objects in it, which can shadow others of the same name; fix: REVOKE CREATE ON SCHEMA {schema} FROM "
    "PUBLIC",
)
def no_schema_is_open_to_everyone(pg_open_schemas):
    """No schema lets every role create objects in it.

    Such an object can shadow another in statements of more privileged roles (CVE-2018-1058). New databases are closed since
    PostgreSQL 15; older ones keep their privileges through upgrades.
    """
    return pg_open_schemas.sort_values(["database", "schema"])


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}",
    because="{sessions} network sessions are not encrypted (limit {max_sessions}), most by {largest}; client addresses: {addresses}",
)
def sessions_over_the_network_are_encrypted(pg_activity, *, max_sessions=10):
    """At most {max_sessions} network sessions are not encrypted.

    Passwords, statements and rows are readable on the network. 10: pg_gather. Connections from the same machine do not count; PostgreSQL
    cannot see the encryption of a service mesh.
    """
    rows = pg_activity[pg_activity.backend_type.isin(OVER_THE_NETWORK)]
    rows = rows[rows.client.notna()]
    rows = rows[~rows.client.str.match(LOOPBACK)]
    rows = rows[~rows.encrypted]
    rows = rows.groupby("instance", as_index=False).agg(
        sessions=("pid", "size"),
        addresses=("client", "nunique"),
        largest=("application", lambda names: names.value_counts().index[0] or "no application_name"),
        asked_at=("asked_at", "max"),
    )
    return rows[rows.sessions > max_sessions].sort_values("sessions", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{function}",
    because="runs with the rights of {owner} and the caller's search_path; a caller that may create objects can make it run its own code",
)
def definer_functions_fix_their_search_path(pg_definer_functions):
    """Every SECURITY DEFINER function sets its own search_path.

    Without it, a role that may call the function and create objects anywhere can act as its owner. Worst where that is a superuser.
    """
    return pg_definer_functions.sort_values(["owner_is_superuser", "database"], ascending=[False, True])

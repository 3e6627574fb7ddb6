"""Sessions, their waits, and the connection limits of roles and databases."""

from nl_forensics.redact import normalise_sql
from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.column import Column

MONITOR = Permission(postgres="pg_monitor")
HIDDEN = "<insufficient privilege>"  # what PostgreSQL shows in place of a statement that we may not see
HIDDEN_WITHOUT_STATS = "shown only to members of pg_read_all_stats"

# A client that is still logging in has no state before PostgreSQL 18, which calls it `starting`. Without this, a null could also be one.
STATE = "CASE WHEN a.backend_type = 'client backend' THEN coalesce(a.state, 'starting') ELSE a.state END AS state"
ACTIVITY = f"""
SELECT a.pid, a.datname AS database, a.usename AS role, a.application_name AS application,
       host(a.client_addr) AS client, s.ssl AS encrypted, a.backend_type, {STATE}, a.wait_event_type, a.wait_event,
       a.backend_start, a.xact_start, a.query_start, a.state_change, a.query
  FROM pg_stat_activity a LEFT JOIN pg_stat_ssl s USING (pid)
 WHERE a.pid <> pg_backend_pid()
 ORDER BY a.xact_start NULLS LAST, a.pid
"""
# Every session here is running, ready to run, or blocked on what the wait event names.
WAITS = """
SELECT wait_event_type, wait_event, count(*) AS sessions
  FROM pg_stat_activity
 WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
 GROUP BY wait_event_type, wait_event
"""
SEES_ALL = "SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all"
CONNECTION_LIMITS = """
SELECT 'role' AS kind, r.rolname AS name, r.rolconnlimit AS most_sessions,
       (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid) AS sessions
  FROM pg_roles r
 WHERE r.rolconnlimit >= 0 AND r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user
 UNION ALL
SELECT 'database', d.datname, d.datconnlimit, s.numbackends
  FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
 WHERE d.datconnlimit >= 0 AND d.datallowconn
"""


@source(
    columns={
        "pid": Column("Int64", "process id of the backend"),
        "database": Column(
            "str", "database of the session", absent="connected to no database: a background process or a WAL sender"
        ),
        "role": Column("str", "role that logged in", absent="no role: a background process"),
        "application": Column(
            "str", "application_name as the client set it; empty if not set; a pooler's own behind a pooler"
        ),
        "client": Column(
            "str",
            "IP address of the client; the pooler's behind a pooler",
            absent="a Unix socket, or a background process",
        ),
        "encrypted": Column(
            "boolean", "the connection uses TLS", unknown=f"a background process, or {HIDDEN_WITHOUT_STATS}"
        ),
        "backend_type": Column(
            "str", "`client backend` for a connection, `walsender` for a replica, else a process of PostgreSQL itself"
        ),
        "state": Column(
            "str",
            "`active`, `idle`, `idle in transaction`, …, `starting` while logging in, `disabled` where track_activities is off",
            unknown=f"a background process without a state, or {HIDDEN_WITHOUT_STATS}",
        ),
        "wait_event_type": Column(
            "str", "class of the current wait: `Lock`, `LWLock`, `IO`, `Client`, …", absent="not waiting"
        ),
        "wait_event": Column("str", "name of the current wait", absent="not waiting"),
        "backend_start": Column(UTC, "start of the process"),
        "xact_start": Column(UTC, "start of the current transaction", absent="no open transaction"),
        "query_start": Column(
            UTC,
            "start of the statement in `query`, finished or not",
            unknown=f"no statement yet, or {HIDDEN_WITHOUT_STATS}",
        ),
        "state_change": Column(
            UTC, "start of the current state", unknown=f"no state reported yet, or {HIDDEN_WITHOUT_STATS}"
        ),
        "query": Column(
            "str", "current or last statement, literals replaced by ?; the server cuts it at track_activity_query_size"
        ),
    },
    covers="now",
    needs=MONITOR,
    guide=("C020", "C066", "C068", "C069"),
)
def pg_activity(postgres):
    """Sessions and background processes at the moment of asking; one row per backend, oldest transaction first, our own session excluded.

    One sample: a session that began and ended between two samples is not in it.
    """
    hidden = untracked = 0
    for row in postgres.rows(ACTIVITY):
        hidden += row["query"] == HIDDEN
        untracked += row["state"] == "disabled"
        yield row | {"query": normalise_sql(row["query"] or "")}
    yield Proof("pg_stat_activity was read")
    if hidden:
        yield Partial(f"activity of {hidden} sessions of other roles", MONITOR.remedy("postgres"))
    if untracked:
        yield Partial(f"activity of {untracked} sessions with track_activities off", "set track_activities = on")


@source(
    columns={
        "reading": Column("Int64", "number of the sample, from 0; a sample without an active session has no row"),
        "read_at": Column(UTC, "time of the sample"),
        "wait_event_type": Column(
            "str", "class of the wait: `Lock`, `LWLock`, `IO`, …", absent="not waiting: running, or ready to run"
        ),
        "wait_event": Column("str", "name of the wait", absent="not waiting"),
        "sessions": Column("Int64", "active client sessions with this wait event in this sample, our own excluded"),
    },
    covers="now",
    readings=10,
    needs=MONITOR,
    guide=("C066", "C068"),
)
def pg_wait_samples(postgres):
    """Wait events of active sessions in ten samples; one row per sample and wait event.

    Ten samples over a few seconds: shares are rough, and valid for these seconds only.
    """
    if not next(postgres.rows(SEES_ALL))["sees_all"]:
        yield Partial("wait events of sessions of other roles", MONITOR.remedy("postgres"))
    yield from postgres.rows(WAITS)
    yield Proof("pg_stat_activity was read ten times")


@source(
    columns={
        "kind": Column("str", "`role` or `database`"),
        "name": Column("str", "name of the role or database"),
        "most_sessions": Column("Int64", "its CONNECTION LIMIT; superusers are exempt"),
        "sessions": Column("Int64", "current sessions of the role, or in the database, background workers included"),
    },
    covers="now",
    guide=("C067",),
)
def pg_connection_limits(postgres):
    """Roles and databases with their own CONNECTION LIMIT; one row each, superusers and our own role excluded."""
    yield from postgres.rows(CONNECTION_LIMITS)
    yield Proof("the limits of every role and database were read")

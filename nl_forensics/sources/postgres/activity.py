"""Who is connected, and what they are doing right now."""

from nl_forensics.redact import normalise_sql
from nl_forensics.sources import UTC, Partial, Permission, Proof, source

MONITOR = Permission(postgres="pg_monitor")
HIDDEN = "<insufficient privilege>"  # what PostgreSQL shows in place of a statement that we may not see

ACTIVITY = """
SELECT a.pid, a.datname AS database, a.usename AS role, a.application_name AS application,
       host(a.client_addr) AS client, s.ssl AS encrypted, a.backend_type, a.state, a.wait_event_type, a.wait_event,
       a.backend_start, a.xact_start, a.query_start, a.state_change, a.query
  FROM pg_stat_activity a LEFT JOIN pg_stat_ssl s USING (pid)
 WHERE a.pid <> pg_backend_pid()
 ORDER BY a.xact_start NULLS LAST, a.pid
"""
# Every waiting session here holds a place in the queue for a processor or for something named by the wait event.
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
        "pid": "Int64",
        "database": "str",
        "role": "str",
        "application": "str",
        "client": "str",
        "encrypted": "boolean",
        "backend_type": "str",
        "state": "str",
        "wait_event_type": "str",
        "wait_event": "str",
        "backend_start": UTC,
        "xact_start": UTC,
        "query_start": UTC,
        "state_change": UTC,
        "query": "str",
    },
    nullable=(
        "database",
        "role",
        "client",
        "encrypted",
        "state",
        "wait_event_type",
        "wait_event",
        "xact_start",
        "query_start",
        "state_change",
    ),
    covers="now",
    needs=MONITOR,
    guide=("C020", "C066", "C068", "C069"),
)
def pg_activity(postgres):
    """Every session and background process, as it is now; one row per backend, oldest transaction first, ours left out.

    backend_type  `client backend` is a connection; the others are PostgreSQL's own workers
    client        address; null for a Unix socket and for background workers
    encrypted     whether the connection uses TLS; null for background workers
    state         `active`, `idle`, `idle in transaction`, …; null for background workers
    xact_start    when the transaction began; null outside one
    query_start   when the statement in `query` began, be it finished or not
    state_change  since when it is in this state
    query         the statement with its literals replaced by ?; cut by the server at track_activity_query_size

    One look: what began and ended between two looks is not in it. Behind a pooler, `application` and `client` are the pooler's.
    """
    hidden = 0
    for row in postgres.rows(ACTIVITY):
        hidden += row["query"] == HIDDEN
        yield row | {"query": normalise_sql(row["query"] or "")}
    yield Proof("pg_stat_activity was read")
    if hidden:
        yield Partial(f"what {hidden} sessions of other roles are doing", MONITOR.closes("postgres"))


@source(
    columns={"reading": "Int64", "read_at": UTC, "wait_event_type": "str", "wait_event": "str", "sessions": "Int64"},
    nullable=("wait_event_type", "wait_event"),
    covers="now",
    readings=10,
    needs=MONITOR,
    guide=("C066", "C068"),
)
def pg_wait_samples(postgres):
    """What active sessions were waiting for, looked at ten times; one row per look and wait event.

    reading          number of the look, from 0; a look at which no session was active has no row
    wait_event_type  class of the wait (`Lock`, `LWLock`, `IO`, …); null: not waiting, so running or about to
    sessions         active client sessions with this wait event at this look, ours left out

    Ten looks over a few seconds: a share is rough, and tells of these seconds only.
    """
    if not next(postgres.rows(SEES_ALL))["sees_all"]:
        yield Partial("what sessions of other roles wait for", MONITOR.closes("postgres"))
    yield from postgres.rows(WAITS)
    yield Proof("pg_stat_activity was read ten times")


@source(
    columns={"kind": "str", "name": "str", "most_sessions": "Int64", "sessions": "Int64"},
    covers="now",
    guide=("C067",),
)
def pg_connection_limits(postgres):
    """Roles and databases that have a CONNECTION LIMIT of their own; one row each, without superusers and our own role.

    kind           `role` or `database`
    most_sessions  the limit; superusers are exempt from it
    sessions       sessions of that role or in that database now, background workers included
    """
    yield from postgres.rows(CONNECTION_LIMITS)
    yield Proof("the limits of every role and database were read")

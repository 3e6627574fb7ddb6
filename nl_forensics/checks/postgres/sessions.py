"""Rules about connections, and about how long sessions occupy them."""

import pandas as pd

from nl_forensics.checks.postgres.labels import (
    MAINTENANCE,
    MAINTENANCE_PROGRAMS,
    clients,
    session_of,
    short,
    usable_connections,
)
from nl_forensics.checks.rows import seconds_since
from nl_forensics.checks.rule import check


@check(
    section="05",
    severity="high",
    critical="used_ratio >= critical_ratio",
    subject="postgres/{instance}",
    because="{sessions} of {usable:number} usable connections are in use ({used_ratio:percent}, limit {max_ratio:percent}), {idle} idle; "
    "most by {largest}: {largest_sessions}",
    guide=("C066", "C067"),
)
def connections_leave_room(pg_activity, pg_settings, *, max_ratio=0.75, critical_ratio=0.9):
    """At most {max_ratio:percent} of the usable connections are in use.

    Usable are max_connections without those reserved for superusers and, since PostgreSQL 16, for certain roles. When all are in use, the
    server refuses new ones. 75 and 90 %: Crunchy Data's pgMonitor and pgEdge's health check. Smaller pools, or a pooler, free idle ones.
    """
    sessions = clients(pg_activity).assign(session=session_of)
    rows = sessions.groupby("instance", as_index=False).agg(
        sessions=("pid", "size"),
        idle=("state", lambda state: (state == "idle").sum()),
        largest=("session", lambda names: names.value_counts().index[0]),
        largest_sessions=("session", lambda names: names.value_counts().iloc[0]),
        asked_at=("asked_at", "max"),
    )
    rows["usable"] = rows.instance.map(usable_connections(pg_settings))
    rows["used_ratio"] = rows.sessions / rows.usable
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="high",
    critical="used_ratio >= critical_ratio",
    subject="postgres/{instance}, {kind} {name}",
    because="{sessions} of {most_sessions} sessions of its CONNECTION LIMIT are open ({used_ratio:percent}, limit {max_ratio:percent})",
    guide=("C067",),
)
def connection_limits_leave_room(pg_connection_limits, *, max_ratio=0.75, critical_ratio=0.9):
    """At most {max_ratio:percent} of the CONNECTION LIMIT of each role and database are in use.

    Such a limit refuses one application while the server has room. 75 and 90 %, as for the whole server. A limit of 0 closes
    a database on purpose.
    """
    rows = pg_connection_limits[pg_connection_limits.most_sessions > 0]
    rows = rows.assign(used_ratio=(rows.sessions / rows.most_sessions).astype("float64"))
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {session}",
    because="holds {sessions} of {usable:number} usable connections ({used_ratio:percent}, limit {max_ratio:percent}), {idle} idle; "
    "longest idle: {idle_s:seconds}; client addresses: {addresses}",
    guide=("C066", "C069"),
)
def no_application_takes_most_connections(pg_activity, pg_settings, *, max_ratio=0.5):
    """No application holds more than {max_ratio:percent} of the usable connections.

    One that leaks connections, or that has one pool per replica, leaves none for the others. 50 %: our choice.
    """
    sessions = clients(pg_activity).assign(session=session_of)
    idle = sessions[sessions.state == "idle"]
    sessions = sessions.assign(idle_for=seconds_since(idle.state_change, idle))
    rows = sessions.groupby(["instance", "session"], as_index=False).agg(
        sessions=("pid", "size"),
        addresses=("client", "nunique"),
        idle=("idle_for", "count"),
        idle_s=("idle_for", "max"),
        asked_at=("asked_at", "max"),
    )
    rows["usable"] = rows.instance.map(usable_connections(pg_settings))
    rows["used_ratio"] = rows.sessions / rows.usable
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="high",
    critical="idle_s >= critical_s",
    note="idle_s < max_s",
    subject="postgres/{instance}, {session}",
    because="{state} for {idle_s:seconds} (limit {max_s:seconds}), pid {pid}, since {state_change:%H:%M:%S} UTC; "
    "last statement: {statement}",
    at="state_change",
    guide=("C066", "C068"),
)
def no_session_idles_in_a_transaction(pg_activity, *, note_s=30, max_s=300, critical_s=900):
    """No session is idle in a transaction for longer than {max_s:seconds}.

    It keeps its locks, and prevents VACUUM from removing dead rows. From 30 s a note (pgEdge's health check), from 300 s high,
    from 900 s critical (Crunchy Data's pgMonitor). If it blocks other sessions, no_session_blocks_others reports it at once.
    """
    rows = clients(pg_activity)
    rows = rows[rows.state.str.startswith("idle in transaction", na=False)]
    rows = rows.assign(
        session=session_of, statement=short(rows["query"]), idle_s=seconds_since(rows.state_change, rows)
    )
    return rows[rows.idle_s >= note_s].sort_values("idle_s", ascending=False)


@check(
    section="05",
    severity="high",
    critical="runs_s >= critical_s and not is_maintenance",
    note="is_maintenance",
    subject="postgres/{instance}, {session}",
    because="statement running for {runs_s:seconds} (limit {max_s:seconds}), pid {pid}, since {query_start:%H:%M:%S} UTC, {waits}; "
    "{statement}",
    at="query_start",
    guide=("C068",),
)
def no_query_runs_long(pg_activity, *, max_s=60, critical_s=300):
    """No statement runs for longer than {max_s:seconds}.

    Of clients only: a replica's stream runs for months. Dumps, VACUUM and index builds take long by nature and are notes. A statement that
    waits for a lock is reported with its blocker, by no_session_blocks_others. 60 and 300 s: PgHero, pgEdge's health check, CloudNativePG.
    """
    rows = clients(pg_activity)
    rows = rows[rows.state == "active"]
    rows = rows[(rows.wait_event_type != "Lock").fillna(True)]
    rows = rows.assign(session=session_of, statement=short(rows["query"]), runs_s=seconds_since(rows.query_start, rows))
    rows = rows.assign(
        waits=("waiting on " + rows.wait_event_type + " " + rows.wait_event).fillna("not waiting"),
        is_maintenance=_is_maintenance(rows),
    )
    return rows[rows.runs_s >= max_s].sort_values("runs_s", ascending=False)


def _is_maintenance(rows: pd.DataFrame) -> pd.Series:
    return rows["query"].str.match(MAINTENANCE) | rows.application.str.match(MAINTENANCE_PROGRAMS)


@check(
    section="05",
    severity="critical",
    note="is_maintenance",
    subject="postgres/{instance}, {session}",
    because="transaction open for {open_s:seconds} (limit {max_s:seconds}), pid {pid}, since {xact_start:%Y-%m-%d %H:%M:%S} UTC, {state}; "
    "{statement}",
    at="xact_start",
    guide=("C068", "C073"),
)
def no_transaction_stays_open(pg_activity, *, max_s=3600):
    """No transaction stays open for longer than {max_s:seconds}.

    While it is open, VACUUM cannot remove rows that died since it began, in any table of the server. 1 hour: postgres-checkup. Dumps and
    index builds are notes.
    """
    rows = clients(pg_activity)
    rows = rows.assign(open_s=seconds_since(rows.xact_start, rows))
    rows = rows[rows.open_s >= max_s].sort_values("open_s", ascending=False)
    return rows.assign(session=session_of, statement=short(rows["query"]), is_maintenance=_is_maintenance(rows))

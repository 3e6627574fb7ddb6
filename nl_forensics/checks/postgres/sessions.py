"""Rules about connections, and about how long sessions keep them busy."""

import pandas as pd

from nl_forensics.checks.postgres.labels import (
    MAINTENANCE,
    MAINTENANCE_PROGRAMS,
    clients,
    session_of,
    short,
    usable_connections,
)
from nl_forensics.checks.rows import graded, seconds_since, worst_first
from nl_forensics.checks.rule import check


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}",
    because="{sessions} of {usable:number} connections for applications are taken ({used_ratio:percent}, limit "
    "{max_ratio:percent}), {idle} of them idle; most by {largest}: {largest_sessions}",
    guide=("C066", "C067"),
)
def connections_leave_room(pg_activity, pg_settings, *, max_ratio=0.75, critical_ratio=0.9):
    """At most {max_ratio:percent} of the connections for applications are taken.

    Usable are max_connections without those reserved for superusers and, since PostgreSQL 16, for certain roles. At the end the server
    refuses everybody. 75 and 90 %: Crunchy Data's pgMonitor and pgEdge's health check. Idle ones are closed by smaller pools or a pooler.
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
    rows = graded(rows, critical=rows.used_ratio >= critical_ratio, high=rows.used_ratio >= max_ratio)
    return worst_first(rows, "used_ratio")


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}, {kind} {name}",
    because="{sessions} of {most_sessions} sessions that its CONNECTION LIMIT allows are open ({used_ratio:percent}, limit "
    "{max_ratio:percent})",
    guide=("C067",),
)
def connection_limits_leave_room(pg_connection_limits, *, max_ratio=0.75, critical_ratio=0.9):
    """At most {max_ratio:percent} of the sessions that a role's or a database's own CONNECTION LIMIT allows are open.

    Such a limit refuses one application while the server has room. 75 and 90 %, as for the whole server. A limit of 0 closes
    a database on purpose.
    """
    rows = pg_connection_limits[pg_connection_limits.most_sessions > 0]
    rows = rows.assign(used_ratio=(rows.sessions / rows.most_sessions).astype("float64"))
    rows = graded(rows, critical=rows.used_ratio >= critical_ratio, high=rows.used_ratio >= max_ratio)
    return worst_first(rows, "used_ratio")


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {session}",
    because="has {sessions} of {usable:number} connections for applications ({used_ratio:percent}, limit {max_ratio:percent}), "
    "{idle} of them idle, the longest for {idle_s:seconds}; client addresses: {addresses}",
    guide=("C066", "C069"),
)
def no_application_takes_most_connections(pg_activity, pg_settings, *, max_ratio=0.5):
    """No application has more than {max_ratio:percent} of the connections for applications.

    One that leaks connections, or whose pool is multiplied by its replicas, shuts the others out. 50 %: a choice of ours.
    """
    sessions = clients(pg_activity).assign(
        session=session_of, idle_for=lambda rows: seconds_since(rows.state_change, rows).where(rows.state == "idle")
    )
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
    subject="postgres/{instance}, {session}",
    because="pid {pid} is {state} since {state_change:%H:%M:%S} UTC ({idle_s:seconds}, limit {max_s:seconds}); its last "
    "statement: {statement}",
    at="state_change",
    guide=("C066", "C068"),
)
def no_session_idles_in_a_transaction(pg_activity, *, note_s=30, max_s=300, critical_s=900):
    """No session idles inside a transaction for longer than {max_s:seconds}.

    It does nothing, keeps its locks, and keeps VACUUM from removing dead rows. From 30 s a note (pgEdge's health check), from 300 s high,
    from 900 s critical (Crunchy Data's pgMonitor). If others wait for it, no_session_blocks_others says so at once.
    """
    rows = clients(pg_activity)
    rows = rows[rows.state.str.startswith("idle in transaction", na=False)]
    rows = rows.assign(
        session=session_of, statement=short(rows["query"]), idle_s=seconds_since(rows.state_change, rows)
    )
    rows = graded(rows, critical=rows.idle_s >= critical_s, high=rows.idle_s >= max_s, note=rows.idle_s >= note_s)
    return worst_first(rows, "idle_s")


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}, {session}",
    because="pid {pid} runs one statement since {query_start:%H:%M:%S} UTC ({runs_s:seconds}, limit {max_s:seconds}), "
    "{waits}: {statement}",
    at="query_start",
    guide=("C068",),
)
def no_query_runs_long(pg_activity, *, max_s=60, critical_s=300):
    """No statement runs for longer than {max_s:seconds}.

    Of clients only: a replica's stream runs for months. Dumps, VACUUM and builds of indexes take long by nature and are notes; who waits
    for a lock is the victim, and told by no_session_blocks_others. 60 and 300 s: PgHero, pgEdge's health check, CloudNativePG.
    """
    rows = clients(pg_activity)
    rows = rows[(rows.state == "active") & (rows.wait_event_type != "Lock").fillna(True)]
    rows = rows.assign(session=session_of, statement=short(rows["query"]), runs_s=seconds_since(rows.query_start, rows))
    rows["waits"] = ("waiting for " + rows.wait_event_type + " " + rows.wait_event).fillna("not waiting")
    long = rows.runs_s >= max_s
    rows = graded(rows, note=long & _is_maintenance(rows), critical=rows.runs_s >= critical_s, high=long)
    return worst_first(rows, "runs_s")


def _is_maintenance(rows: pd.DataFrame) -> pd.Series:
    return rows["query"].str.match(MAINTENANCE) | rows.application.str.match(MAINTENANCE_PROGRAMS)


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}, {session}",
    because="pid {pid} is in one transaction since {xact_start:%Y-%m-%d %H:%M:%S} UTC ({open_s:seconds}, limit {max_s:seconds}), "
    "now {state}: {statement}",
    at="xact_start",
    guide=("C068", "C073"),
)
def no_transaction_stays_open(pg_activity, *, max_s=3600):
    """No transaction stays open for longer than {max_s:seconds}.

    While it is open, VACUUM can remove nothing that died since it began, in any table of the server. 1 hour: postgres-checkup. Dumps and
    builds of indexes are notes.
    """
    rows = clients(pg_activity)
    rows = rows.assign(session=session_of, statement=short(rows["query"]), open_s=seconds_since(rows.xact_start, rows))
    long = rows.open_s >= max_s
    return worst_first(graded(rows, note=long & _is_maintenance(rows), critical=long), "open_s")

"""Rules about locks and other waits."""

import pandas as pd

from nl_forensics.checks.postgres.labels import session_of, short
from nl_forensics.checks.rows import graded, seconds_since, worst_first
from nl_forensics.checks.rule import check

# Waits that are no shortage: for the client, for a timer, of a process that has nothing to do.
HARMLESS_WAITS = ("Client", "Activity", "Timeout", "Extension")


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}, {session}",
    because="pid {root_pid}, {root_state} since {root_state_change:%H:%M:%S} UTC, keeps {waiters} waiting for a lock"
    "{relations}, the longest for {wait_s:seconds} (limit {min_wait_s:seconds}); its last statement: {statement}",
    at="blocking_since",
    guide=("C068",),
)
def no_session_blocks_others(pg_blocking, *, min_wait_s=1, max_wait_s=30, critical_wait_s=120, critical_waiting=5):
    """No session keeps another waiting for a lock for longer than {min_wait_s:seconds}.

    One finding per root: the session that waits for nobody, and that everybody behind it waits for. Critical if it is idle in a
    transaction (only its application can end that), a prepared transaction (which no session will end), if 5 sessions wait, or one waits
    for 120 s; high above 30 s (choices of ours). Shorter than 1 s is ordinary: it is the default of deadlock_timeout, after which
    PostgreSQL itself looks.
    """
    waits = pg_blocking.assign(wait_s=seconds_since(pg_blocking.waiting_since, pg_blocking))
    rows = pd.DataFrame([_root(chain) for _, chain in waits.groupby(["instance", "root_pid"])])
    if rows.empty:
        return rows
    stuck = rows.root_state.str.startswith("idle in transaction", na=False) | (
        rows.root_state == "prepared transaction"
    )
    critical = stuck | (rows.wait_s >= critical_wait_s) | (rows.waiting >= critical_waiting)
    rows = rows.assign(session=session_of(rows, "root_"), statement=short(rows.root_query))
    rows["waiters"] = [f"{waiting} session{'s' if waiting > 1 else ''}" for waiting in rows.waiting]
    enough = rows.wait_s >= min_wait_s
    rows = graded(rows, critical=enough & critical, high=rows.wait_s >= max_wait_s, medium=enough)
    return worst_first(rows, "waiting")


def _root(chain: pd.DataFrame) -> dict:
    """Everybody behind one root, in one row."""
    relations = chain.relation.dropna().unique()
    return chain.iloc[0].to_dict() | {
        "waiting": chain.pid.nunique(),
        "wait_s": chain.wait_s.max(),
        "blocking_since": chain.waiting_since.min(),
        "relations": f" on {', '.join(sorted(relations)[:3])}" if len(relations) else "",
    }


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}",
    because="{locks:number} of about {most_locks:number} places in the lock table are taken ({used_ratio:percent}, limit "
    '{max_ratio:percent}): when it is full, statements fail with "out of shared memory"',
    guide=("C068",),
)
def lock_table_has_room(pg_lock_table, *, max_ratio=0.2, critical_ratio=0.8):
    """At most {max_ratio:percent} of the lock table is taken.

    Its size is max_locks_per_transaction × (max_connections + max_prepared_transactions); transactions that touch thousands of
    tables or partitions fill it. 20 %: the alerts of postgres_exporter. Critical at 80 %: a choice of ours.
    """
    rows = pg_lock_table.assign(used_ratio=(pg_lock_table.locks / pg_lock_table.most_locks).astype("float64"))
    rows = graded(rows, critical=rows.used_ratio >= critical_ratio, high=rows.used_ratio > max_ratio)
    return worst_first(rows, "used_ratio")


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}",
    because="deadlocks: {deadlocks_delta:number} in {seconds:seconds} ({per_minute:.1f} a minute, limit {max_per_minute}), {deadlocks} "
    "since {since}",
    guide=("C068",),
)
def no_deadlock_happens(pg_databases, *, max_per_minute=5):
    """No deadlock happens, let alone {max_per_minute} a minute.

    Each ends one transaction with an error. High above 5 a minute, the alerts of postgres_exporter; medium for any between the two
    readings. Those from before are a note: the counter does not tell when they happened; the server's log does.
    """
    rows = pg_databases.assign(per_minute=pg_databases.deadlocks_delta / pg_databases.seconds * 60)
    rows["since"] = rows.counted_since.dt.strftime("%Y-%m-%d %H:%M UTC").fillna("the database was made")
    new = rows.deadlocks_delta > 0
    rows = graded(rows, high=new & (rows.per_minute > max_per_minute), medium=new, note=rows.deadlocks > 0)
    return worst_first(rows, "deadlocks")


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {wait_event_type}",
    because="{share_ratio:percent} of what active sessions did was waiting for {wait_event_type} (limit {max_ratio:percent}), mostly "
    "{wait_event}: {waiting:.1f} sessions on average over {looks} looks",
    guide=("C066", "C068"),
)
def sessions_do_not_all_wait_for_one_thing(pg_wait_samples, *, max_ratio=0.5, min_waiting=2):
    """No kind of wait takes more than {max_ratio:percent} of the time of active sessions.

    Lock: other transactions. IO: the disk. LWLock, BufferPin: PostgreSQL's own structures. IPC: other processes, replicas too. Waiting for
    the client or a timer is not counted. 50 %, and at least 2 waiting sessions on average: choices of ours, so that one session on an idle
    server is no finding.
    """
    samples = pg_wait_samples
    total = samples.groupby("instance").sessions.sum()
    waits = samples[samples.wait_event_type.notna() & ~samples.wait_event_type.isin(HARMLESS_WAITS)]
    rows = pd.DataFrame([_of_one_kind(kind) for _, kind in waits.groupby(["instance", "wait_event_type"])])
    if rows.empty:
        return rows
    rows["looks"] = rows.instance.map(samples.groupby("instance").reading.max() + 1)
    rows["waiting"] = (rows.sessions / rows.looks).astype("float64")
    rows["share_ratio"] = (rows.sessions / rows.instance.map(total)).astype("float64")
    return rows[(rows.share_ratio > max_ratio) & (rows.waiting >= min_waiting)].sort_values(
        "share_ratio", ascending=False
    )


def _of_one_kind(kind: pd.DataFrame) -> dict:
    """All samples of one class of waits, in one row with its most frequent event."""
    most = kind.groupby("wait_event").sessions.sum().idxmax()
    return kind.iloc[-1].to_dict() | {"wait_event": most, "sessions": kind.sessions.sum()}

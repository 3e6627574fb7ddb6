"""Rules about locks and other waits."""

import pandas as pd

from nl_forensics.checks.postgres.labels import session_of, short
from nl_forensics.checks.rows import seconds_since
from nl_forensics.checks.rule import check
from nl_forensics.units import in_percent

# Waits that are no shortage: for the client, for a timer, of a process that has nothing to do.
HARMLESS_WAITS = ("Client", "Activity", "Timeout", "Extension")
PREPARED = "prepared transaction"


@check(
    section="05",
    severity="medium",
    critical="is_stuck or wait_s >= critical_wait_s or waiting >= critical_waiting",
    high="wait_s >= high_wait_s",
    subject="postgres/{instance}, {session}",
    because="{root} blocks {waiters} on a lock{relations}, longest wait {wait_s:seconds} (limit {min_wait_s:seconds}); "
    "{since}{queue}last statement of the blocker: {statement}",
    at="blocking_since",
    guide=("C068",),
)
def no_session_blocks_others(pg_blocking, *, min_wait_s=1, high_wait_s=30, critical_wait_s=120, critical_waiting=5):
    """No session blocks another on a lock for longer than {min_wait_s:seconds}.

    One finding per root blocker: the session at the head of the chain, which waits for no lock itself. Critical if it is idle in a
    transaction (only its application can end that), a prepared transaction (which no session will end), if 5 sessions wait, or one waits
    for 120 s; high above 30 s (our choices). Shorter than 1 s is ordinary: it is the default of deadlock_timeout.
    """
    waits = pg_blocking.assign(wait_s=seconds_since(pg_blocking.waiting_since, pg_blocking))
    longest_s = waits.groupby(["instance", "root_pid"]).wait_s.transform("max")
    chains = waits[longest_s >= min_wait_s].groupby(["instance", "root_pid"])
    rows = pd.DataFrame([_of_a_root(chain) for _, chain in chains])
    if rows.empty:
        return rows
    prepared = rows.root_state == PREPARED
    rows["is_stuck"] = rows.root_state.str.startswith("idle in transaction", na=False) | prepared
    rows["session"] = session_of(rows, "root_").mask(prepared, PREPARED)
    rows["statement"] = short(rows.root_query)
    rows["since"] = rows.root_state_change.dt.strftime("in this state since %H:%M:%S UTC; ").fillna("")
    pid = "pid " + rows.root_pid.astype("str") + " (" + rows.root_state.fillna("unknown state") + ")"
    rows["root"] = pid.mask(prepared, "it")
    return rows.sort_values("waiting", ascending=False)


def _of_a_root(chain: pd.DataFrame) -> dict:
    """All sessions behind one root blocker, in one row."""
    relations, waiting = chain.relation.dropna().unique(), chain.pid.nunique()
    return chain.iloc[0].to_dict() | {
        "waiting": waiting,
        "waiters": f"{waiting} session{'s' if waiting > 1 else ''}",
        "wait_s": chain.wait_s.max(),
        "blocking_since": chain.waiting_since.min(),
        "relations": f" on {', '.join(sorted(relations)[:3])}" if len(relations) else "",
        "queue": _describe_queue(chain),
    }


def _describe_queue(chain: pd.DataFrame) -> str:
    """A waiter that blocks more sessions than the root does, such as an ALTER TABLE: later requests queue behind it."""
    behind = chain.blocked_by_pid.value_counts()
    pid, root = behind.idxmax(), chain.root_pid.iloc[0]
    head = chain[chain.pid == pid]
    if head.empty or behind[pid] <= behind.get(root, 0):
        return ""
    first = head.iloc[0]
    return f"{behind[pid]} of them queue behind pid {pid}, which requests {first['mode']}: {short(head['query']).iloc[0]}; "


@check(
    section="05",
    severity="high",
    critical="used_ratio >= critical_ratio",
    subject="postgres/{instance}",
    because="{locks:number} of about {most_locks:number} lock table entries are in use ({used_ratio:percent}, limit {max_ratio:percent}); "
    'when it is full, statements fail with "out of shared memory"',
    guide=("C068",),
)
def lock_table_has_room(pg_lock_table, *, max_ratio=0.2, critical_ratio=0.8):
    """At most {max_ratio:percent} of the lock table are in use.

    Its size is max_locks_per_transaction × (max_connections + max_prepared_transactions); transactions on thousands of
    tables or partitions fill it. 20 %: the alerts of postgres_exporter. Critical at 80 %: our choice.
    """
    rows = pg_lock_table.assign(used_ratio=(pg_lock_table.locks / pg_lock_table.most_locks).astype("float64"))
    return rows[rows.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="medium",
    high="per_minute > max_per_minute",
    note="not is_new",
    subject="postgres/{instance}, {database}",
    because="{deadlocks_delta:number} deadlocks in {seconds:seconds} ({per_minute:.1f}/min, limit {max_per_minute}/min), {deadlocks} since "
    "{since}",
    guide=("C068",),
)
def no_deadlock_happens(pg_databases, *, max_per_minute=5):
    """No deadlock happens between the two readings.

    Each ends one transaction with an error. High above {max_per_minute} per minute: the alerts of postgres_exporter. Earlier ones are a
    note: the counter has no times; the server's log does.
    """
    rows = pg_databases.assign(is_new=(pg_databases.deadlocks_delta > 0).fillna(False))
    rows = rows[rows.is_new | (rows.deadlocks > 0)]
    return rows.assign(
        per_minute=rows.deadlocks_delta / rows.seconds * 60,
        since=rows.counted_since.dt.strftime("%Y-%m-%d %H:%M UTC").fillna("the database was created"),
    ).sort_values("deadlocks", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {wait_event_type}",
    because="{share} active sessions waited on {wait_event_type} (limit {max_ratio:percent}), mostly {wait_event}, "
    "{waiting:.1f} on average over {samples} samples",
    guide=("C066", "C068"),
)
def no_wait_class_dominates(pg_wait_samples, *, max_ratio=0.5, min_waiting=2):
    """No class of wait events takes more than {max_ratio:percent} of the time of active sessions.

    Lock: other transactions. IO: the disk. LWLock, BufferPin: PostgreSQL's own structures. IPC: other processes, replicas too. Waits for
    the client or a timer do not count. 50 %, and at least 2 waiting sessions on average: our choices, so that one session on an idle
    server is no finding.
    """
    samples = pg_wait_samples
    total = samples.groupby("instance").sessions.sum()
    waits = samples[samples.wait_event_type.notna() & ~samples.wait_event_type.isin(HARMLESS_WAITS)]
    rows = pd.DataFrame([_of_one_class(waits) for _, waits in waits.groupby(["instance", "wait_event_type"])])
    if rows.empty:
        return rows
    rows["samples"] = rows.instance.map(samples.groupby("instance").reading.max() + 1)
    rows["waiting"] = (rows.sessions / rows.samples).astype("float64")
    rows["share_ratio"] = (rows.sessions / rows.instance.map(total)).astype("float64")
    rows["share"] = [f"{in_percent(ratio)} of" if ratio < 1 else "all" for ratio in rows.share_ratio]
    dominant = (rows.share_ratio > max_ratio) & (rows.waiting >= min_waiting)
    return rows[dominant].sort_values("share_ratio", ascending=False)


def _of_one_class(waits: pd.DataFrame) -> dict:
    """All samples of one class of waits, in one row with its most frequent event."""
    most = waits.groupby("wait_event").sessions.sum().idxmax()
    return waits.iloc[-1].to_dict() | {"wait_event": most, "sessions": waits.sessions.sum()}

"""Who waits for whose lock, and how full the lock table is."""

import pandas as pd

from nl_forensics.redact import normalise_sql
from nl_forensics.sources import UTC, Partial, Proof, source
from nl_forensics.sources.postgres.activity import HIDDEN, MONITOR

MOST_WAITING = 200  # pg_blocking_pids stops the lock table for a moment, once per waiting session
PREPARED_TRANSACTION = 0  # the pid by which pg_blocking_pids names it

WAITING_COUNT = "SELECT count(*) AS sessions FROM pg_locks WHERE NOT granted"
# A session that waits for a row waits for the transaction that changed it: its table is told by the tuple lock beside.
LOCK_TREE = """
WITH waiting AS MATERIALIZED (
    SELECT l.pid, l.locktype, l.mode, {waitstart} AS waitstart,
           coalesce(l.relation, t.relation) AS relation, coalesce(l.database, t.database) AS of_database,
           pg_blocking_pids(l.pid) AS blocked_by
      FROM (SELECT * FROM pg_locks WHERE NOT granted ORDER BY {waitstart}, pid LIMIT %s) l
      LEFT JOIN (SELECT DISTINCT ON (pid) pid, relation, database FROM pg_locks WHERE locktype = 'tuple' AND granted) t
             ON t.pid = l.pid AND l.locktype = 'transactionid'
), involved AS (
    SELECT pid FROM waiting UNION SELECT unnest(blocked_by) FROM waiting
)
SELECT i.pid, a.datname AS database, a.usename AS role, a.application_name AS application,
       host(a.client_addr) AS client, a.state, a.xact_start, a.query_start, a.state_change, a.query,
       w.locktype, w.mode, w.waitstart, w.blocked_by,
       CASE WHEN w.of_database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
            THEN w.relation::regclass::text END AS relation
  FROM involved i LEFT JOIN waiting w USING (pid) LEFT JOIN pg_stat_activity a USING (pid)
 ORDER BY w.waitstart NULLS LAST, i.pid
"""
LOCK_TABLE = """
SELECT count(*) FILTER (WHERE NOT fastpath AND mode <> 'SIReadLock') AS locks,
       current_setting('max_locks_per_transaction')::bigint
       * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) AS most_locks
  FROM pg_locks
"""
WAITER = ("pid", "database", "role", "application", "locktype", "mode", "relation", "query")
ROOT = ("pid", "database", "role", "application", "client", "state", "xact_start", "state_change", "query")


def _paths(blocked_by: dict[int, list[int]]) -> list[tuple[int, int, int, int]]:
    """(waiting pid, its blocker, the root of that chain, depth) for each waiting session and each root it waits for.

    A root waits for nobody. Sessions that wait in a circle have no root: the lowest pid of the circle stands for it.
    """
    waiters: dict[int, list[int]] = {}
    for pid, blockers in blocked_by.items():
        for blocker in dict.fromkeys(blockers):
            waiters.setdefault(blocker, []).append(pid)
    paths = [path for root in sorted(waiters.keys() - blocked_by.keys()) for path in _below(root, waiters)]
    while circle := blocked_by.keys() - {pid for pid, *_ in paths} - {root for _, _, root, _ in paths}:
        paths += _below(min(pid for pid in circle if pid in waiters), waiters)
    return paths


def _below(root: int, waiters: dict[int, list[int]]) -> list[tuple[int, int, int, int]]:
    """Everybody who waits for one root, directly or not, by the shortest way."""
    paths, seen, level, depth = [], {root}, [root], 1
    while level:
        found = [(pid, blocker) for blocker in level for pid in waiters.get(blocker, []) if pid not in seen]
        parents = dict(reversed(found))  # of several, the first
        paths += [(pid, blocker, root, depth) for pid, blocker in parents.items()]
        seen |= parents.keys()
        level, depth = list(parents), depth + 1
    return paths


def _lock_tree(records: list[dict]) -> pd.DataFrame:
    """Sessions with the pids that block them → one row per waiting session and root of its chain."""
    sessions = {record["pid"]: record for record in records}
    prepared = dict.fromkeys(ROOT) | {
        "pid": PREPARED_TRANSACTION,
        "state": "prepared transaction",
        "application": "",
        "query": "",
    }
    rows = []
    waiting = {pid: session["blocked_by"] for pid, session in sessions.items() if session["blocked_by"]}
    for pid, blocker, root, depth in _paths(waiting):
        waiter = sessions[pid]
        holder = sessions[root] if root != PREPARED_TRANSACTION else prepared
        rows.append(
            {name: waiter[name] for name in WAITER}
            | {f"root_{name}": holder[name] for name in ROOT}
            | {
                "waiting_since": waiter["waitstart"] or waiter["query_start"],
                "blocked_by_pid": blocker,
                "depth": depth,
            }
        )
    return pd.DataFrame(rows)


@source(
    parse=_lock_tree,
    columns={
        "pid": "Int64",
        "database": "str",
        "role": "str",
        "application": "str",
        "locktype": "str",
        "mode": "str",
        "relation": "str",
        "query": "str",
        "waiting_since": UTC,
        "blocked_by_pid": "Int64",
        "depth": "Int64",
        "root_pid": "Int64",
        "root_database": "str",
        "root_role": "str",
        "root_application": "str",
        "root_client": "str",
        "root_state": "str",
        "root_xact_start": UTC,
        "root_state_change": UTC,
        "root_query": "str",
    },
    nullable=(
        "database",
        "role",
        "relation",
        "root_database",
        "root_role",
        "root_client",
        "root_state",
        "root_xact_start",
        "root_state_change",
    ),
    covers="now",
    needs=MONITOR,
    guide=("C068",),
)
def pg_blocking(postgres):
    """The lock tree; one row per waiting session and root of its chain, those who wait longest first.

    pid, query         who waits, and the statement that can't go on (literals replaced by ?)
    locktype, mode     what is waited for: `transactionid` is a row that another transaction has changed
    relation           schema and table; null when the lock is on no table, or on one of another database than ours
    waiting_since      start of the wait; on PostgreSQL 13, which does not tell, start of the waiting statement
    blocked_by_pid     who stands directly before it: holds the lock, or asked for it earlier
    depth              1: waits for the root itself; 2: for one that waits for the root; …
    root_pid           who waits for nobody and holds up the whole chain; 0: a prepared transaction, which has no session
    root_state         what the root does: `idle in transaction` means that only its application can end the wait
    root_state_change  since when the root does that
    root_query         the root's current or last statement, which need not be the one that took the lock

    One look at one moment: waits of a few milliseconds are ordinary. Waits inside the application or for a free connection
    are not locks.
    """
    waiting, hidden = next(postgres.rows(WAITING_COUNT))["sessions"], 0
    waitstart = "waitstart" if postgres.version >= 140000 else "NULL::timestamptz"
    for row in postgres.rows(LOCK_TREE.format(waitstart=waitstart), [MOST_WAITING]):
        hidden += row["query"] == HIDDEN
        if row["pid"] != PREPARED_TRANSACTION:
            yield row | {"query": normalise_sql(row["query"] or "")}
    yield Proof(f"pg_locks was read: {waiting} sessions wait for a lock")
    if waiting > MOST_WAITING:
        yield Partial(f"{waiting - MOST_WAITING} more of {waiting} waiting sessions", "end the root of the chain first")
    if hidden:
        yield Partial(f"what {hidden} sessions in the lock tree are doing", MONITOR.closes("postgres"))


@source(columns={"locks": "Int64", "most_locks": "Int64"}, covers="now", guide=("C068",))
def pg_lock_table(postgres):
    """How full the shared lock table is; one row.

    locks       locks held or waited for in it; those on the fast path and predicate locks live elsewhere
    most_locks  max_locks_per_transaction × (max_connections + max_prepared_transactions)
    """
    yield from postgres.rows(LOCK_TABLE)

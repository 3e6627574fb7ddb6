"""Sessions blocked by locks, their blockers, and the use of the lock table."""

import pandas as pd

from nl_forensics.redact import normalise_sql
from nl_forensics.sources import UTC, Partial, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.postgres.activity import HIDDEN, HIDDEN_WITHOUT_STATS, MONITOR

MAX_WAITING = 200  # pg_blocking_pids locks the whole lock table for a moment, once per waiting session
PREPARED_TRANSACTION = 0  # the pid by which pg_blocking_pids names it

WAITING_COUNT = "SELECT count(*) AS sessions FROM pg_locks WHERE NOT granted"
# A session that waits for a row waits for the transaction that changed it: the tuple lock beside it names the table.
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
MAX_PATHS = 50_000
WAITER = ("pid", "database", "role", "application", "locktype", "mode", "relation", "query")
ROOT = ("pid", "database", "role", "application", "client", "state", "xact_start", "state_change", "query")


def _paths(blocked_by: dict[int, list[int]]) -> list[tuple[int, int, int, int]]:
    """(waiting pid, its blocker, the root of that chain, depth) for each waiting session and each root it waits for.

    A root does not wait itself. Sessions that wait in a circle have no root: the lowest pid of the circle stands for it; so does one
    that waits for itself alone. Raises ValueError for more paths than there can be.
    """
    by_others = {pid: set(blockers) - {pid} for pid, blockers in blocked_by.items() if set(blockers) != {pid}}
    paths = [(pid, pid, pid, 1) for pid in blocked_by.keys() - by_others.keys()]
    waiters: dict[int, list[int]] = {}
    for pid, blockers in by_others.items():
        for blocker in blockers:
            waiters.setdefault(blocker, []).append(pid)
    roots, done = sorted(waiters.keys() - by_others.keys()), set[int]()
    while roots or (circle := (waiters.keys() & by_others.keys()) - done):
        for root in roots or [min(circle)]:
            paths += _below(root, waiters)
            done.add(root)
            if len(paths) > MAX_PATHS:
                raise ValueError(f"more than {MAX_PATHS:,} chains of sessions that wait")
        done.update(pid for pid, *_ in paths)
        roots = []
    return paths


def _below(root: int, waiters: dict[int, list[int]]) -> list[tuple[int, int, int, int]]:
    """All sessions that wait for one root, directly or not, by the shortest path."""
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
        "pid": Column("Int64", "process id of the waiter"),
        "database": Column(
            "str", "database of the waiter", unknown="it ended meanwhile, or is connected to no database"
        ),
        "role": Column("str", "role of the waiter", unknown="it ended meanwhile, or is a background process"),
        "application": Column("str", "application_name of the waiter; empty if not set"),
        "locktype": Column(
            "str", "type of lock: `relation`, `transactionid` (a row that another transaction changed), `tuple`, …"
        ),
        "mode": Column("str", "requested lock mode"),
        "relation": Column(
            "str", "table of the lock", unknown="the lock is on no table, or on one of another database than ours"
        ),
        "query": Column("str", "blocked statement, literals replaced by ?"),
        "waiting_since": Column(UTC, "start of the wait; PostgreSQL 13: start of the blocked statement"),
        "blocked_by_pid": Column("Int64", "direct blocker: it holds the lock, or requested it earlier"),
        "depth": Column("Int64", "distance from the root: 1 if the root is the direct blocker"),
        "root_pid": Column(
            "Int64", "root blocker, which does not wait itself; 0: a prepared transaction, which has no session"
        ),
        "root_database": Column("str", "database of the root", unknown="a prepared transaction, or it ended meanwhile"),
        "root_role": Column("str", "role of the root", unknown="a prepared transaction, or it ended meanwhile"),
        "root_application": Column("str", "application_name of the root; empty if not set"),
        "root_client": Column(
            "str", "IP address of the root's client", unknown=f"a Unix socket, or {HIDDEN_WITHOUT_STATS}"
        ),
        "root_state": Column(
            "str",
            "state of the root; in `idle in transaction` only its application can end the wait",
            unknown=HIDDEN_WITHOUT_STATS,
        ),
        "root_xact_start": Column(
            UTC, "start of the root's transaction", unknown=f"a prepared transaction, or {HIDDEN_WITHOUT_STATS}"
        ),
        "root_state_change": Column(
            UTC, "start of the root's current state", unknown=f"a prepared transaction, or {HIDDEN_WITHOUT_STATS}"
        ),
        "root_query": Column(
            "str", "current or last statement of the root, which need not be the one that took the lock"
        ),
    },
    covers="now",
    needs=MONITOR,
    guide=("C068",),
)
def pg_blocking(postgres):
    """The lock tree; one row per waiter and root blocker of its chain, longest wait first.

    One sample: waits of a few milliseconds are ordinary. Waits inside an application, or for a connection of a pool, are not locks.
    """
    waiting, hidden = next(postgres.rows(WAITING_COUNT))["sessions"], 0
    waitstart = "waitstart" if postgres.version >= 140000 else "NULL::timestamptz"
    for row in postgres.rows(LOCK_TREE.format(waitstart=waitstart), [MAX_WAITING]):
        hidden += row["query"] == HIDDEN
        if row["pid"] != PREPARED_TRANSACTION:
            yield row | {"query": normalise_sql(row["query"] or "")}
    yield Proof(f"pg_locks was read: {waiting} sessions wait for a lock")
    if waiting > MAX_WAITING:
        yield Partial(f"{waiting - MAX_WAITING} of {waiting} waiting sessions", "end the root blocker first")
    if hidden:
        yield Partial(f"activity of {hidden} sessions in the lock tree", MONITOR.remedy("postgres"))


@source(
    columns={
        "locks": Column(
            "Int64", "locks in the shared lock table, held or requested; fast-path and predicate locks are elsewhere"
        ),
        "most_locks": Column("Int64", "max_locks_per_transaction × (max_connections + max_prepared_transactions)"),
    },
    covers="now",
    guide=("C068",),
)
def pg_lock_table(postgres):
    """Use of the shared lock table; one row."""
    yield from postgres.rows(LOCK_TABLE)

"""Rules about vacuum: it is on, keeps up, is not blocked, and transaction ids do not run out."""

import pandas as pd

from nl_forensics.checks.rows import seconds_since
from nl_forensics.checks.rule import check
from nl_forensics.units import in_seconds

LAST_XID = 2**31
DATED_HOLDERS = ("session", "prepared transaction")  # PostgreSQL does not date slots and standby feedback


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}",
    because="autovacuum is inactive: {off} is off",
    guide=("C073",),
)
def autovacuum_is_on(pg_autovacuum):
    """Autovacuum and track_counts are on.

    Without it dead rows pile up and transaction ids run out (pg_gather). Without track_counts it does not know what
    changed.
    """
    t = pg_autovacuum[~(pg_autovacuum.is_on & pg_autovacuum.is_counting)]
    return t.assign(off=t.is_on.map({False: "autovacuum", True: "track_counts"}))


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}",
    because="{workers} of {max_workers} autovacuum workers are busy, tables waiting: {tables}; most dead rows: {database}.{schema}.{table}"
    " ({dead_rows:number})",
    guide=("C073",),
)
def autovacuum_has_a_free_worker(pg_autovacuum, pg_vacuum_queue):
    """While tables wait for autovacuum, it has a free worker.

    pg_gather: all workers busy means that autovacuum is starved. A worker throttled by its cost limit counts
    as busy.
    """
    waiting = pg_vacuum_queue[_is_due(pg_vacuum_queue) & pg_vacuum_queue.is_enabled].drop(columns="asked_at")
    waiting = waiting.assign(tables=waiting.groupby("instance")["table"].transform("size"))
    worst = waiting.sort_values("dead_rows", ascending=False).drop_duplicates("instance")
    busy = pg_autovacuum[pg_autovacuum.workers >= pg_autovacuum.max_workers]
    return busy.merge(worst, on="instance")


def _is_due(queue: pd.DataFrame) -> pd.Series:
    return (queue.dead_rows > queue.vacuum_at_dead_rows) & ~queue.is_being_vacuumed


@check(
    section="05",
    severity="medium",
    high="overdue >= high_times",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="{dead_rows:number} dead rows ({dead_ratio:percent} of all), {overdue:.1f}× autovacuum's threshold"
    " ({vacuum_at_dead_rows:number}, limit {overdue_times:g}×); last vacuum: {vacuumed}",
    guide=("C073",),
)
def autovacuum_keeps_up(pg_vacuum_queue, *, overdue_times=1.5, high_times=5.0, min_rows=10_000, min_ratio=0.1):
    """No table has more than {overdue_times:g} times the dead rows of autovacuum's threshold.

    Every scan reads dead rows. From 10,000 and 10 % of all rows on: awesome-prometheus-alerts. 1.5 times, and
    5 times for high, are our choices: a table that has just become due may wait for autovacuum_naptime. Tables
    with a running vacuum are excluded.
    """
    t = pg_vacuum_queue[_is_due(pg_vacuum_queue) & (pg_vacuum_queue.dead_rows > min_rows)]
    t = t.assign(
        dead_ratio=t.dead_rows.astype("float64") / (t.dead_rows + t.live_rows).astype("float64"),
        vacuumed=_ago(t.last_vacuum_at, t),
    )
    t = t[t.dead_ratio >= min_ratio]
    t = t.assign(overdue=t.dead_rows.astype("float64") / t.vacuum_at_dead_rows.clip(lower=1))
    return t[t.overdue >= overdue_times].sort_values("dead_rows", ascending=False)


def _ago(at: pd.Series, rows: pd.DataFrame) -> pd.Series:
    return seconds_since(at, rows).map(lambda s: "never" if pd.isna(s) else f"{in_seconds(s)} ago")


@check(
    section="05",
    severity="note",
    medium="is_due",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="autovacuum_enabled=off with {dead_rows:number} dead rows (autovacuum's threshold: {vacuum_at_dead_rows:number})",
    guide=("C073",),
)
def no_table_opts_out_of_autovacuum(pg_vacuum_queue):
    """No table has autovacuum disabled.

    Often done for a bulk load and then forgotten (pg_gather). Housekeeping until the table has more dead rows than
    autovacuum's threshold; then it is medium.
    """
    t = pg_vacuum_queue[~pg_vacuum_queue.is_enabled]
    return t.assign(is_due=_is_due(t)).sort_values("dead_rows", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="{rows_changed_since_analyze:number} rows changed since the last analyze ({analyzed}; autovacuum's threshold:"
    " {analyze_at_changed_rows:number}); the planner may choose bad plans",
    guide=("C073",),
)
def planner_statistics_are_fresh(pg_vacuum_queue, *, overdue_times=2.0, min_rows=10_000):
    """No table has more than {overdue_times:g} times the changed rows of autovacuum's analyze threshold.

    The planner chooses by these statistics (pg_gather: tables never analyzed). From 10,000 changed rows on
    (PgHero's large table); twice: our choice, since a table that has just become due may wait for
    autovacuum_naptime.
    """
    t = pg_vacuum_queue[pg_vacuum_queue.rows_changed_since_analyze >= min_rows]
    t = t[t.rows_changed_since_analyze > overdue_times * t.analyze_at_changed_rows]
    t = t.assign(analyzed=_ago(t.last_analyze_at, t))
    return t.sort_values("rows_changed_since_analyze", ascending=False)


def _wraparound(t: pd.DataFrame) -> pd.DataFrame:
    """Which of the two counters is further, against the end and against the age at which autovacuum freezes."""
    xid, multixact = t.xid_age / t.freeze_xid_age, t.multixact_age / t.freeze_multixact_age
    further = (xid >= multixact).map({True: "transaction", False: "multixact"})
    worse = t[["xid_age", "multixact_age"]].max(axis=1)
    freeze_ratio = pd.concat([xid, multixact], axis=1).max(axis=1)
    worst_age = t.xid_age.where(xid >= multixact, t.multixact_age)
    freeze_age = t.freeze_xid_age.where(xid >= multixact, t.freeze_multixact_age)
    facts = {"counter": further, "age": worst_age, "freeze_age": freeze_age, "freeze_ratio": freeze_ratio}
    return t.assign(**facts, used_ratio=worse / LAST_XID)


@check(
    section="05",
    severity="high",
    critical="used_ratio >= critical_ratio",
    subject="postgres/{instance}, {database}",
    because="{used_ratio:percent} of its transaction ids are used (limit {max_ratio:percent}); xid age {xid_age:number}, multixact age"
    " {multixact_age:number}, writes stop at 2,147,483,648",
    guide=("C073",),
)
def no_database_nears_wraparound(pg_wraparound, *, max_ratio=0.5, critical_ratio=0.75):
    """No database has used {max_ratio:percent} of its transaction ids.

    At the end PostgreSQL refuses every write until the oldest tables are vacuumed. 50 % and 75 % (critical):
    Crunchy, postgres-checkup.
    """
    t = _wraparound(pg_wraparound)
    return t[t.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="05",
    severity="medium",
    high="freeze_ratio > high_ratio",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="age of its oldest {counter} id is {age:number}, {freeze_ratio:percent} of autovacuum's freeze age ({freeze_age:number},"
    " limit {max_ratio:percent})",
)
def old_rows_are_frozen_in_time(pg_wraparound_tables, *, max_ratio=1.1, high_ratio=1.25):
    """No table is older than {max_ratio:percent} of the age at which autovacuum freezes it.

    Up to 100 % is how freezing works; beyond it autovacuum is failing, or is blocked. 110 % and 125 % (high):
    Crunchy.
    """
    t = _wraparound(pg_wraparound_tables)
    return t[t.freeze_ratio > max_ratio].sort_values("freeze_ratio", ascending=False)


@check(
    section="05",
    severity="note",
    high="held_s > max_s",
    subject="postgres/{instance}, {kind} {name}",
    because="prevents vacuum from removing rows that died in the last {xid_age:number} transactions{lasting}{owner}",
    at="held_since_at",
    guide=("C073",),
)
def no_snapshot_blocks_vacuum(pg_xmin_holders, *, max_s=3600, max_xids=10_000):
    """No snapshot prevents vacuum from removing dead rows for more than {max_s:seconds} or {max_xids:number} transactions.

    Vacuum removes only rows that no snapshot needs, and one old snapshot counts for all tables. One hour (high):
    postgres-checkup; 10,000 transactions (housekeeping): pg_gather. Slots and standby feedback have no start time, so
    only the second limit applies to them.
    """
    dated = pg_xmin_holders[pg_xmin_holders.kind.isin(DATED_HOLDERS)]
    t = pg_xmin_holders.assign(held_s=seconds_since(dated.held_since_at, dated))
    t = t[(t.held_s > max_s) | (t.xid_age > max_xids)].sort_values("xid_age", ascending=False)
    return t.assign(
        lasting=t.held_s.map(lambda s: "" if pd.isna(s) else f", for {in_seconds(s)}"),
        owner=("; role " + t.role).fillna("") + (", " + t.state).fillna(""),
    )


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}, {gid}",
    because="prepared transaction open since {prepared_at:%Y-%m-%d %H:%M} UTC (limit {max_s:seconds}), in {database} by {role}; it keeps"
    " its locks, through restarts too, and blocks vacuum",
    at="prepared_at",
)
def no_prepared_transaction_is_forgotten(pg_prepared_transactions, *, max_s=3600):
    """Every prepared transaction is finished within {max_s:seconds}.

    Its transaction manager (two-phase commit) must commit it or roll it back; nothing else ends it. One hour is our choice.
    """
    t = pg_prepared_transactions
    return t[seconds_since(t.prepared_at, t) > max_s].sort_values("prepared_at")

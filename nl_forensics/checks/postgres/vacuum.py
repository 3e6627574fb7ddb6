"""Rules about vacuum: it is on, it keeps up, nothing holds it back, and the transaction ids don't run out."""

import pandas as pd

from nl_forensics.checks.rows import graded, seconds_since, worst_first
from nl_forensics.checks.rule import check
from nl_forensics.units import in_seconds

LAST_XID = 2**31


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}",
    because="autovacuum does nothing: {off} is off",
    guide=("C073",),
)
def autovacuum_is_on(pg_autovacuum):
    """Autovacuum is on, and counts what it has to do.

    Without it dead rows pile up and transaction ids run out (pg_gather). Without track_counts it doesn't know what
    changed.
    """
    t = pg_autovacuum[~(pg_autovacuum.is_on & pg_autovacuum.is_counting)]
    return t.assign(off=t.is_on.map({False: "autovacuum", True: "track_counts"}))


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}",
    because="all {max_workers} autovacuum workers are busy, and {tables} more tables wait, the worst of them"
    " {database}.{schema}.{table} with {dead_rows:number} dead rows",
    guide=("C073",),
)
def autovacuum_has_a_free_worker(pg_autovacuum, pg_vacuum_queue):
    """While tables wait for autovacuum, it has a free worker.

    pg_gather: all workers busy means that autovacuum is starved. A worker that is paused by its cost limit counts
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
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="{dead_rows:number} dead rows ({dead_ratio:percent} of all), autovacuum should have come at"
    " {vacuum_at_dead_rows:number}; last vacuum: {vacuumed}",
    guide=("C073",),
)
def autovacuum_keeps_up(pg_vacuum_queue, *, overdue_times=1.5, severe_times=5.0, min_rows=10_000, min_ratio=0.1):
    """No table has more than {overdue_times:g} times the dead rows at which autovacuum comes.

    Dead rows are read by every scan. From 10,000 and 10 % of all rows on: awesome-prometheus-alerts. 1.5 times, and
    5 times for high, are our own: a table that has just become due may wait for autovacuum_naptime, and one that is
    being vacuumed is taken care of.
    """
    t = pg_vacuum_queue[_is_due(pg_vacuum_queue) & (pg_vacuum_queue.dead_rows > min_rows)]
    t = t.assign(
        dead_ratio=t.dead_rows.astype("float64") / (t.dead_rows + t.live_rows).astype("float64"),
        vacuumed=_ago(t.last_vacuum_at, t),
    )
    t = t[t.dead_ratio >= min_ratio]
    times = t.dead_rows.astype("float64") / t.vacuum_at_dead_rows.clip(lower=1)
    t = graded(t, high=times >= severe_times, medium=times >= overdue_times)
    return worst_first(t, "dead_rows")


def _ago(at: pd.Series, rows: pd.DataFrame) -> pd.Series:
    return seconds_since(at, rows).map(lambda s: "never" if pd.isna(s) else f"{in_seconds(s)} ago")


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="was taken out of autovacuum (autovacuum_enabled=off), and has {dead_rows:number} dead rows; autovacuum would come at"
    " {vacuum_at_dead_rows:number}",
    guide=("C073",),
)
def no_table_opts_out_of_autovacuum(pg_vacuum_queue):
    """No table was taken out of autovacuum.

    Often done for a bulk load and then forgotten (pg_gather). Housekeeping until the table has more dead rows than
    autovacuum would leave; then it is medium.
    """
    t = pg_vacuum_queue[~pg_vacuum_queue.is_enabled]
    return worst_first(graded(t, medium=_is_due(t), note=~t.is_enabled), "dead_rows")


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="{rows_changed_since_analyze:number} rows changed since its statistics were made (last analyze: {analyzed}), autovacuum should"
    " have come at {analyze_at_changed_rows:number}: the planner may choose bad plans",
    guide=("C073",),
)
def planner_statistics_are_fresh(pg_vacuum_queue, *, overdue_times=2.0, min_rows=10_000):
    """No table has changed by more than {overdue_times:g} times what makes autovacuum analyze it.

    The planner chooses by these statistics (pg_gather: tables never analyzed). From 10,000 changed rows on
    (PgHero's idea of a large table); twice: our own, since a table that has just become due may wait for
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
    subject="postgres/{instance}, {database}",
    because="has used {used_ratio:percent} of its transaction ids (limit {max_ratio:percent}): xid age {xid_age:number}, multixact age"
    " {multixact_age:number}, writes stop at 2,147,483,648",
    guide=("C073",),
)
def no_database_nears_wraparound(pg_wraparound, *, max_ratio=0.5, severe_ratio=0.75):
    """No database has used {max_ratio:percent} of the transaction ids that it can tell apart.

    At the end PostgreSQL refuses every write until the oldest tables are vacuumed. 50 % and 75 % (critical):
    Crunchy, postgres-checkup.
    """
    t = _wraparound(pg_wraparound)
    t = graded(t, critical=t.used_ratio >= severe_ratio, high=t.used_ratio >= max_ratio)
    return worst_first(t, "used_ratio")


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="its oldest {counter} id is {age:number} old, {freeze_ratio:percent} of the age at which autovacuum freezes a table"
    " ({freeze_age:number}; limit {max_ratio:percent})",
)
def old_rows_are_frozen_in_time(pg_wraparound_tables, *, max_ratio=1.1, severe_ratio=1.25):
    """No table is older than {max_ratio:percent} of the age at which autovacuum freezes it.

    Up to 100 % is how freezing works; beyond it autovacuum is failing, or is held back. 110 % and 125 % (high):
    Crunchy.
    """
    t = _wraparound(pg_wraparound_tables)
    t = graded(t, high=t.freeze_ratio > severe_ratio, medium=t.freeze_ratio > max_ratio)
    return worst_first(t, "freeze_ratio")


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {kind} {name}",
    because="keeps vacuum from removing rows that died in the last {xid_age:number} transactions{lasting}{whose}",
    at="held_since_at",
    guide=("C073",),
)
def nothing_holds_vacuum_back(pg_xmin_holders, *, max_s=3600, max_xids=10_000):
    """Nothing keeps vacuum from removing dead rows for more than {max_s:seconds} or {max_xids:number} transactions.

    Vacuum can only remove rows that no snapshot needs, and one old snapshot stands for all tables. One hour (high):
    postgres-checkup; 10,000 transactions (housekeeping): pg_gather. Slots and standbys don't say since when, so
    only the second rule sees them.
    """
    held_s = seconds_since(pg_xmin_holders.held_since_at, pg_xmin_holders)
    t = pg_xmin_holders.assign(
        lasting=held_s.map(lambda s: "" if pd.isna(s) else f", for {in_seconds(s)} now"),
        whose=("; it belongs to " + pg_xmin_holders.role).fillna("") + (", " + pg_xmin_holders.state).fillna(""),
    )
    return worst_first(graded(t, high=held_s > max_s, note=t.xid_age > max_xids), "xid_age")


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}, {gid}",
    because="was prepared in {database} by {role} at {prepared_at:%Y-%m-%d %H:%M} UTC and neither committed nor rolled back (limit"
    " {max_s:seconds}): it keeps its locks, even through a restart, and holds vacuum back",
    at="prepared_at",
)
def no_prepared_transaction_is_forgotten(pg_prepared_transactions, *, max_s=3600):
    """Every prepared transaction is finished within {max_s:seconds}.

    Its manager (two-phase commit) has to commit it or roll it back; nothing else ends it. One hour is our own.
    """
    t = pg_prepared_transactions
    return t[seconds_since(t.prepared_at, t) > max_s].sort_values("prepared_at")

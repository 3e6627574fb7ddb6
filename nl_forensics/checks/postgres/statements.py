"""Rules about statements, as pg_stat_statements counts them."""

import pandas as pd

from nl_forensics.checks.postgres.labels import MAINTENANCE, short
from nl_forensics.checks.rows import graded, worst_first
from nl_forensics.checks.rule import check

GB_50_A_DAY = 50e9 / 86_400


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """With what the sentences say of every statement: its text, its average time, since when it is counted."""
    since = rows.counted_since.dt.strftime("since %Y-%m-%d %H:%M UTC").fillna("since the statistics began")
    return rows.assign(
        statement=short(rows["query"]),
        since=since,
        mean_ms=(rows.exec_ms / rows.calls).astype("float64"),
        mean_now_ms=(rows.exec_ms_delta / rows.calls_delta).where(rows.calls_delta > 0),
    )


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}, statement {query_id} in {database}",
    because="takes {share_ratio:percent} of the time of all statements {span} (limit {max_ratio:percent}; calls: {shown_calls:number}, "
    "of {shown_mean_ms:.1f} ms on average): {statement}",
    guide=("C028", "C036", "C070"),
)
def no_statement_takes_most_of_the_time(pg_statements, *, max_ratio=0.3, min_busy=0.1, min_all_s=60):
    """No statement takes more than {max_ratio:percent} of the time that the server spends on statements.

    30 %: postgres-checkup. High when it did so between the two readings and kept at least 0.1 sessions busy: on an idle server something
    always comes first (a choice of ours). Over the whole time of counting it is a note, if that holds at least 60 s of work.
    """
    rows = _named(pg_statements)
    now_ratio = rows.exec_ms_delta / rows.all_exec_ms_delta.where(rows.all_exec_ms_delta > 0)
    now = (now_ratio > max_ratio) & (rows.exec_ms_delta / 1000 / rows.seconds >= min_busy)
    ever_ratio = rows.exec_ms / rows.all_exec_ms
    ever = (ever_ratio > max_ratio) & (rows.all_exec_ms >= min_all_s * 1000)
    rows = rows.assign(
        share_ratio=now_ratio.where(now, ever_ratio),
        span=("over " + rows.seconds.round(1).astype("str") + " s").where(now, rows.since),
        shown_calls=rows.calls_delta.where(now, rows.calls),
        shown_mean_ms=rows.mean_now_ms.where(now, rows.mean_ms),
    )
    return worst_first(graded(rows, high=now, note=ever), "share_ratio")


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}, statement {query_id} in {database}",
    because="takes {shown_mean_ms:number} ms on average {span} (limit {max_ms:number} ms; calls: {shown_calls:number}): {statement}",
    guide=("C028", "C036", "C070"),
)
def no_statement_is_slow(pg_statements, *, note_ms=20, note_calls=100, max_ms=10_000, critical_ms=60_000):
    """No statement takes longer than {max_ms:number} ms on average.

    High above 10 s, critical above 60 s (pg_gather, one grade higher), of the calls that ended between the two readings. Over the whole
    time of counting it is a note: from 10 s, or from 20 ms with at least 100 calls (PgHero). VACUUM, COPY and builds of
    indexes are long by nature, and left out. A statement that still runs is not counted: no_query_runs_long sees it.
    """
    rows = _named(pg_statements)
    rows = rows[~rows["query"].str.match(MAINTENANCE)]
    ran = rows.mean_now_ms >= max_ms
    rows = rows.assign(
        span=("over " + rows.seconds.round(1).astype("str") + " s").where(ran, rows.since),
        shown_calls=rows.calls_delta.where(ran, rows.calls),
        shown_mean_ms=rows.mean_now_ms.where(ran, rows.mean_ms),
    )
    often = (rows.mean_ms >= note_ms) & (rows.calls >= note_calls)
    rows = graded(rows, critical=rows.mean_now_ms >= critical_ms, high=ran, note=(rows.mean_ms >= max_ms) | often)
    return worst_first(rows, "shown_mean_ms")


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}, statement {query_id} in {database}",
    because="took {mean_now_ms:.1f} ms on average over {seconds:seconds} ({calls_delta:number} calls), and {mean_before_ms:.2f} ms "
    "over the {calls_before:number} calls before, {since}: {ratio:.1f} times as long (limit {max_ratio})",
    guide=("C070",),
)
def no_statement_became_slower(pg_statements, *, max_ratio=2, min_calls_before=100, min_calls_now=20, min_slower_ms=5):
    """No statement takes more than {max_ratio} times as long as it used to.

    Compared are the average of the calls that ended between the two readings, and the average of all calls before, back to the begin of
    the statistics: not two windows of equal length. If the incident fills most of that time, the average before holds it too,
    and the change looks smaller than it is. Twice as long: a choice of ours, with floors (100 calls before, 20 now, 5 ms) against chance.
    """
    rows = _named(pg_statements)
    rows = rows[rows.calls_delta >= min_calls_now]
    rows = rows.assign(calls_before=(rows.calls - rows.calls_delta).astype("float64"))
    rows = rows[rows.calls_before >= min_calls_before]
    rows = rows.assign(mean_before_ms=(rows.exec_ms - rows.exec_ms_delta) / rows.calls_before)
    rows = rows.assign(ratio=rows.mean_now_ms / rows.mean_before_ms)
    slower = (rows.ratio > max_ratio) & (rows.mean_now_ms - rows.mean_before_ms >= min_slower_ms)
    return rows[slower].sort_values("exec_ms_delta", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, statement {query_id} in {database}",
    because="wrote {temp_bytes_delta:bytes} of temporary files in {seconds:seconds} ({bytes_per_s:bytes} a second, limit "
    "{max_bytes_per_s:bytes}; calls: {calls_delta:number}): {statement}",
    guide=("C070",),
)
def no_statement_spills_to_disk(pg_statements, *, max_bytes_per_s=GB_50_A_DAY):
    """No statement writes more than {max_bytes_per_s:bytes} of temporary files a second.

    Sorts and hashes that don't fit into work_mem go to disk. 50 GB a day (pg_gather), as a rate, between the two readings.
    """
    rows = _named(pg_statements)
    rows = rows.assign(bytes_per_s=rows.temp_bytes_delta / rows.seconds)
    return rows[rows.bytes_per_s > max_bytes_per_s].sort_values("bytes_per_s", ascending=False)

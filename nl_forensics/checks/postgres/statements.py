"""Rules about statements, as pg_stat_statements counts them."""

import pandas as pd

from nl_forensics.checks.limits import MAX_TEMP_BYTES_PER_S
from nl_forensics.checks.postgres.labels import MAINTENANCE, short
from nl_forensics.checks.rule import check


def _with_means(rows: pd.DataFrame) -> pd.DataFrame:
    """With the time per call, since the counters began and between the two readings."""
    return rows.assign(
        mean_ms=(rows.exec_ms / rows.calls).astype("float64"),
        mean_now_ms=(rows.exec_ms_delta / rows.calls_delta).where(rows.calls_delta > 0),
    )


def _since(rows: pd.DataFrame) -> pd.Series:
    return rows.counted_since.dt.strftime("since %Y-%m-%d %H:%M UTC").fillna("since the statistics began")


def _described(rows: pd.DataFrame) -> pd.DataFrame:
    """With the facts of a finding: between the two readings where `is_now`, else since the counters began."""
    rows, now = _with_means(rows), rows.is_now
    return rows.assign(
        statement=short(rows["query"]),
        span=("in " + rows.seconds.round(1).astype("str") + " s").where(now, _since(rows)),
        shown_calls=rows.calls_delta.where(now, rows.calls),
        shown_mean_ms=rows.mean_now_ms.where(now, rows.mean_ms),
    )


@check(
    section="05",
    severity="high",
    note="not is_now",
    subject="postgres/{instance}, statement {query_id} in {database}",
    because="{share_ratio:percent} of all execution time {span} (limit {max_ratio:percent}), calls: "
    "{shown_calls:number} of {shown_mean_ms:.1f} ms; {statement}",
    guide=("C028", "C036", "C070"),
)
def no_statement_takes_most_of_the_time(pg_statements, *, max_ratio=0.3, min_busy=0.1, min_all_s=60):
    """No statement takes more than {max_ratio:percent} of the execution time of all statements.

    30 %: postgres-checkup. High between the two readings if it occupied at least 0.1 sessions: on an idle server some statement
    always comes first (our choice). Since the counters began it is a note, if they hold at least 60 s of execution time.
    """
    rows = pg_statements
    now_ratio = rows.exec_ms_delta / rows.all_exec_ms_delta.where(rows.all_exec_ms_delta > 0)
    now = (now_ratio > max_ratio) & (rows.exec_ms_delta / 1000 / rows.seconds >= min_busy)
    ever_ratio = rows.exec_ms / rows.all_exec_ms
    ever = (ever_ratio > max_ratio) & (rows.all_exec_ms >= min_all_s * 1000)
    rows = rows.assign(is_now=now, share_ratio=now_ratio.where(now, ever_ratio))
    return _described(rows[now | ever]).sort_values("share_ratio", ascending=False)


@check(
    section="05",
    severity="high",
    critical="mean_now_ms >= critical_ms",
    note="not is_now",
    subject="postgres/{instance}, statement {query_id} in {database}",
    because="{shown_mean_ms:number} ms per call {span} (limit {max_ms:number} ms), calls: {shown_calls:number}; {statement}",
    guide=("C028", "C036", "C070"),
)
def no_statement_is_slow(pg_statements, *, note_ms=20, note_calls=100, max_ms=10_000, critical_ms=60_000):
    """No statement takes longer than {max_ms:number} ms per call.

    High above 10 s, critical above 60 s (pg_gather, one grade higher), of the calls that ended between the two readings. Since the
    counters began it is a note: from 10 s, or from 20 ms with at least 100 calls (PgHero). VACUUM, COPY and index builds
    are long by nature, and excluded. A running statement is not counted yet: see no_query_runs_long.
    """
    rows = _with_means(pg_statements[~pg_statements["query"].str.match(MAINTENANCE)])
    rows = rows.assign(is_now=rows.mean_now_ms >= max_ms)
    often = (rows.mean_ms >= note_ms) & (rows.calls >= note_calls)
    rows = _described(rows[rows.is_now | (rows.mean_ms >= max_ms) | often])
    return rows.sort_values("shown_mean_ms", ascending=False)


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}, statement {query_id} in {database}",
    because="{mean_now_ms:.1f} ms per call, {ratio:.1f}× the {mean_before_ms:.2f} ms before (limit {max_ratio}×); "
    "{calls_delta:number} calls in {seconds:seconds}, {calls_before:number} before, {since}; {statement}",
    guide=("C070",),
)
def no_statement_became_slower(pg_statements, *, max_ratio=2, min_calls_before=100, min_calls_now=20, min_slower_ms=5):
    """No statement takes more than {max_ratio} times as long per call as before.

    Compares the calls that ended between the two readings with all calls before, back to the begin of the counters: not two windows
    of equal length. If the incident fills most of that time, the mean before includes it, and the change appears smaller than it is.
    Twice as long: our choice, with floors (100 calls before, 20 now, 5 ms) against chance.
    """
    rows = _with_means(pg_statements[pg_statements.calls_delta >= min_calls_now])
    rows = rows.assign(calls_before=(rows.calls - rows.calls_delta).astype("float64"))
    rows = rows[rows.calls_before >= min_calls_before]
    rows = rows.assign(mean_before_ms=(rows.exec_ms - rows.exec_ms_delta) / rows.calls_before)
    rows = rows.assign(ratio=rows.mean_now_ms / rows.mean_before_ms)
    slower = (rows.ratio > max_ratio) & (rows.mean_now_ms - rows.mean_before_ms >= min_slower_ms)
    rows = rows[slower].sort_values("exec_ms_delta", ascending=False)
    return rows.assign(statement=short(rows["query"]), since=_since(rows))


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, statement {query_id} in {database}",
    because="wrote {temp_bytes_delta:bytes} of temporary files in {seconds:seconds} ({bytes_per_s:bytes}/s, limit "
    "{max_bytes_per_s:bytes}/s), calls: {calls_delta:number}; {statement}",
    guide=("C070",),
)
def no_statement_spills_to_disk(pg_statements, *, max_bytes_per_s=MAX_TEMP_BYTES_PER_S):
    """No statement writes more than {max_bytes_per_s:bytes} of temporary files per second.

    Sorts and hashes that exceed work_mem spill to disk. 50 GB a day (pg_gather), as a rate, between the two readings.
    """
    rows = pg_statements.assign(bytes_per_s=pg_statements.temp_bytes_delta / pg_statements.seconds)
    rows = rows[rows.bytes_per_s > max_bytes_per_s].sort_values("bytes_per_s", ascending=False)
    return rows.assign(statement=short(rows["query"]))

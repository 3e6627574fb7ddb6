"""Rules about the server as a whole, and about what its databases count."""

import pandas as pd

from nl_forensics.checks.rows import graded, seconds_since, worst_first
from nl_forensics.checks.rule import check

GB_50_A_DAY = 50e9 / 86_400
# postgresql.org/support/versioning: the day of the last minor release.
LAST_RELEASES = {
    13: "2025-11-13",
    14: "2026-11-12",
    15: "2027-11-11",
    16: "2028-11-09",
    17: "2029-11-08",
    18: "2030-11-14",
}


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}",
    because="a trivial question took {answer_ms:.0f} ms there and back (limit {max_ms:.0f} ms)",
    guide=("C020",),
)
def postgres_answers_quickly(pg_server, *, max_ms=500):
    """PostgreSQL answers a trivial question within {max_ms:.0f} ms.

    It needs no table and no disk: a processor without time, or the network, makes it slow. 500 ms: pgEdge's health check.
    """
    return pg_server[pg_server.answer_ms > max_ms].sort_values("answer_ms", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}",
    because="PostgreSQL {version} gets no corrections any more: the last of version {major_version} came out on {ended_at:%Y-%m-%d}",
)
def postgres_version_is_supported(pg_server):
    """PostgreSQL has a version that still gets corrections.

    Of faults that lose data and of holes in security alike. Housekeeping: the dates are those of postgresql.org, until version 18.
    """
    ended = pg_server.major_version.map(
        lambda major: LAST_RELEASES.get(major) or ("1970-01-01" if major < 13 else None)
    )
    rows = pg_server.assign(ended_at=pd.to_datetime(ended, utc=True))
    return rows[rows.asked_at > rows.ended_at].sort_values("major_version")


@check(
    section="05",
    severity="high",
    subject="postgres/{instance}",
    because="PostgreSQL {version} was started at {started_at:%Y-%m-%d %H:%M:%S} UTC, {up_s:seconds} before it was asked",
    at="started_at",
    guide=("C020",),
)
def postgres_is_not_restarted(pg_server, *, recent_days=7):
    """PostgreSQL was not restarted within the last {recent_days} days.

    A restart ends every session, and begins with empty memory. Placed against the incident: one inside it counts, an earlier one is
    history. 7 days: a choice of ours, longer than incidents are.
    """
    rows = pg_server.assign(up_s=seconds_since(pg_server.started_at, pg_server))
    return rows[rows.up_s < recent_days * 86_400].sort_values("up_s")


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}",
    because="PostgreSQL started all its processes anew at {processes_started_at:%Y-%m-%d %H:%M:%S} UTC, while its main process runs since "
    "{started_at:%Y-%m-%d %H:%M:%S}: a process of it crashed or was killed, or its start recovered from a crash",
    at="processes_started_at",
    guide=("C020",),
)
def postgres_does_not_crash(pg_server, *, max_start_s=10):
    """PostgreSQL has not crashed since its main process was started.

    When one process dies (a fault, the out-of-memory killer, kill -9), all are ended and memory is made anew; the main process stays, so
    its start does not show it, but the checkpointer's does. 10 s between the two: a choice of ours, more than an ordinary start takes.
    """
    late_s = (pg_server.processes_started_at - pg_server.started_at).dt.total_seconds()
    return pg_server[late_s > max_start_s].sort_values("processes_started_at", ascending=False)


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}, {place}",
    because="pages read from disk that did not match their checksum: {failures}, the last at "
    "{last_failure_at:%Y-%m-%d %H:%M:%S} UTC: data are damaged",
    at="last_failure_at",
    guide=("C011", "C015"),
)
def no_page_is_damaged(pg_checksums):
    """No page that was read from disk is damaged.

    Disk, memory or a driver changed data behind PostgreSQL's back. Any is critical (Crunchy Data's pgMonitor): save what can be saved to
    another disk before anything is repaired.
    """
    rows = pg_checksums.assign(place=pg_checksums.database.fillna("objects of all databases"))
    return rows[rows.failures > 0].sort_values("failures", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}",
    because="{hit_ratio:percent} of the blocks asked for in {seconds:seconds} were in PostgreSQL's memory (limit {min_ratio:percent}): "
    "{read_blocks_delta:number} of {all_blocks:number} were not",
    guide=("C038",),
)
def blocks_come_from_memory(pg_databases, *, min_ratio=0.98, low_ratio=0.95, min_blocks=10_000):
    """At least {min_ratio:percent} of the blocks that are asked for are in PostgreSQL's memory.

    Between the two readings, in databases that asked for at least 10,000 blocks (80 MB) in that time: a choice of ours, since a ratio
    of few says nothing. 98 %: the alerts of postgres_exporter; high below 95 %: a choice of ours. The operating system's
    memory may have had the rest.
    """
    rows = pg_databases.assign(all_blocks=pg_databases.hit_blocks_delta + pg_databases.read_blocks_delta)
    rows = rows[rows.all_blocks >= min_blocks]
    rows = rows.assign(hit_ratio=rows.hit_blocks_delta / rows.all_blocks)
    rows = graded(rows, high=rows.hit_ratio < low_ratio, medium=rows.hit_ratio < min_ratio)
    return worst_first(rows, "read_blocks_delta")


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}",
    because="{rollback_ratio:percent} of {transactions:number} transactions in {seconds:seconds} were rolled back "
    "(limit {max_ratio:percent})",
)
def few_transactions_roll_back(pg_databases, *, note_ratio=0.02, max_ratio=0.1, min_transactions=100):
    """At most {max_ratio:percent} of transactions are rolled back.

    A rollback is an error or a change of mind of the application; deadlocks and timeouts end in one. Between the two readings, in databases
    with at least 100 transactions in that time (a choice of ours). 10 %: the alerts of postgres_exporter; from 2 % a note.
    """
    rows = pg_databases.assign(transactions=pg_databases.commits_delta + pg_databases.rollbacks_delta)
    rows = rows[rows.transactions >= min_transactions]
    rows = rows.assign(rollback_ratio=rows.rollbacks_delta / rows.transactions)
    rows = graded(rows, medium=rows.rollback_ratio > max_ratio, note=rows.rollback_ratio > note_ratio)
    return worst_first(rows, "rollback_ratio")


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}",
    because="wrote {shown_bytes:bytes} of temporary files {span}: {per_s:bytes} a second (limit {max_bytes_per_s:bytes})",
    guide=("C070",),
)
def sorts_fit_into_memory(pg_databases, *, max_bytes_per_s=GB_50_A_DAY):
    """No database writes more than {max_bytes_per_s:bytes} of temporary files a second.

    Sorts and hashes that don't fit into work_mem go to disk. 50 GB a day (pg_gather), as a rate, between the two readings; over the whole
    time of counting it is a note.
    """
    rows = pg_databases
    now_per_s = rows.temp_bytes_delta / rows.seconds
    ever_per_s = rows.temp_bytes / seconds_since(rows.counted_since, rows)
    now = now_per_s > max_bytes_per_s
    rows = rows.assign(
        per_s=now_per_s.where(now, ever_per_s),
        shown_bytes=rows.temp_bytes_delta.where(now, rows.temp_bytes),
        span=("in " + rows.seconds.round(1).astype("str") + " s").where(
            now, rows.counted_since.dt.strftime("since %Y-%m-%d %H:%M UTC")
        ),
    )
    return worst_first(graded(rows, medium=now, note=ever_per_s > max_bytes_per_s), "per_s")

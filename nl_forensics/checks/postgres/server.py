"""Rules about the server as a whole, and about the counters of its databases."""

import pandas as pd

from nl_forensics.checks.limits import MAX_TEMP_BYTES_PER_S
from nl_forensics.checks.rows import seconds_since
from nl_forensics.checks.rule import check

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
    because="round trip of a trivial query took {answer_ms:.0f} ms (limit {max_ms:.0f} ms)",
    guide=("C020",),
)
def postgres_answers_quickly(pg_server, *, max_ms=500):
    """PostgreSQL answers a trivial query within {max_ms:.0f} ms.

    It reads no table and no disk: only a lack of CPU, or the network, makes it slow. 500 ms: pgEdge's health check.
    """
    return pg_server[pg_server.answer_ms > max_ms].sort_values("answer_ms", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}",
    because="PostgreSQL {version} is out of support: the last release of version {major_version} was on {ended_at:%Y-%m-%d}",
)
def postgres_version_is_supported(pg_server):
    """PostgreSQL runs a supported version.

    An unsupported one gets no fixes for data loss and security holes. Housekeeping: dates of postgresql.org, until version 18.
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
    because="PostgreSQL {version} started at {started_at:%Y-%m-%d %H:%M:%S} UTC, {up_s:seconds} before collection",
    at="started_at",
    guide=("C020",),
)
def postgres_is_not_restarted(pg_server, *, recent_days=7):
    """PostgreSQL was not restarted within the last {recent_days} days.

    A restart ends every session, and begins with a cold cache. Placed against the incident: one inside it counts, an earlier one is
    history. 7 days: our choice, longer than incidents are.
    """
    rows = pg_server.assign(up_s=seconds_since(pg_server.started_at, pg_server))
    return rows[rows.up_s < recent_days * 86_400].sort_values("up_s")


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}",
    because="PostgreSQL restarted all its processes at {processes_started_at:%Y-%m-%d %H:%M:%S} UTC after a crash; its main process runs "
    "since {started_at:%Y-%m-%d %H:%M:%S} UTC; a process crashed or was killed, or startup recovered from a crash",
    at="processes_started_at",
    guide=("C020",),
)
def postgres_does_not_crash(pg_server, *, max_start_s=10):
    """PostgreSQL has not crashed since its main process started.

    When one process dies (a fault, the OOM killer, kill -9), PostgreSQL restarts all of them; the main process stays, so
    its start does not show the crash, but the checkpointer's does. 10 s between the two: our choice, more than an ordinary start takes.
    """
    late_s = (pg_server.processes_started_at - pg_server.started_at).dt.total_seconds()
    return pg_server[late_s > max_start_s].sort_values("processes_started_at", ascending=False)


@check(
    section="05",
    severity="critical",
    subject="postgres/{instance}, {place}",
    because="data is corrupted; pages with a wrong checksum: {failures}, the last at {last_failure_at:%Y-%m-%d %H:%M:%S} UTC",
    at="last_failure_at",
    guide=("C011", "C015"),
)
def no_page_is_damaged(pg_checksums):
    """No page that was read from disk is corrupted.

    Disk, memory or a driver changed data without PostgreSQL. Any is critical (Crunchy Data's pgMonitor): copy the data to
    another disk before any repair.
    """
    rows = pg_checksums[pg_checksums.failures > 0]
    rows = rows.assign(place=rows.database.fillna("objects of all databases"))
    return rows.sort_values("failures", ascending=False)


@check(
    section="05",
    severity="medium",
    high="hit_ratio < high_ratio",
    subject="postgres/{instance}, {database}",
    because="cache hit ratio {hit_ratio:percent} in {seconds:seconds} (limit {min_ratio:percent}); {read_blocks_delta:number} of "
    "{all_blocks:number} blocks were not in shared_buffers",
    guide=("C038",),
)
def blocks_come_from_memory(pg_databases, *, min_ratio=0.98, high_ratio=0.95, min_blocks=10_000):
    """The cache hit ratio of every database is at least {min_ratio:percent}.

    Between the two readings, in databases that requested at least 10,000 blocks (80 MB) in that time: our choice, since a ratio
    of few says nothing. 98 %: the alerts of postgres_exporter; high below 95 %: our choice. The operating system's
    cache may have had the rest.
    """
    rows = pg_databases.assign(all_blocks=pg_databases.hit_blocks_delta + pg_databases.read_blocks_delta)
    rows = rows[rows.all_blocks >= min_blocks]
    rows = rows.assign(hit_ratio=rows.hit_blocks_delta / rows.all_blocks)
    return rows[rows.hit_ratio < min_ratio].sort_values("read_blocks_delta", ascending=False)


@check(
    section="05",
    severity="medium",
    note="rollback_ratio <= max_ratio",
    subject="postgres/{instance}, {database}",
    because="{rollbacks_delta:number} of {transactions:number} transactions rolled back in {seconds:seconds} ({rollback_ratio:percent}, "
    "limit {max_ratio:percent})",
)
def few_transactions_roll_back(pg_databases, *, note_ratio=0.02, max_ratio=0.1, min_transactions=100):
    """At most {max_ratio:percent} of transactions roll back.

    A rollback is an error, or a decision of the application; deadlocks and timeouts end in one. Between the two readings, in databases
    with at least 100 transactions in that time (our choice). 10 %: the alerts of postgres_exporter; from 2 % a note.
    """
    rows = pg_databases.assign(transactions=pg_databases.commits_delta + pg_databases.rollbacks_delta)
    rows = rows[rows.transactions >= min_transactions]
    rows = rows.assign(rollback_ratio=rows.rollbacks_delta / rows.transactions)
    return rows[rows.rollback_ratio > note_ratio].sort_values("rollback_ratio", ascending=False)


@check(
    section="05",
    severity="medium",
    note="not is_now",
    subject="postgres/{instance}, {database}",
    because="wrote {shown_bytes:bytes} of temporary files {span}: {per_s:bytes}/s (limit {max_bytes_per_s:bytes}/s)",
    guide=("C070",),
)
def sorts_fit_into_memory(pg_databases, *, max_bytes_per_s=MAX_TEMP_BYTES_PER_S):
    """No database writes more than {max_bytes_per_s:bytes} of temporary files per second.

    Sorts and hashes that exceed work_mem spill to disk. 50 GB a day (pg_gather), as a rate, between the two readings; since the counters
    began it is a note.
    """
    rows = pg_databases
    now_per_s = rows.temp_bytes_delta / rows.seconds
    ever_per_s = rows.temp_bytes / seconds_since(rows.counted_since, rows)
    now = (now_per_s > max_bytes_per_s).fillna(False)
    rows = rows.assign(
        is_now=now,
        per_s=now_per_s.where(now, ever_per_s),
        shown_bytes=rows.temp_bytes_delta.where(now, rows.temp_bytes),
        span=("in " + rows.seconds.round(1).astype("str") + " s").where(
            now, rows.counted_since.dt.strftime("since %Y-%m-%d %H:%M UTC")
        ),
    )
    return rows[now | (ever_per_s > max_bytes_per_s)].sort_values("per_s", ascending=False)

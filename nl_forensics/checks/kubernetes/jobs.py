"""Rules about jobs and cron jobs."""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd
from cronsim import CronSim, CronSimError

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import Unseen, check
from nl_forensics.sources import UTC

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{of}",
    because="job {name} failed at {failure_at:%Y-%m-%d %H:%M:%S} UTC ({failure_reason}); failed pods: {failed}, allowed retries: "
    "{retries_allowed}; {said}",
    at="failure_at",
    until="failure_at",
    guide=("C108",),
)
def no_job_has_failed(k8s_jobs):
    """No job has failed after all its retries.

    A job with a successful retry has not failed. For a cron job, the runs since its last successful one count.
    """
    rows = k8s_jobs.assign(of=k8s_jobs.workload.where(k8s_jobs.workload != "", k8s_jobs.name))
    done = rows[rows.completed_at.notna()].groupby(["instance", "namespace", "of"]).completed_at.max()
    succeeded_at = rows.join(done.rename("succeeded_at"), on=["instance", "namespace", "of"]).succeeded_at
    rows = rows[rows.failure & ~(succeeded_at > rows.failure_at)]
    return rows.assign(said=one_line(rows.failure_message)).sort_values("failure_at", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="running since {started_at:%Y-%m-%d %H:%M:%S} UTC ({runs_s:seconds}, limit {max_s:seconds}); active pods: {active}, failed: "
    "{failed}",
    at="started_at",
    guide=("C108",),
)
def no_job_runs_long(k8s_jobs, *, max_s=12 * 3600):
    """No job runs for longer than {max_s:seconds}.

    12 hours: kubernetes-mixin (KubeJobNotCompleted). Suspended jobs do not run.
    """
    rows = k8s_jobs[k8s_jobs.completed_at.isna() & k8s_jobs.started_at.notna() & ~k8s_jobs.suspended]
    rows = rows[~rows.failure.fillna(False)]  # null: it has not failed
    rows = rows.assign(runs_s=seconds_since(rows.started_at, rows))
    return rows[rows.runs_s >= max_s].sort_values("runs_s", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="missed its run of {due_at:%Y-%m-%d %H:%M} UTC (schedule `{schedule}`); {last_run}",
    at="due_at",
    guide=("C108",),
)
def every_cron_job_keeps_its_schedule(k8s_cron_jobs, *, late_s=600):
    """Every cron job runs at most {late_s:seconds} after its schedule.

    The first run after the last one counts, in the time zone of the cron job (UTC where it has none). Suspended cron jobs are left out:
    no_cron_job_is_suspended. 10 minutes: a choice of ours.
    """
    rows = k8s_cron_jobs[~k8s_cron_jobs.suspended]
    never = rows.last_scheduled_at.isna()
    last_at = rows.last_scheduled_at.fillna(rows.created_at)
    due = [_next_run(*row) for row in zip(rows.schedule, rows.time_zone, last_at, strict=True)]
    rows = rows.assign(
        due_at=pd.Series(due, rows.index, dtype=UTC),
        last_run=("last run at " + last_at.dt.strftime("%Y-%m-%d %H:%M UTC")).mask(
            never, "it has never run since it was created at " + last_at.dt.strftime("%Y-%m-%d %H:%M UTC")
        ),
    )
    missed = rows[seconds_since(rows.due_at, rows) > late_s].sort_values("due_at")
    unreadable = rows[rows.due_at.isna()]
    if missed.empty and len(unreadable):
        first = unreadable.iloc[0]
        schedule = f"`{first.schedule}`" + (f" in time zone {first.time_zone}" if first.time_zone else "")
        gap = f"the schedule {schedule} of {first.namespace}/{first['name']} cannot be read (cron jobs: {len(unreadable)})"
        raise Unseen(gap, "check the last run of this cron job against its schedule")
    return missed


def _next_run(schedule: str, time_zone: str, after: pd.Timestamp) -> pd.Timestamp:
    """The first time after a moment; null where the schedule or its time zone cannot be read, or never comes."""
    try:
        local = after.to_pydatetime(warn=False).astimezone(ZoneInfo(time_zone or "UTC"))
        return pd.Timestamp(next(CronSim(MACROS.get(schedule.strip(), schedule), local))).tz_convert("UTC")
    except (CronSimError, StopIteration, ValueError, ZoneInfoNotFoundError):
        return pd.NaT


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="its run of {last_scheduled_at:%Y-%m-%d %H:%M:%S} UTC has not succeeded ({success}, active jobs: {active})",
    at="last_scheduled_at",
    guide=("C108",),
)
def every_cron_job_succeeds(k8s_cron_jobs, *, runs_s=3600):
    """The last run of every cron job succeeded, or is active for less than {runs_s:seconds}.

    Its work (billing, clean-up, backups) stays undone until a run succeeds. 1 hour for a run: a choice of ours.
    """
    rows = k8s_cron_jobs[k8s_cron_jobs.last_scheduled_at.notna() & ~k8s_cron_jobs.suspended]
    unsuccessful = rows.last_succeeded_at.isna() | (rows.last_succeeded_at < rows.last_scheduled_at)
    success = ("last success at " + rows.last_succeeded_at.dt.strftime("%Y-%m-%d %H:%M:%S UTC")).fillna(
        "no success yet"
    )
    at_work = (rows.active > 0) & (seconds_since(rows.last_scheduled_at, rows) < runs_s)
    return rows.assign(success=success)[unsuccessful & ~at_work].sort_values("last_scheduled_at")


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="suspended; its schedule `{schedule}` has no effect",
    guide=("C108",),
)
def no_cron_job_is_suspended(k8s_cron_jobs):
    """No cron job is suspended.

    Cron jobs are usually suspended on purpose: hence a note, never a failure.
    """
    return k8s_cron_jobs[k8s_cron_jobs.suspended]

"""Rules about jobs and cron jobs."""

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import check

# How often a schedule comes round at the least, where that is plain to see: for others we can't say that one was missed.
EVERY_S = {
    r"^(@hourly|\d+ \* \* \* \*)$": 3600,
    r"^\*(/1)? \* \* \* \*$": 60,
    r"^(@daily|@midnight|\d+ \d+ \* \* \*)$": 86_400,
    r"^(@weekly|\d+ \d+ \* \* [\w]+)$": 7 * 86_400,
}


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{of}",
    because="job {name} failed at {failure_at:%Y-%m-%d %H:%M:%S} UTC ({failure_reason}); pods failed: {failed}, retries "
    "allowed: {retries_allowed}; {said}",
    at="failure_at",
    until="failure_at",
    guide=("C108",),
)
def no_job_has_failed(k8s_jobs):
    """No job has failed, after all its retries.

    A job whose retry did its work has not failed. Of a cron job the runs count until one has succeeded.
    """
    rows = k8s_jobs.assign(of=k8s_jobs.workload.where(k8s_jobs.workload != "", k8s_jobs.name))
    done = rows[rows.completed_at.notna()].groupby(["instance", "namespace", "of"]).completed_at.max()
    succeeded_at = rows.join(done.rename("succeeded_at"), on=["instance", "namespace", "of"]).succeeded_at
    rows = rows[rows.failure.fillna(False) & ~(succeeded_at > rows.failure_at).fillna(False)]
    return rows.assign(said=one_line(rows.failure_message)).sort_values("failure_at", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="runs since {started_at:%Y-%m-%d %H:%M:%S} UTC ({runs_s:seconds}, limit {max_s:seconds}); pods active: {active}, "
    "failed: {failed}",
    at="started_at",
    guide=("C108",),
)
def no_job_runs_long(k8s_jobs, *, max_s=12 * 3600):
    """No job runs for longer than {max_s:seconds}.

    12 hours: kubernetes-mixin (KubeJobNotCompleted). A suspended one does not run.
    """
    rows = k8s_jobs[k8s_jobs.completed_at.isna() & ~k8s_jobs.failure.fillna(False) & ~k8s_jobs.suspended]
    rows = rows[rows.started_at.notna()]
    rows = rows.assign(runs_s=seconds_since(rows.started_at, rows))
    return rows[rows.runs_s >= max_s].sort_values("runs_s", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="scheduled `{schedule}`, but {what}",
    at="last_scheduled_at",
    guide=("C108",),
)
def every_cron_job_keeps_its_schedule(k8s_cron_jobs, *, late_s=600):
    """Every cron job ran when it was last due, with {late_s:seconds} to spare.

    Only schedules that come every minute, hour, day or week are judged: of others it is not plain when they were due. A suspended
    one is told by no_cron_job_is_suspended. 10 minutes: a choice of ours.
    """
    rows = k8s_cron_jobs[~k8s_cron_jobs.suspended].copy()
    rows["every_s"] = float("nan")
    for pattern, seconds in EVERY_S.items():
        rows.loc[rows.schedule.str.match(pattern), "every_s"] = seconds
    never = rows.last_scheduled_at.isna()
    rows["silent_s"] = seconds_since(rows.last_scheduled_at.fillna(rows.created_at), rows)
    last = rows.last_scheduled_at.dt.strftime("it last ran at %Y-%m-%d %H:%M UTC")
    rows["what"] = last.mask(
        never, "it never ran since it was made at " + rows.created_at.dt.strftime("%Y-%m-%d %H:%M UTC")
    )
    rows["last_scheduled_at"] = rows.last_scheduled_at.fillna(rows.created_at)
    return rows[rows.silent_s > rows.every_s + late_s].sort_values("silent_s", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="last started at {last_scheduled_at:%Y-%m-%d %H:%M:%S} UTC, {success}, and {active} of its jobs run now",
    at="last_scheduled_at",
    guide=("C108",),
)
def every_cron_job_succeeds(k8s_cron_jobs, *, runs_s=3600):
    """The last run of every cron job has succeeded, or is not older than {runs_s:seconds}.

    What it does (billing, clean-up, backups) is not done until a run succeeds. 1 hour for a run: a choice of ours.
    """
    rows = k8s_cron_jobs[k8s_cron_jobs.last_scheduled_at.notna() & ~k8s_cron_jobs.suspended]
    unsuccessful = rows.last_succeeded_at.isna() | (rows.last_succeeded_at < rows.last_scheduled_at)
    success = ("last succeeded at " + rows.last_succeeded_at.dt.strftime("%Y-%m-%d %H:%M:%S UTC")).fillna(
        "never succeeded"
    )
    at_work = (rows.active > 0) & (seconds_since(rows.last_scheduled_at, rows) < runs_s)
    return rows.assign(success=success)[unsuccessful & ~at_work].sort_values("last_scheduled_at")


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="suspended: `{schedule}` does not run",
    guide=("C108",),
)
def no_cron_job_is_suspended(k8s_cron_jobs):
    """No cron job is suspended.

    Somebody did that, with a reason as a rule: so it is a note, and never a failure.
    """
    return k8s_cron_jobs[k8s_cron_jobs.suspended]

"""Rules about the logs of containers: failures, bursts of errors, new errors, silence."""

import pandas as pd

from nl_forensics.checks.kubernetes.signatures import SIGNATURES
from nl_forensics.checks.rows import counted, one_line, seconds_since
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.lines import dated_lines

ERRORS = ("error", "fatal")
MAX_TEMPLATE = 45  # characters of an error in a subject
CONTAINER = ["instance", "namespace", "pod", "container"]


def _both(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame) -> pd.DataFrame:
    """All recorded lines, oldest first within each log."""
    rows = dated_lines(k8s_unhealthy_logs, k8s_logs)
    return rows.sort_values([*CONTAINER, "previous", "line"], kind="stable")


@check(
    section="02",
    severity="medium",
    high="lines > 1",
    subject="{instance}: {namespace}/{workload}/{container}: {means}",
    because="{number} from {first_at:%H:%M:%S} to {last_at:%H:%M:%S} UTC; pod {pod}: “{said}”; see section {section}",
    at="first_at",
    guide=("C029", "C080"),
)
def no_log_shows_a_known_failure(k8s_unhealthy_logs, k8s_logs):
    """No log has a line with the signature of a known failure.

    Such as "too many clients", "no space left on device", "connection refused". Lines of level info or lower are left out: they report
    handled failures. One line is medium, several are high; the table of signatures is our own.
    """
    rows = _both(k8s_unhealthy_logs, k8s_logs)
    rows = rows[~rows.level.isin(("debug", "info"))]
    rows = rows.assign(means="", section="")
    for signature in reversed(SIGNATURES):
        fits = rows.message.str.contains(signature.pattern, regex=True)
        rows.loc[fits, ["means", "section"]] = signature.means, signature.section
    keys = ["instance", "namespace", "workload", "container", "means", "section"]
    rows = (
        rows[rows.means != ""]
        .groupby(keys, as_index=False, sort=False)
        .agg(
            lines=("line", "size"),
            pod=("pod", "first"),
            said=("message", "last"),
            first_at=("at", "min"),
            last_at=("at", "max"),
            asked_at=("asked_at", "max"),
        )
    )
    rows = rows.assign(said=one_line(rows.said), number=counted(rows.lines, "line"))
    return rows.sort_values("lines", ascending=False)


@check(
    section="02",
    severity="medium",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="{errors} error lines in the minute of {minute:%H:%M} UTC, otherwise {usual:.0f}/min (threshold: {min_errors:number}/min and "
    "{factor:.0f}× normal); most frequent: “{said}”",
    at="minute",
    guide=("C029", "C032"),
)
def no_log_bursts_into_errors(k8s_unhealthy_logs, k8s_logs, *, min_errors=10, factor=3):
    """No log has {min_errors:number} error lines in a minute, and {factor:.0f} times its normal rate.

    A log that always has so many errors is not new. The first and last minute of a log are recorded in part, so that the normal rate is
    that of the recorded time. 3 times: the guide's review; 10 lines: a choice of ours.
    """
    rows = _both(k8s_unhealthy_logs, k8s_logs)
    rows = rows.assign(minute=rows["at"].dt.floor("min"), is_error=rows.level.isin(ERRORS))
    minutes = rows.groupby([*CONTAINER, "minute"], as_index=False).agg(
        errors=("is_error", "sum"), asked_at=("asked_at", "max")
    )
    worst = minutes.sort_values("errors", ascending=False).drop_duplicates(CONTAINER).set_index(CONTAINER)
    of_log = rows.groupby(CONTAINER)
    others, others_s = (
        of_log.is_error.sum() - worst.errors,
        _seen_s_beside(worst, of_log["at"].min(), of_log["at"].max()),
    )
    worst["usual"] = (60 * others / others_s.where(others_s > 0)).fillna(0.0)
    worst = worst[(worst.errors >= min_errors) & (worst.errors >= factor * worst.usual)].reset_index()
    said = rows[rows.is_error].groupby([*CONTAINER, "minute"]).message.agg(lambda messages: messages.mode().iloc[0])
    worst = worst.join(said.rename("said"), on=[*CONTAINER, "minute"])
    return worst.assign(said=one_line(worst.said)).sort_values("errors", ascending=False)


def _seen_s_beside(worst: pd.DataFrame, first_at: pd.Series, last_at: pd.Series) -> pd.Series:
    """How much of each log, from its first line to its last, lies outside of its worst minute."""
    minute_ends = worst.minute + pd.Timedelta(minutes=1)
    began, ended = first_at.reindex(worst.index), last_at.reindex(worst.index)
    within = minute_ends.where(minute_ends < ended, ended) - worst.minute.where(worst.minute > began, began)
    return (ended - began - within).dt.total_seconds()


@check(
    section="02",
    severity="medium",
    subject="{instance}: {namespace}/{workload}/{container}: {template}",
    because="new error, {lines} lines since {first_at:%H:%M:%S} UTC; none in the {before_s:seconds} of its log before: “{said}”",
    at="first_at",
    guide=("C029",),
)
def no_new_error_appears(k8s_unhealthy_logs, k8s_logs, *, min_before_s=300, min_lines=3):
    """No log has an error {min_lines:number} times that it did not have in the {min_before_s:seconds} before.

    New errors are nearer to the cause than permanent ones. Lines that differ in numbers and addresses only are the same error. 5 minutes
    and 3 lines: choices of ours.
    """
    rows = _both(k8s_unhealthy_logs, k8s_logs)
    began = rows.groupby(CONTAINER)["at"].transform("min")
    keys = ["instance", "namespace", "workload", "container", "template"]
    rows = rows.assign(began_at=began)[rows.level.isin(ERRORS)]
    rows = rows.groupby(keys, as_index=False, sort=False).agg(
        lines=("line", "size"),
        said=("message", "first"),
        first_at=("at", "min"),
        began_at=("began_at", "min"),
        asked_at=("asked_at", "max"),
    )
    rows = rows.assign(before_s=(rows.first_at - rows.began_at).dt.total_seconds(), said=one_line(rows.said))
    rows = rows[(rows.before_s >= min_before_s) & (rows.lines >= min_lines)]
    return rows.assign(template=one_line(rows.template, MAX_TEMPLATE)).sort_values("lines", ascending=False)


@check(
    section="02",
    severity="medium",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="silent for {silent_s:seconds}, last line at {last_at:%Y-%m-%d %H:%M:%S} UTC; longest silence before: {usual_s:seconds}",
    at="last_at",
    guide=("C032",),
)
def no_log_falls_silent(k8s_logs, *, min_s=300, factor=10, min_lines=20):
    """No regularly written log is silent for {min_s:seconds} and {factor:.0f} times its longest silence.

    Its container hangs, gets no work, or its output is buffered. Only logs of 20 lines and more are judged. All limits: choices of ours.
    """
    rows = k8s_logs[k8s_logs["at"].notna() & ~k8s_logs.previous].sort_values([*CONTAINER, "at"])
    gaps_s = rows.groupby(CONTAINER)["at"].diff().dt.total_seconds()
    rows = (
        rows.assign(gap_s=gaps_s)
        .groupby(CONTAINER, as_index=False)
        .agg(lines=("line", "size"), usual_s=("gap_s", "max"), last_at=("at", "max"), asked_at=("asked_at", "max"))
    )
    rows = rows.assign(silent_s=seconds_since(rows.last_at, rows))
    silent = (rows.silent_s >= min_s) & (rows.silent_s >= factor * rows.usual_s)
    return rows[silent & (rows.lines >= min_lines)].sort_values("silent_s", ascending=False)

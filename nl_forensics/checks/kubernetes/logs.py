"""Rules about what containers write. Silence is a sign, too."""

import pandas as pd

from nl_forensics.checks.kubernetes.signatures import SIGNATURES
from nl_forensics.checks.rows import graded, one_line, seconds_since, worst_first
from nl_forensics.checks.rule import check

ERRORS = ("error", "fatal")
CONTAINER = ["instance", "namespace", "pod", "container"]


def _both(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame) -> pd.DataFrame:
    """All lines that were read, oldest first within each log."""
    rows = pd.concat([k8s_unhealthy_logs, k8s_logs], ignore_index=True)
    return rows[rows["at"].notna()].sort_values([*CONTAINER, "previous", "line"], kind="stable")


@check(
    section="02",
    severity="high",
    subject="{instance}: {namespace}/{workload}/{container}: {means}",
    because="{lines} lines in the log of {pod} from {first_at:%H:%M:%S} to {last_at:%H:%M:%S} UTC, such as “{said}”; see section {section}",
    at="first_at",
    guide=("C029", "C080"),
)
def no_log_tells_a_known_failure(k8s_unhealthy_logs, k8s_logs):
    """No log has a line that is known to tell a failure.

    Such as "too many clients", "no space left on device", "connection refused". Lines that are marked as information or less are left out:
    they tell of failures that were handled. One line is medium, several are high; what they mean is our own table.
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
    rows = graded(rows.assign(said=one_line(rows.said)), high=rows.lines > 1, medium=rows.lines == 1)
    return worst_first(rows, "lines")


@check(
    section="02",
    severity="medium",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="{errors} lines of errors within the minute of {minute:%H:%M} UTC, {usual:.0f} a minute in the rest of its log (limits "
    "{min_errors:number} and {factor:.0f} times as many); most of them: “{said}”",
    at="minute",
    guide=("C029", "C032"),
)
def no_log_bursts_into_errors(k8s_unhealthy_logs, k8s_logs, *, min_errors=10, factor=3):
    """No log has {min_errors:number} lines of errors in a minute, and {factor:.0f} times as many as in its others.

    One that always writes so many tells nothing new. The first and the last minute of a log are seen in part only, so that of the others
    counts how many errors they have in the time that was seen of them. 3 times: the guide's review; 10 lines: a choice of ours.
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
    because="{lines} lines of this error since {first_at:%Y-%m-%d %H:%M:%S} UTC, none in its log of {before_s:seconds} before: “{said}”",
    at="first_at",
    guide=("C029",),
)
def no_new_error_appears(k8s_unhealthy_logs, k8s_logs, *, min_before_s=300, min_lines=3):
    """No log has an error {min_lines:number} times that it did not have in the {min_before_s:seconds} before.

    What is new is nearer to the cause than what was always there. Numbers and addresses in a line don't make it another one. 5 minutes and
    3 lines: choices of ours.
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
    return rows.assign(template=one_line(rows.template, 60)).sort_values("lines", ascending=False)


@check(
    section="02",
    severity="medium",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="wrote its last line at {last_at:%Y-%m-%d %H:%M:%S} UTC, {silent_s:seconds} ago; its longest silence before: "
    "{usual_s:seconds}",
    at="last_at",
    guide=("C032",),
)
def no_log_falls_silent(k8s_logs, *, min_s=300, factor=10, min_lines=20):
    """No log that was written regularly is silent for {min_s:seconds} and {factor:.0f} times its longest silence.

    Its container hangs, gets no work, or its lines are kept back. Only logs of 20 lines and more are judged. All limits: choices of ours.
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

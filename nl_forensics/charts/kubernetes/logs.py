"""What containers wrote: which errors, how often, and when; and their last lines."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import container_named, cut, listed, moment, named
from nl_forensics.charts.table import LONGEST_LINE, table
from nl_forensics.charts.units import NUMBER
from nl_forensics.facts.kubernetes.lines import dated_lines
from nl_forensics.facts.kubernetes.terminations import kept, with_last_end

ERRORS = ("error", "fatal")
MAX_TEMPLATES, MAX_LOGS = 12, 5
MAX_CONTAINERS, LINES_OF_EACH = 8, 5


def _lines(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame) -> pd.DataFrame:
    """All lines with a known time, and the workload of each."""
    rows = dated_lines(k8s_unhealthy_logs, k8s_logs)
    others = rows["container"].where(rows["container"] != rows["workload"], "")
    return rows.assign(name=named(rows.assign(container=others), "namespace", "workload", "container"))


def _reach(rows: pd.DataFrame) -> str:
    pods = rows[["instance", "namespace", "pod", "container"]].drop_duplicates()
    return (
        f"{NUMBER.words(len(rows))} lines of {len(pods)} containers were read, the oldest of {moment(rows['at'].min())}"
    )


@chart("Error messages in the logs")
def log_errors(canvas: Canvas, k8s_unhealthy_logs, k8s_logs):
    """Lines of errors by what they say, without numbers, times and addresses, of all workloads together."""
    rows = _lines(k8s_unhealthy_logs, k8s_logs)
    errors = rows[rows["level"].isin(ERRORS)]
    if rows.empty:
        return canvas.say("No line was written.")
    if errors.empty:
        return canvas.say(f"No line is marked as an error: {_reach(rows)}.")
    groups = sorted(errors.groupby(["name", "template"]), key=lambda group: (-len(group[1]), group[0]))
    bars = [Bar(f"{name}: {template}", {"": float(len(found))}, _when(found)) for (name, template), found in groups]
    canvas.bars(bars[:MAX_TEMPLATES], NUMBER, "log lines", above=True)
    return f"{NUMBER.words(len(errors))} lines of errors: {listed(f'{bar.name} {bar.text}' for bar in bars)}. {_reach(rows)}."


def _when(found: pd.DataFrame) -> str:
    first, last = found["at"].min(), found["at"].max()
    span = f"{first:%H:%M:%S}" if first == last else f"{first:%H:%M:%S} to {last:%H:%M:%S}"
    return f"{NUMBER.words(len(found))}, {span} UTC"


@chart("Errors in the logs over time")
def log_errors_over_time(canvas: Canvas, k8s_unhealthy_logs, k8s_logs):
    """Lines of errors a minute, by the workload that wrote them. Only the newest lines of a log are read: what was before is not known."""
    rows = _lines(k8s_unhealthy_logs, k8s_logs)
    if rows.empty:
        return canvas.say("No line was written.")
    errors = rows[rows["level"].isin(ERRORS)]
    if errors.empty:
        return canvas.say(f"No line is marked as an error: {_reach(rows)}.")
    most = errors["name"].value_counts()
    kept = errors["name"].where(errors["name"].isin(most.index[:MAX_LOGS]), "others")
    minutes = errors.assign(kept=kept, at=errors["at"].dt.floor("min")).groupby(["kept", "at"], as_index=False)
    counted = minutes.agg(errors=("line", "size"))
    groups = {str(name): part for name, part in sorted(counted.groupby("kept"), key=lambda g: -g[1]["errors"].sum())}
    outside = canvas.dots(groups, "errors", NUMBER, "errors per minute")
    worst = counted.loc[counted["errors"].idxmax()]
    elsewhere = f" {outside} minutes with errors lie outside both windows." if outside else ""
    words = listed(f"{name} {NUMBER.words(part['errors'].sum())}" for name, part in groups.items())
    return f"Errors: {words}. Most in one minute: {worst['kept']}, {worst['errors']} at {moment(worst['at'])}.{elsewhere} {_reach(rows)}."


@table("Last log lines before a container ended", "No terminated container has log lines.")
def last_lines(k8s_unhealthy_logs, k8s_containers) -> pd.DataFrame:
    """The last lines of the run that ended last, of each container that ended since the incident began; most restarts first."""
    key = ["instance", "namespace", "pod", "container"]
    logs = k8s_unhealthy_logs[k8s_unhealthy_logs["message"].str.strip() != ""].merge(_died(k8s_containers), on=key)
    logs = logs[logs["previous"] | (logs["state"] == "terminated")]
    newest = (
        logs.sort_values(["previous", "line"], ascending=[False, True]).groupby(key, sort=False).tail(LINES_OF_EACH)
    )
    newest = newest.sort_values(["restarts", "ended_at", *key, "line"], ascending=[False, False, *[True] * 5])
    newest = newest[newest.groupby(key, sort=False).ngroup() < MAX_CONTAINERS]
    again = newest.duplicated(key)
    return pd.DataFrame(
        {
            "container": container_named(newest).mask(again, ""),
            "ended": (newest["ended"] + newest["ended_at"].dt.strftime(", at %H:%M:%S UTC")).mask(again, ""),
            "at": newest["at"].dt.strftime("%H:%M:%S.%f").str[:-3].fillna(""),
            "level": newest["level"],
            "line": [cut(line, LONGEST_LINE) for line in newest["message"]],
        }
    )


def _died(k8s_containers: pd.DataFrame) -> pd.DataFrame:
    rows = with_last_end(kept(k8s_containers))
    rows = rows[rows["ended_at"].notna() & ((rows["end_reason"] != "Completed") | (rows["restarts"] > 0))]
    return rows[["instance", "namespace", "pod", "container", "state", "restarts", "ended", "ended_at"]]

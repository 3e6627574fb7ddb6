"""What containers wrote: which errors, how often, and when."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, moment, named
from nl_forensics.charts.units import NUMBER

ERRORS = ("error", "fatal")
MAX_TEMPLATES, MAX_LOGS = 12, 5


def _lines(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame) -> pd.DataFrame:
    """All lines with a known time, and the workload of each."""
    rows = pd.concat([k8s_unhealthy_logs, k8s_logs], ignore_index=True)
    rows = rows[rows["at"].notna()]
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
    canvas.bars(bars[:MAX_TEMPLATES], NUMBER, "lines", above=True)
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
    outside = canvas.dots(groups, "errors", NUMBER, "errors a minute")
    worst = counted.loc[counted["errors"].idxmax()]
    elsewhere = f" {outside} minutes with errors lie outside both windows." if outside else ""
    words = listed(f"{name} {NUMBER.words(part['errors'].sum())}" for name, part in groups.items())
    return f"Errors: {words}. Most in one minute: {worst['kept']}, {worst['errors']} at {moment(worst['at'])}.{elsewhere} {_reach(rows)}."

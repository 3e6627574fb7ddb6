"""What Kubernetes noticed, and when."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, container_named, listed, moment

WARNED = ("Pod", "Node", "workload", "other")
WORKLOADS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob")
PROBES = ("Readiness", "Liveness", "Startup")
KILLED = "killed after failed probes"
USUAL = 5  # as in probes_succeed


@chart("Kubernetes warning events")
def warnings_over_time(canvas: Canvas, k8s_events):
    """Warnings by reason, from the first time to the last, most repeated first. They are kept for an hour as a rule."""
    rows = k8s_events[k8s_events["type"] == "Warning"]
    if rows.empty:
        return canvas.say(f"No warning is kept, {asked(k8s_events)}; {_reach(k8s_events)}.")
    of_workloads = rows["kind"].isin(WORKLOADS)
    kind = rows["kind"].where(rows["kind"].isin(WARNED), "other").mask(of_workloads, "workload")
    rows = _as_marks(rows).assign(kind=kind)
    reasons = sorted(rows.groupby("reason"), key=lambda group: (-group[1]["repeats"].sum(), group[0]))
    tracks = {f"{reason}: {_warned(part)}": part for reason, part in reasons}
    canvas.marks(tracks, WARNED)
    return f"{rows['repeats'].sum()} warnings: {listed(tracks, 4)}; {asked(rows)}; {_reach(k8s_events)}."


def _as_marks(rows: pd.DataFrame) -> pd.DataFrame:
    """A mark at the first time, and a line to the last where it came again."""
    return rows.assign(last_at=rows["at"], at=rows["first_at"], until=rows["at"].where(rows["at"] > rows["first_at"]))


def _warned(rows: pd.DataFrame) -> str:
    newest, objects, events = rows.loc[rows["last_at"].idxmax()], rows["uid"].nunique(), rows["repeats"].sum()
    about = f"{objects} objects, the newest" if objects > 1 else "of"
    name = f"{newest['namespace']} {newest['name']}".strip()
    return f"{events} event{'s' if events > 1 else ''}, {about} {name}: {newest['message']}"


def _reach(k8s_events: pd.DataFrame) -> str:
    return f"events reach back to {moment(k8s_events['at'].min())}" if len(k8s_events) else "no event at all is kept"


@chart("Failed probes and restarts")
def probe_failures(canvas: Canvas, k8s_events):
    """Failures of each container's probes, from the first to the last, and when the kubelet killed it. A few at a start are usual."""
    killing = k8s_events["message"].str.contains("failed (?:liveness|startup) probe") & (
        k8s_events["reason"] == "Killing"
    )
    rows = k8s_events[killing | (k8s_events["reason"] == "Unhealthy")]
    probe = rows["message"].str.extract(f"^({'|'.join(PROBES)}) probe", expand=False).fillna(PROBES[0])
    rows = _as_marks(rows).assign(kind=probe.mask(killing, KILLED), pod=rows["name"])
    rows = rows.assign(label=container_named(rows))
    of_it = rows.groupby("label")
    often = (of_it["repeats"].transform("sum") >= USUAL) | rows["label"].isin(rows[rows["kind"] == KILLED]["label"])
    few = rows[~often]["label"].nunique()
    left_out = f"{few} containers failed a probe fewer than {USUAL} times" if few else "no probe failed"
    if not often.any():
        return canvas.say(f"{left_out.capitalize()}, as far as is kept, {asked(k8s_events)}; {_reach(k8s_events)}.")
    tracks = {f"{name}: {_failed(part)}": part for name, part in sorted(rows[often].groupby("label"), key=_worst)}
    canvas.marks(tracks, (*PROBES, KILLED))
    others = f" {left_out}, and are left out;" if few else ""
    return f"Probes of {len(tracks)} containers failed: {listed(tracks)};{others} {asked(rows)}; {_reach(k8s_events)}."


def _worst(group: tuple[str, pd.DataFrame]) -> tuple:
    name, rows = group
    return -(rows["kind"] == KILLED).sum(), -rows["repeats"].sum(), name


def _failed(rows: pd.DataFrame) -> str:
    counts = rows.groupby("kind")["repeats"].sum()
    newest = rows[rows["kind"] != KILLED].sort_values("last_at", kind="stable")["message"]
    words = ", ".join(f"{kind}: {counts[kind]}" for kind in (*PROBES, KILLED) if kind in counts)
    return words + (f"; {newest.iloc[-1].partition('failed: ')[2]}" if len(newest) else "")

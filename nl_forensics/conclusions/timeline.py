"""Everything that happened around an incident, in one order and by one clock: ours.

Events that the systems recorded, changes and notes of people, findings of our rules, and our own collections.
"""

import json
import math
from collections.abc import Iterator
from enum import StrEnum

import pandas as pd

from nl_forensics import sources
from nl_forensics.evidence.case import Case
from nl_forensics.facts.entities import (
    CONFIG,
    ROLLOUT,
    was_seen_only,
    workload_of,
    workloads,
)
from nl_forensics.facts.kubernetes.field_managers import CONTROLLERS
from nl_forensics.facts.kubernetes.revisions import JUST_BEFORE, WORKLOAD, revisions, what_changed
from nl_forensics.facts.kubernetes.terminations import kept, with_last_end
from nl_forensics.finding import Findings
from nl_forensics.runs import runs
from nl_forensics.sources import UTC, connection_of
from nl_forensics.sources.prometheus.series import step_of
from nl_forensics.sources.systems import SELF_REPORTING, WITHOUT_CLOCK
from nl_forensics.units import in_seconds

COLUMNS = {
    "at": UTC,
    "until": UTC,
    "kind": "str",
    "component": "str",
    "words": "str",
    "source": "str",
    "instance": "str",
    "error_s": "float64",
}
OF_A_ROLLOUT = pd.Timedelta(seconds=5)  # between the write to a workload and its new revision
BY_OUR_CLOCK = (
    "",
    "any_system",
    *SELF_REPORTING,
    *WITHOUT_CLOCK,
)  # systems with answers dated by us, and our own notes
EXACT, UNKNOWN = (0.0, 0.0), (math.nan, math.nan)  # offset of a clock, and by how much that can be wrong
TOGETHER = pd.Timedelta(seconds=30)  # writes of one program that follow one another so soon are one change

SOURCES = (
    "k8s_replica_sets",
    "k8s_controller_revisions",
    "k8s_changes",
    "k8s_containers",
    "k8s_nodes",
    "k8s_events",
    "prom_alert_history",
    "pg_server",
    "redis_server",
)  # without our findings, which have others


class Kind(StrEnum):
    """What kind of event it is."""

    CHANGED = "changed"
    FOUND = "problem"
    ENDED = "ended or lost"
    WARNED = "warning"
    ALERTED = "alert"
    STARTED = "started"
    SAID = "note"
    ASKED = "asked"


def timeline(case: Case, findings: Findings) -> pd.DataFrame:
    """One row per event from half an hour before the incident on, in order.

    at, until   by our clock, UTC; until is null for what was one moment, or is not known to be over
    kind        one of `Kind`
    component   what it happened to: `namespace/workload`, a node, `postgres/main`
    source      the table that shows it; "" for notes and collections
    error_s     by how much `at` can be wrong, seconds: the offset of its clock, and its resolution; null: unknown

    Empty where nothing was recorded; the gaps of SOURCES show what that proves.
    """
    made = revisions(case.read("k8s_replica_sets").rows, case.read("k8s_controller_revisions").rows)
    made = made[made.before_revision.notna()]
    events = [*_rollouts(made), *_writes(case, made), *_ends(case), *_nodes(case), *_warnings(case), *_alerts(case)]
    events += [*_starts(case), *_found(case, findings), *_said(case), *_asked(case)]
    rows = pd.DataFrame(events, columns=list(COLUMNS)).astype(COLUMNS)
    rows = _by_our_clock(case, rows)
    near = rows[(rows["at"] >= case.incident.start - JUST_BEFORE) | (rows["until"] >= case.incident.start)]
    return near.sort_values(["at", "kind", "component"], kind="stable", ignore_index=True)


def _row(at, kind: Kind, about: str, words: str, source: str = "", instance: str = "", until=pd.NaT) -> dict:
    return {
        "at": at,
        "until": until,
        "kind": str(kind),
        "component": about,
        "words": words,
        "source": source,
        "instance": instance,
    }


def _rollouts(made: pd.DataFrame) -> Iterator[dict]:
    """Every new revision of a workload."""
    for row in made.itertuples():
        words = f"revision {row.revision} was rolled out, {what_changed(row)}"
        source = "k8s_replica_sets" if row.workload_kind == "Deployment" else "k8s_controller_revisions"
        yield _row(row.created_at, Kind.CHANGED, f"{row.namespace}/{row.workload}", words, source, row.instance)


def _writes(case: Case, made: pd.DataFrame) -> Iterator[dict]:
    """Writes of people and pipelines, consecutive ones of one program as one; a rollout is shown by its revision."""
    rows = case.read("k8s_changes").rows
    rows = rows[rows["at"].notna() & ~rows.manager.str.match(CONTROLLERS)].sort_values("at")
    rows = rows[~_is_rollout(rows, made)]
    key = ["instance", "manager"]
    for (instance, manager, _), part in rows.groupby([*key, runs(rows, key, max_gap=TOGETHER)], sort=False):
        names = (part.kind + " " + part.namespace + "/" + part.name).str.replace(" /", " ")
        verb = "made" if part.is_creation.all() else "wrote"
        if names.nunique() == 1:
            one = part.iloc[-1]
            words = f"{manager} {verb} {names.iloc[0]} ({one.fields})"
            yield _row(one["at"], Kind.CHANGED, names.iloc[0].partition(" ")[2], words, "k8s_changes", instance)
        else:
            words = f"{manager} {verb} {names.nunique()} objects, the last of them {names.iloc[-1]}"
            last = part["at"].max() if part["at"].max() > part["at"].min() else pd.NaT
            yield _row(part["at"].min(), Kind.CHANGED, f"with {manager}", words, "k8s_changes", instance, last)


def _is_rollout(writes: pd.DataFrame, made: pd.DataFrame) -> pd.Series:
    """Which writes went to a workload that got a new revision in that moment."""
    made = made[[*WORKLOAD, "created_at"]]
    pairs = writes.reset_index().merge(
        made, left_on=["instance", "namespace", "name"], right_on=["instance", "namespace", "workload"]
    )
    same = pairs.kind.str.rstrip("s") == pairs.workload_kind.str.lower()
    near = (pairs.created_at - pairs["at"]).abs() <= OF_A_ROLLOUT
    return pd.Series(writes.index.isin(pairs[same & near]["index"]), writes.index)


def _ends(case: Case) -> Iterator[dict]:
    """The last end of each container; of a loop, the others are not kept."""
    rows = with_last_end(kept(case.read("k8s_containers").rows))
    for row in rows[rows.ended_at.notna() & (rows.end_reason != "Completed")].itertuples():
        words = f"{row.container}: {row.ended}" + (f" (restarts: {row.restarts})" if row.restarts else "")
        about = f"{row.namespace}/{row.workload or row.pod}"
        yield _row(row.ended_at, Kind.ENDED, about, words, "k8s_containers", row.instance)


def _nodes(case: Case) -> Iterator[dict]:
    """When a node was lost, or came back; of a new one, when it was ready first."""
    rows = case.read("k8s_nodes").rows.dropna(subset=["ready_at"])
    for row in rows.assign(ready=rows.ready.fillna(False)).itertuples():  # null: the node no longer reports
        kind, words = (Kind.STARTED, "is ready") if row.ready else (Kind.ENDED, f"is not ready: {row.ready_reason}")
        yield _row(row.ready_at, kind, row.name, f"the node {words}", "k8s_nodes", row.instance)


def _warnings(case: Case) -> Iterator[dict]:
    """Kubernetes warning events by workload and reason, consecutive ones as one, from the first to the last."""
    rows = case.read("k8s_events").rows
    rows, known = rows[rows.type == "Warning"], workloads(case)
    objects = zip(rows.kind, rows.namespace, rows.name, strict=True)
    components = [name if kind == "Node" else workload_of(known, namespace, name) for kind, namespace, name in objects]
    rows = rows.assign(component=components).sort_values("first_at", kind="stable")
    key = ["instance", "component", "reason"]
    series = runs(rows, key, max_gap=TOGETHER, at="first_at", until="at")
    for (instance, name, reason, _), part in rows.groupby([*key, series], sort=False):
        newest, times = part.loc[part["at"].idxmax()], part.repeats.sum()
        words = f"{reason}{f', {times} times' if times > 1 else ''}: {newest.message}"
        last = newest["at"] if newest["at"] > part.first_at.min() else pd.NaT
        yield _row(part.first_at.min(), Kind.WARNED, name, words, "k8s_events", instance, last)


def _alerts(case: Case) -> Iterator[dict]:
    """Every period in which an alert fired. What fired in the baseline, too, and still does when the window begins, is nothing that
    happened; nor is an alert of severity `none`, such as a watchdog that always fires.
    """
    rows = case.read("prom_alert_history").rows
    rows = rows[(rows.state == "firing") & (rows.severity != "none")]
    key = ["instance", "alert", "labels"]
    before = pd.MultiIndex.from_frame(rows[rows.window == "baseline"][key])
    now = rows[rows.window == "incident"]
    already = now["at"] < case.incident.start + pd.Timedelta(seconds=_step_s(case))
    usual = already & pd.MultiIndex.from_frame(now[key]).isin(before)
    for row in now.assign(already=already)[~usual].itertuples():
        labels = ", ".join(f"{name}={value}" for name, value in sorted(json.loads(row.labels).items()))
        words = "was firing when the window began" if row.already else "fired"
        words += f" ({labels})" if labels else ""
        yield _row(row.at, Kind.ALERTED, f"alert {row.alert}", words, "prom_alert_history", row.instance, row.until)


def _starts(case: Case) -> Iterator[dict]:
    for source in ("pg_server", "redis_server"):
        for row in case.read(source).rows.dropna(subset=["started_at"]).itertuples():
            about = f"{sources.load()[source].system}/{row.instance}"
            yield _row(row.started_at, Kind.STARTED, about, f"started, {row.version}", source, row.instance)


def _found(case: Case, findings: Findings) -> Iterator[dict]:
    """Every dated problem of the incident, when it began at the earliest; a blamed change is shown as the change."""
    for finding in findings.problems:
        if finding.at is not None and finding.evidence and finding.check not in (ROLLOUT, CONFIG):
            source, instance = finding.evidence[0].source, finding.rows.instance.iloc[0]
            seen = "already so at collection: " if was_seen_only(finding) else ""
            yield _row(finding.at, Kind.FOUND, finding.component, seen + finding.because, source, instance)


def _said(case: Case) -> Iterator[dict]:
    for note in case.notes():
        yield _row(pd.Timestamp(note["at"]), Kind.SAID, note["by"], note["text"])


def _asked(case: Case) -> Iterator[dict]:
    """Each round that asked systems: later events are not in it."""
    for step in case.rounds:
        events = [event for event in step.events() if event["event"] != "note"]
        if any(event["event"] == "answered" for event in events):
            moments, name = [pd.Timestamp(event["at"]) for event in events], f"round {step.folder.name}"
            yield _row(min(moments), Kind.ASKED, "nl_forensics", f"{name} was collected", until=max(moments))


def _by_our_clock(case: Case, rows: pd.DataFrame) -> pd.DataFrame:
    """Clock offsets are corrected; `error_s` is what may remain."""
    systems = {name: one.system for name, one in sources.load().items()}
    ahead = {name: case.clocks_ahead_s(name) for name in set(rows.source) - {""}}
    moved = [ahead.get(source, {}).get(instance, 0.0) for source, instance in rows[["source", "instance"]].to_numpy()]
    apart, fineness = _clocks_apart_s(case), _fineness_s(case)
    errors = []
    for (source, instance), by in zip(rows[["source", "instance"]].to_numpy(), moved, strict=True):
        system = systems.get(source, "")
        known = EXACT if system in BY_OUR_CLOCK else UNKNOWN
        offset, error = apart.get(f"{connection_of(system)}-{instance}", known)
        errors.append(error + (0.0 if by else abs(offset)) + fineness.get(system, 0.0))
    described = [words + _of_its_clock(*clock) for words, *clock in zip(rows.words, moved, errors, strict=True)]
    delay = pd.to_timedelta(moved, unit="s")
    return rows.assign(at=rows["at"] - delay, until=rows["until"] - delay, words=described, error_s=errors)


def _of_its_clock(ahead_s: float, error_s: float) -> str:
    if math.isnan(error_s):
        return " (the offset of its clock is unknown)"
    return f" (its clock is {in_seconds(abs(ahead_s))} {'ahead' if ahead_s > 0 else 'behind'})" if ahead_s else ""


def _clocks_apart_s(case: Case) -> dict[str, tuple[float, float]]:
    """{`postgres-main`: (its clock minus ours, by how much that can be wrong)}, seconds, as measured when it was last reached.

    UNKNOWN where it could not be measured. Systems without times of their own in their answers are left out.
    """
    reached = (event for step in case.rounds for event in step.events() if event["event"] == "reached")
    return {
        f"{event['system']}-{event['instance']}": UNKNOWN
        if event["clock_offset_s"] is None
        else (event["clock_offset_s"], event["clock_error_s"])
        for event in reached
        if event["system"] not in BY_OUR_CLOCK
    }


def _fineness_s(case: Case) -> dict[str, float]:
    """The resolution of timestamps: Kubernetes whole seconds, a series its step."""
    return {"kubernetes": 1.0, "prometheus": _step_s(case)}


def _step_s(case: Case) -> float:
    return float(step_of(case.incident.seconds, case.parameters.platform.budget.prometheus_points))

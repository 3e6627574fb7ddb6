"""Components, and when an incident began: ten findings on one workload are one affected component."""

from typing import NamedTuple

import pandas as pd

from nl_forensics import sources
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Finding, Findings, Severity
from nl_forensics.sources import connection_of

A_MOMENT = pd.Timedelta(seconds=1)  # what began at the moment of collection is dated by the collection alone
ROLLOUT, CONFIG = "no_rollout_precedes_a_symptom", "no_config_change_precedes_a_symptom"  # find a change, and name it


class Symptom(NamedTuple):
    """A problem, and when it began at the earliest, by our clock."""

    finding: Finding
    at: pd.Timestamp


def workloads(case: Case) -> dict[tuple[str, str], str]:
    """{(namespace, pod or replica set): its workload}, of those that have one."""
    pods, sets = case.read("k8s_pods").rows, case.read("k8s_replica_sets").rows
    known = dict(zip(zip(sets.namespace, sets.name, strict=True), sets.workload, strict=True))
    known |= zip(zip(pods.namespace, pods.pod, strict=True), pods.workload, strict=True)
    return {key: workload for key, workload in known.items() if workload}


def workload_of(known: dict[tuple[str, str], str], namespace: str, name: str) -> str:
    """`namespace/workload` of a pod or a replica set; of any other object `namespace/name`.

    A pod that is gone has left its name, which begins with that of its replica set.
    """
    of_its_set = known.get((namespace, name.rpartition("-")[0]), name)
    name = known.get((namespace, name), of_its_set)
    return f"{namespace}/{name}" if namespace else name


def component_of(case: Case, finding: Finding) -> str:
    """What a finding is about: `namespace/workload`, or `namespace/service` by what Prometheus knows of it; else its subject."""
    row = finding.rows.iloc[0] if len(finding.rows) else pd.Series(dtype="object")
    namespace, name = str(row.get("namespace", "")), str(row.get("workload") or row.get("pod") or row.get("name") or "")
    system = sources.load()[finding.evidence[0].source].system if finding.evidence else "kubernetes"
    if system == "prometheus" and namespace and (service := row.get("service")):
        return f"{namespace}/{service}"
    if system != "kubernetes":
        return finding.subject if system == "any_system" else _of_system(connection_of(system), finding)
    return workload_of(workloads(case), namespace, name) if name else finding.subject


def _of_system(system: str, finding: Finding) -> str:
    """The subject, with the system in front where it does not begin with it: `postgres/main` does."""
    named = finding.subject.startswith((f"{system}/", f"{system}, "))
    return finding.subject if named else f"{system} {finding.subject}"


def by_our_clock(case: Case, finding: Finding, at: pd.Timestamp) -> pd.Timestamp:
    """A moment by the clock of its system, converted to ours: clock offsets are corrected."""
    ahead_s = case.clocks_ahead_s(finding.evidence[0].source).get(finding.rows.instance.iloc[0], 0.0)
    return at - pd.Timedelta(seconds=ahead_s)


def onset(case: Case, findings: Findings) -> Symptom | None:
    """The first symptom of the incident: the one definition of when it began, for every page that dates it.

    A change that is blamed is a trigger, not a symptom: it counts only where no other problem is dated. Of the rest, those count that
    began inside the window; if none did, the one that began last before it. High and critical ones come first, then those
    that did not also break their rule before the incident: a slow command is not when an outage began.
    """
    dated = [Symptom(one, by_our_clock(case, one, one.at)) for one in findings.problems if one.at is not None]
    symptoms = [one for one in dated if one.finding.check not in (ROLLOUT, CONFIG)]
    dated = sorted(symptoms or dated, key=lambda one: one.at)
    inside = [one for one in dated if one.at >= case.incident.start] or dated[-1:]
    severe = [one for one in inside if _is_severe(one.finding)]
    new = [one for one in severe or inside if not one.finding.recurring]
    return next(iter(new or severe or inside), None)


def is_symptom(finding: Finding) -> bool:
    """Whether a problem can date an onset: it is severe, it did not also break its rule before, and it is no blamed change."""
    return _is_severe(finding) and not finding.recurring and finding.check not in (ROLLOUT, CONFIG)


def _is_severe(finding: Finding) -> bool:
    return finding.severity in (Severity.CRITICAL, Severity.HIGH)


def was_seen_only(finding: Finding) -> bool:
    """Whether its date is that of the collection: its onset is unknown."""
    return finding.at is not None and finding.at >= finding.rows.asked_at.max() - A_MOMENT

"""Triage without parameters: the reachable systems, the namespaces in scope, and a proposed incident window.

`nl-forensics now` first queries a few sources about the last hours. Their answers set the window and the scope of all others.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pandas as pd

from nl_forensics.errors import ParameterError
from nl_forensics.evidence.case import Case
from nl_forensics.facts.kubernetes.revisions import JUST_BEFORE, symptoms
from nl_forensics.inputs.incident import Incident, Window
from nl_forensics.inputs.parameters import Parameters, incident_of, read_yaml, shipped
from nl_forensics.inputs.platform import Platform
from nl_forensics.sources import UTC as UTC_DTYPE
from nl_forensics.sources.kubernetes.kinds import is_inside

FIRST = ("prom_alerts", "k8s_events", "k8s_pods", "k8s_containers", "k8s_replica_sets", "k8s_namespaces")
FIRST_WITHIN_S = 4  # then the window is proposed from the answers so far
WITHIN_S = 20  # from the start to the last answer, as the caller waits for it
SHORTEST_S = 8  # for the rest, if the first queries took long on a busy machine
QUESTION_S = 5  # half of it remains for the API server's cache, if etcd hangs
FURTHEST = timedelta(hours=6)  # an older condition is chronic, and not the reason for the call
USUAL = timedelta(minutes=30)  # without a symptom that has a time
SHORTEST = timedelta(minutes=10)
LEAD = timedelta(minutes=5)  # time before the first symptom to compare with; no_new_error_appears needs as much
FRESH = timedelta(minutes=15)  # a warning that was repeated since then is ongoing
EVERYWHERE = "*"
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Proposal(NamedTuple):
    """The start of the window, and the reason for it."""

    start: datetime
    because: str


def duration(text: str) -> timedelta:
    """`90s`, `30m`, `2h`, `1d`. Raises ParameterError for anything else, and for zero."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if not found or not int(found[1]):
        raise ParameterError(f"--since {text}: write 90s, 30m, 2h or 1d")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def opening(namespaces: tuple[str, ...] = ()) -> Parameters:
    """The parameters of the first queries: the last hours, in these namespaces or in all.

    Raises ParameterError if no system can be queried: one line that says what to set.
    """
    platform = Platform.model_validate(read_yaml(shipped("platforms/neurallog.yaml"))).with_addresses()
    if all(declared == "absent" for _, declared in platform.systems):
        others = [name for names in platform.left_out.values() for name in names if name != "KUBECONFIG"]
        raise ParameterError(
            "no system to query: set KUBECONFIG to the path of a kubeconfig, or put one at ~/.kube/config"
            f" (further systems: {', '.join(others)})"
        )
    end = datetime.now(UTC).replace(microsecond=0)
    incident = incident_of(
        "-n",
        id=f"now-{end:%Y%m%dT%H%MZ}",
        start=(end - FURTHEST).isoformat(),
        end=end.isoformat(),
        namespaces=namespaces or (*platform.namespaces, EVERYWHERE),
    )
    return Parameters(incident=incident, platform=platform).with_budget(deadline_s=WITHIN_S, question_s=QUESTION_S)


def question(case: Case, namespaces: tuple[str, ...] = (), since: timedelta | None = None) -> tuple[Parameters, str]:
    """The parameters after the first queries, and the reason for them.

    Raises ParameterError for a namespace that does not exist in this cluster: without objects, it would pass every check.
    """
    asked = case.parameters
    scope, platform = _scope(case, namespaces)
    end = asked.incident.end
    start, because = Proposal(end - since, "from --since") if since else propose(case, scope)
    left_s = WITHIN_S - (datetime.now(UTC) - end).total_seconds()
    baseline = Window(start=(start - (end - start)).isoformat(), end=start.isoformat())
    incident = Incident(
        id=asked.incident.id,
        title=because,
        start=start.isoformat(),
        end=end.isoformat(),
        namespaces=namespaces,
        baseline=baseline if platform.systems.instances("prometheus") else None,
    )
    chosen = asked.model_copy(update={"incident": incident, "platform": platform})
    return chosen.with_budget(deadline_s=max(SHORTEST_S, left_s)), because


def _scope(case: Case, namespaces: tuple[str, ...]) -> tuple[tuple[str, ...], Platform]:
    """The scope: the named namespaces, else those of the platform if one of them exists, else all."""
    platform = case.parameters.platform
    there = check_namespaces(case, namespaces)
    if namespaces:
        return namespaces, platform
    seen = {*there, *case.read("k8s_pods").whole_rows.namespace}
    if any(is_inside(name, platform.namespaces) for name in seen):
        return platform.namespaces, platform
    return (), platform.model_copy(update={"namespaces": ()})


def check_namespaces(case: Case, namespaces: tuple[str, ...]) -> list[str]:
    """The namespaces of the cluster; empty if the first queries ended before they were read.

    Raises ParameterError for one that does not exist in this cluster: without objects, it would pass every check.
    """
    there = sorted(set(case.read("k8s_namespaces").whole_rows.name))
    if unknown := [name for name in namespaces if there and not any(is_inside(one, (name,)) for one in there)]:
        raise ParameterError(f"this cluster has no namespace {unknown[0]}; it has {', '.join(there)}")
    return there


def propose(case: Case, scope: Iterable[str]) -> Proposal:
    """The onset within the last hours: ongoing symptoms count first, then those that have ended.

    The window begins 5 minutes earlier, and before a rollout that may be the cause.
    """
    end = pd.Timestamp(case.incident.end)
    found = pd.concat([_alerts(case), _of_pods(case), _warnings(case, end)], ignore_index=True)
    found = found.loc[[not name or is_inside(name, scope) for name in found.namespace]]
    recent = found[(found["at"] >= end - FURTHEST) & (found["at"] <= end)].sort_values("at")
    for rows in (recent[recent.lasts & ~recent.is_warning], recent[recent.lasts], recent):
        if len(rows):
            first = rows.iloc[0]
            return _before(case, first["at"], end, f"{first.words}, since {first['at']:%H:%M} UTC at the earliest")
    chronic = found.words[found.lasts]
    because = f"{chronic.iloc[0]} for longer than 6 h" if len(chronic) else "no recent symptom has a time"
    unseen = [name for name in FIRST if case.instances(name) and not _was_seen(case, name)]
    because += f" (data gaps: {', '.join(unseen)})" if unseen else ""
    return Proposal(case.incident.end - USUAL, f"the last 30 minutes: {because}")


def _was_seen(case: Case, name: str) -> bool:
    return any(answer.file for answer in case.answers.get(name, {}).values())


def _before(case: Case, first: pd.Timestamp, end: pd.Timestamp, because: str) -> Proposal:
    rollouts = case.read("k8s_replica_sets").whole_rows
    rollouts = rollouts[(rollouts.revision > 1) & rollouts.created_at.between(first - JUST_BEFORE, first)]
    if len(rollouts):
        last = rollouts.sort_values("created_at").iloc[-1]
        first = last.created_at
        because += f"; {last.namespace}/{last.workload} was rolled out at {first:%H:%M}"
    start = min(first - LEAD, end - SHORTEST).floor("s")
    return Proposal(start.to_pydatetime(), because)


def _alerts(case: Case) -> pd.DataFrame:
    """Firing alerts, without watchdogs (severity `none`), which always fire."""
    rows = case.read("prom_alerts").whole_rows
    rows = rows[(rows.state == "firing") & (rows.severity != "none")]
    return _symptoms(rows, "alert " + rows.alert + " fires", rows.active_at, True)


def _of_pods(case: Case) -> pd.DataFrame:
    """Crashes, and pods that are unready or unscheduled. A crash that is over has its own time."""
    rows = symptoms(case.read("k8s_containers").whole_rows, case.read("k8s_pods").whole_rows)
    lasts = rows.over_at.isna()
    at = rows.symptom_at.where(lasts, rows.last_at)
    return _symptoms(rows, rows.namespace + "/" + rows.workload + " " + rows.symptom, at, lasts)


def _warnings(case: Case, end: pd.Timestamp) -> pd.DataFrame:
    rows = case.read("k8s_events").whole_rows
    rows = rows[rows.type == "Warning"]
    words = rows.kind + " " + (rows.namespace + "/" + rows.name).str.lstrip("/") + ": " + rows.reason
    return _symptoms(rows, words, rows.first_at, rows["at"] >= end - FRESH).assign(is_warning=True)


def _symptoms(rows: pd.DataFrame, words, at, lasts) -> pd.DataFrame:
    namespace = rows.namespace if "namespace" in rows else ""
    columns = ["at", "namespace", "words", "lasts", "is_warning"]
    found = rows.assign(at=at, namespace=namespace, words=words, lasts=lasts, is_warning=False)[columns]
    return found.astype({"at": UTC_DTYPE, "namespace": "str", "words": "str", "lasts": "bool", "is_warning": "bool"})

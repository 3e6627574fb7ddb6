"""Of each service, which of the known causes of slowness is supported by evidence, which is refuted, and which was not seen."""

import re

import pandas as pd

from nl_forensics.charts.tables import Table
from nl_forensics.checks import judge, load
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Finding, Status

# By the rules that such a cause breaks. What a rule says of a whole platform supports it for no single service.
SLOW = "slow?"
CAUSES = {
    SLOW: ("services_answer_quickly", "services_are_as_fast_as_before"),
    "waits for what is behind": ("slow_answers_are_slow_by_themselves",),
    "waits for the database": ("services_wait_little_for_the_database",),
    "no free connection": ("no_connection_pool_is_exhausted",),
    "too little CPU": ("no_container_is_throttled", "containers_stayed_below_their_cpu_limit"),
    "too little memory": (
        "no_container_runs_out_of_memory",
        "containers_stayed_below_their_memory_limit",
        "no_container_grows_towards_its_memory_limit",
    ),
    "collects garbage": ("services_spend_little_time_on_garbage",),
    "more requests": ("no_service_gets_many_more_requests",),
    "a change": ("no_rollout_precedes_a_symptom", "no_config_change_precedes_a_symptom"),
}
SIGNS = "[bcdfghjklmnpqrstvwxz2456789]"  # of which Kubernetes makes names up
POD_OF_ONE = rf"(?:{SIGNS}+-{SIGNS}{{5}}|{SIGNS}{{5}}|\d+)"  # of a deployment, a daemon set, a stateful set
SUPPORTED, REFUTED, NOT_SEEN = "supported", "refuted", "not seen"
ANSWERS = {SUPPORTED: "yes", REFUTED: "no", NOT_SEEN: NOT_SEEN}  # of SLOW
QUESTION = "Which cause of slowness does the evidence support, and which does it refute?"


def causes(case: Case) -> Table:
    """One row per service that Prometheus knows, those with evidence for a cause first."""
    services = _services(case)
    if services is None or not len(services):
        return Table(f"{QUESTION} No service is known to Prometheus, or none could be seen.", pd.DataFrame())
    findings = {name: judge(load()[name], case) for names in CAUSES.values() for name in names}
    rows = [
        {"service": f"{namespace}/{service}"}
        | {cause: of_service([findings[name] for name in names], namespace, service) for cause, names in CAUSES.items()}
        for namespace, service in services
    ]
    rows.sort(key=lambda row: (row[SLOW] != SUPPORTED, -list(row.values()).count(SUPPORTED), row["service"]))
    told = [_told(row) for row in rows if row[SLOW] == SUPPORTED]
    words = "; ".join(told) or "No service is known to be slow"
    table = pd.DataFrame(rows)
    return Table(f"{QUESTION} {words}.", table.assign(**{SLOW: table[SLOW].map(ANSWERS)}))


def _services(case: Case) -> list[tuple[str, str]] | None:
    """(namespace, service) of all that were scraped; None where that was not seen."""
    table = case.read("prom_service_up")
    if table.is_blind:
        return None
    return sorted(set(zip(table.rows["namespace"], table.rows["service"], strict=True)))


def of_service(found: list[list[Finding]], namespace: str, service: str) -> str:
    """A problem of it supports the cause. It is refuted where each rule was held against all there is, and this service keeps them."""
    problems = [finding for findings in found for finding in findings if finding.status is Status.PROBLEM]
    if any(_is_about(problem.rows, namespace, service) for problem in problems):
        return SUPPORTED
    seen = all(findings and all(_is_whole(finding) for finding in findings) for findings in found)
    return REFUTED if seen else NOT_SEEN


def _is_whole(finding: Finding) -> bool:
    return finding.status is Status.OK or (finding.status is Status.PROBLEM and not finding.partial)


def _is_about(rows: pd.DataFrame, namespace: str, service: str) -> bool:
    """By the name of the service, of its workload, or of one of its pods."""
    pod = re.compile(f"{re.escape(service)}-{POD_OF_ONE}")
    of_it = {"service": service.__eq__, "workload": service.__eq__, "pod": pod.fullmatch}
    if "namespace" not in rows:
        return False
    rows = rows[rows["namespace"] == namespace]
    return any(name in rows and rows[name].map(is_it).any() for name, is_it in of_it.items())


def _told(row: dict) -> str:
    by_state = {state: [cause for cause, told in row.items() if told == state and cause != SLOW] for state in ANSWERS}
    named = [f"{state}: {', '.join(names)}" for state, names in by_state.items() if names and state != REFUTED]
    return f"{row['service']} is slow ({'; '.join(named) or 'none of these causes is supported'})"

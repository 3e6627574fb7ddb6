"""For each service, which of the known causes of slowness is supported by evidence, refuted, or undetermined."""

import re

import pandas as pd

from nl_forensics.charts.table import Table
from nl_forensics.checks import judge, load
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Finding, Status

# By the rules that such a cause breaks. A finding on the whole platform supports a cause for no single service.
SLOW = "slow?"
CAUSES = {
    SLOW: ("services_answer_quickly", "services_are_as_fast_as_before"),
    "slow upstream": ("slow_answers_are_slow_by_themselves",),
    "slow database": ("services_wait_little_for_the_database",),
    "pool exhausted": ("no_connection_pool_is_exhausted",),
    "CPU throttling": ("no_container_is_throttled", "containers_stayed_below_their_cpu_limit"),
    "memory pressure": (
        "no_container_runs_out_of_memory",
        "containers_stayed_below_their_memory_limit",
        "no_container_grows_towards_its_memory_limit",
    ),
    "garbage collection": ("services_spend_little_time_on_garbage",),
    "higher request rate": ("no_service_gets_many_more_requests",),
    "recent change": ("no_rollout_precedes_a_symptom", "no_config_change_precedes_a_symptom"),
}
SIGNS = "[bcdfghjklmnpqrstvwxz2456789]"  # from which Kubernetes generates names
POD_OF_ONE = rf"(?:{SIGNS}+-{SIGNS}{{5}}|{SIGNS}{{5}}|\d+)"  # of a deployment, a daemon set, a stateful set
SUPPORTED, REFUTED, UNDETERMINED = "supported", "refuted", "undetermined"
ANSWERS = {SUPPORTED: "yes", REFUTED: "no", UNDETERMINED: UNDETERMINED}  # of SLOW
QUESTION = "Which cause of slowness does the evidence support, and which does it refute?"


def causes(case: Case) -> Table:
    """One row per service that Prometheus scrapes, those with evidence for a cause first."""
    services = _services(case)
    if services is None or not len(services):
        return Table(f"{QUESTION} Prometheus scrapes no service, or its data is missing.", pd.DataFrame())
    findings = {name: judge(load()[name], case) for names in CAUSES.values() for name in names}
    rows = [
        {"service": f"{namespace}/{service}"}
        | {cause: of_service([findings[name] for name in names], namespace, service) for cause, names in CAUSES.items()}
        for namespace, service in services
    ]
    rows.sort(key=lambda row: (row[SLOW] != SUPPORTED, -list(row.values()).count(SUPPORTED), row["service"]))
    slow = [_described(row) for row in rows if row[SLOW] == SUPPORTED]
    words = "; ".join(slow) or "No service is known to be slow"
    table = pd.DataFrame(rows)
    return Table(f"{QUESTION} {words}.", table.assign(**{SLOW: table[SLOW].map(ANSWERS)}))


def _services(case: Case) -> list[tuple[str, str]] | None:
    """(namespace, service) of all that were scraped; None where that is unknown."""
    table = case.read("prom_service_up")
    if table.is_blind:
        return None
    return sorted(set(zip(table.rows["namespace"], table.rows["service"], strict=True)))


def of_service(found: list[list[Finding]], namespace: str, service: str) -> str:
    """A problem of it supports the cause. It is refuted where each rule was evaluated on whole data, and this service passes."""
    problems = [finding for findings in found for finding in findings if finding.status is Status.PROBLEM]
    if any(_is_about(problem.rows, namespace, service) for problem in problems):
        return SUPPORTED
    whole = all(findings and all(_is_whole(finding) for finding in findings) for findings in found)
    return REFUTED if whole else UNDETERMINED


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


def _described(row: dict) -> str:
    by_state = {state: [cause for cause, found in row.items() if found == state and cause != SLOW] for state in ANSWERS}
    named = [f"{state}: {', '.join(names)}" for state, names in by_state.items() if names and state != REFUTED]
    return f"{row['service']} is slow ({'; '.join(named) or 'none of these causes is supported'})"

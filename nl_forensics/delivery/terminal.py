"""Findings on a terminal: streamed as data arrives, and all of them at the end."""

from pathlib import Path

import click

from nl_forensics.checks import judge, of_sections
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Finding, Findings, Status
from nl_forensics.sources.kubernetes.kinds import is_inside

MARK = {Status.PROBLEM: "✗", Status.UNKNOWN: "?", Status.OK: "✓"}
COLOUR = {Status.PROBLEM: "red", Status.UNKNOWN: "yellow", Status.OK: "green"}


def print_finding(finding: Finding, live: bool = False) -> None:
    """Live findings go to standard error, as progress does; the complete list follows on standard output."""
    mark = click.style(MARK[finding.status], fg=COLOUR[finding.status], bold=True)
    click.echo(f"{mark} {finding.severity:8} {finding.subject}: {finding.because} [{finding.when}]", err=live)


def print_findings(findings: Findings) -> None:
    for finding in findings.problems:
        print_finding(finding)
    for gap in findings.gaps().to_dict("records"):
        click.echo(
            click.style("? ", fg="yellow") + f"{gap['checks']} undetermined: {gap['data gap']} → {gap['remedy']}"
        )
    if findings.notes:
        click.echo(
            f"  {len(findings.notes)} notes: housekeeping, and conditions older than the incident (--json, or the report)"
        )
    click.echo(f"{findings.counts()}." if findings.problems else f"{findings.verdict()} {findings.counts()}.")


class Live:
    """Prints the problems of each check once, when all instances of its sources have answered."""

    def __init__(self, sections: tuple[str, ...] = ()):
        self.left = of_sections(sections)

    def on_answer(self, folder: Path) -> None:
        self.judge(Case(folder))

    def judge(self, case: Case) -> None:
        """Print the findings that are available now. Triage may have read more namespaces than are in scope."""
        scope = case.incident.scope(case.parameters.platform)
        ready = [one for one in self.left if all(case.has_answered(name) for name in one.needs)]
        self.left = [one for one in self.left if one not in ready]
        for finding in (finding for one in ready for finding in judge(one, case)):
            if finding.is_of_the_incident and _is_in_scope(finding, scope):
                print_finding(finding, live=True)


def _is_in_scope(finding: Finding, scope: tuple[str, ...]) -> bool:
    return "namespace" not in finding.rows or any(not name or is_inside(name, scope) for name in finding.rows.namespace)

"""Findings on a terminal: streamed as data arrives, and all of them at the end."""

from pathlib import Path

import click

from nl_forensics.checks import judge, of_sections
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Finding, Findings, Status
from nl_forensics.sanitize import printable
from nl_forensics.sources.kubernetes.kinds import is_inside

MARK = {Status.PROBLEM: "✗", Status.UNKNOWN: "?", Status.OK: "✓"}
COLOUR = {Status.PROBLEM: "red", Status.UNKNOWN: "yellow", Status.OK: "green"}


def say(*lines: str, err: bool = False) -> None:
    """Print lines, parts of which came from logs, events and names: the one way to the terminal, but for JSON and progress."""
    click.echo("\n".join(map(printable, lines)), err=err)


def print_finding(finding: Finding, live: bool = False) -> None:
    """Live findings go to standard error, as progress does; the complete list follows on standard output."""
    mark = click.style(MARK[finding.status], fg=COLOUR[finding.status], bold=True)
    words = printable(f"{finding.severity:8} {finding.subject}: {finding.because} [{finding.when}]")
    click.echo(f"{mark} {words}", err=live)


def print_findings(findings: Findings) -> None:
    for finding in findings.problems:
        print_finding(finding)
    for gap in findings.gaps().to_dict("records"):
        words = printable(f"{gap['checks']} undetermined: {gap['data gap']} → {gap['remedy']}")
        click.echo(click.style("? ", fg="yellow") + words)
    if findings.notes:
        say(
            f"  {len(findings.notes)} notes: housekeeping, and conditions older than the incident (--json, or the report)"
        )
    say(
        f"{findings.counts()}."
        if findings.problems and not findings.altered
        else f"{findings.verdict()} {findings.counts()}."
    )


def warn_if_altered(case: Case, findings: Findings) -> None:
    """One line for an answer that is not what was recorded: what follows from the others may be wrong, too."""
    if findings.altered:
        say(f"nl-forensics: {findings.altered[0]} was altered: `nl-forensics verify {case.folder}` lists all", err=True)


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

"""Commands about the case itself: verify, note, reveal."""

import click

from nl_forensics.cli.command import case_path, cli, writable
from nl_forensics.delivery.terminal import say
from nl_forensics.evidence.case import Case


@cli.command("verify")
@click.argument("folder", metavar="CASE")
def verify_command(folder: str) -> int:
    """Verify that no file of a case was altered, added or removed."""
    case = Case(case_path(folder))
    faults = case.verify()
    for fault in faults:
        say(fault, err=True)  # it may name a file that was added
    if not faults:
        for step in case.rounds:
            say(f"round {step.folder.name}: verified, seal {step.seal}")
    return 5 if faults else 0


@cli.command("note")
@click.argument("folder", metavar="CASE")
@click.argument("text")
def note_command(folder: str, text: str) -> int:
    """Add a timestamped note to a case, such as "rolled back"."""
    Case(writable(case_path(folder))).note(text)
    return 0


@cli.command("reveal")
@click.argument("folder", metavar="CASE")
@click.argument("pseudonym")
def reveal_command(folder: str, pseudonym: str) -> int:
    """Show the value behind a pseudonym. The chain of custody records each use."""
    say(Case(writable(case_path(folder))).reveal(pseudonym))
    return 0

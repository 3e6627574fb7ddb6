"""Commands that look up what there is: sources, checks, guide, permissions."""

from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Any

import click

from nl_forensics import permissions
from nl_forensics.checks import Check
from nl_forensics.checks import load as load_checks
from nl_forensics.cli.command import as_json_option, cli, print_json, read, sections_of, sections_option
from nl_forensics.delivery import guide
from nl_forensics.errors import check_names
from nl_forensics.sources import ASKED_THROUGH, Source
from nl_forensics.sources import load as load_sources
from nl_forensics.sources.column import Column, unit_of
from nl_forensics.units import Wording

names_argument = click.argument("names", nargs=-1, metavar="[NAME]...")


@cli.command("sources")
@names_argument
@as_json_option
def sources_command(names: tuple[str, ...], as_json: bool) -> int:
    """Everything that can be asked; of those that are NAMEd, what each column means, and what it needs."""
    found = _chosen(load_sources(), names, "source")
    if as_json:
        listed = [
            {
                "name": one.name,
                "system": one.system,
                "covers": one.covers,
                "needs": one.needs._asdict(),
                "columns": {name: asdict(column) | {"unit": unit_of(name)} for name, column in one.columns.items()},
                "doc": one.doc,
            }
            for one in found
        ]
        print_json(listed)
    elif names:
        click.echo("\n\n".join(map(_source_told, found)))
    else:
        for source in found:
            click.echo(f"{source.name:32} {source.covers:7} {source.doc.splitlines()[0]}")
    return 0


def _source_told(one: Source) -> str:
    facts = {
        "asked of": ASKED_THROUGH.get(one.system, one.system).replace("_", " "),
        "covers": one.covers,
        "needs": "; ".join(f"{system} {rights}" for system, rights in one.needs._asdict().items() if rights),
        "answers": ", ".join(one.guide),
        "judged by": ", ".join(check.name for check in load_checks().values() if one.name in check.needs),
    }
    columns = "".join(_describe_column(name, column) for name, column in one.columns.items())
    return f"{_told(one.name, facts, one.doc)}\n\n  Columns\n{columns}".rstrip()


def _describe_column(name: str, column: Column) -> str:
    """Its name, type and unit on one line; its meaning, and what a null says, below."""
    unit = f", {unit_of(name)}" if unit_of(name) else ""
    null = f"null: {column.absent}" if column.absent else f"null: not seen ({column.unknown})" if column.unknown else ""
    lines = [line for text in (column.meaning, null) if text for line in wrap(text, 70)]
    return "\n".join([f"    {name}  {column.dtype}{unit}", *(f"        {line}" for line in lines)]) + "\n"


@cli.command("checks")
@names_argument
@as_json_option
def checks_command(names: tuple[str, ...], as_json: bool) -> int:
    """Every rule that a healthy system keeps, with its limits; of those that are NAMEd, why it matters, and what it is judged by."""
    found = _chosen(load_checks(), names, "check")
    if as_json:
        print_json(
            [{"name": c.name, "section": c.section, "needs": c.needs, "limits": c.limits, "doc": c.doc} for c in found]
        )
    elif names:
        click.echo("\n\n".join(map(_check_told, found)))
    else:
        for one in found:
            click.echo(f"{one.section} {one.severity:8} {one.name}" + (f" ({_limits(one)})" if one.limits else ""))
    return 0


def _check_told(one: Check) -> str:
    facts = {
        "section": one.section,
        "severity": one.severity,
        "graded": "; ".join(f"{severity} if {holds}" for severity, holds in one.grades.items()),
        "judged by": ", ".join(one.needs),
        "limits": _limits(one),
        "answers": ", ".join(one.guide),
    }
    return _told(one.name, facts, Wording(one.doc).of(one.limits))


def _limits(one: Check) -> str:
    return ", ".join(f"{name}={value}" for name, value in one.limits.items())


def _told(name: str, facts: dict[str, str], doc: str) -> str:
    """A name, what is declared of it, and its documentation below."""
    declared = [f"  {label:13}{value}" for label, value in facts.items() if value]
    return "\n".join([name, *declared, "", *(f"  {line}".rstrip() for line in doc.splitlines())])


def _chosen(declared: dict[str, Any], names: tuple[str, ...], kind: str) -> list:
    """Those that are named; all when none is. Raises ParameterError for one that there is not."""
    check_names(kind, names, declared)
    return [declared[name] for name in names] if names else list(declared.values())


@cli.command("guide")
@sections_option
@as_json_option
def guide_command(sections: str, as_json: bool) -> int:
    """Every command of the troubleshooting guide, and what answers it here, or why it is not done."""
    wanted = sections_of(sections)
    if as_json:
        print_json(guide.sections(wanted))
    else:
        click.echo("\n".join(guide.lines(wanted)))
    return 0


@cli.command("permissions")
@click.argument("parameters", type=click.Path(path_type=Path), required=False)
@click.option(
    "--namespace", default="nl-forensics", show_default=True, help="Kubernetes namespace of the service account."
)
@as_json_option
def permissions_command(parameters: Path | None, namespace: str, as_json: bool) -> int:
    """The roles and grants that the questions need: no more, no less. With PARAMETERS, those of the systems that it has."""
    asked = read(parameters) if parameters else None
    platform = asked.platform if asked else None
    names = (asked.incident.namespaces or asked.platform.namespaces) if asked else ()
    found = permissions.sections(platform, names, namespace)
    if as_json:
        print_json({one.name: one.text for one in found})
    else:
        click.echo("\n\n".join(f"# {one.title}\n{one.text}" for one in found))
    return 0

"""Reference commands: sources, checks, guide, permissions."""

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
from nl_forensics.delivery.terminal import say
from nl_forensics.errors import check_names
from nl_forensics.sources import Source, connection_of
from nl_forensics.sources import load as load_sources
from nl_forensics.sources.column import Column, unit_of
from nl_forensics.units import Wording

names_argument = click.argument("names", nargs=-1, metavar="[NAME]...")


@cli.command("sources")
@names_argument
@as_json_option
def sources_command(names: tuple[str, ...], as_json: bool) -> int:
    """List all sources. With NAME, explain its columns and the permissions that it needs."""
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
        say(*"\n\n".join(map(_describe_source, found)).split("\n"))
    else:
        for source in found:
            say(f"{source.name:32} {source.covers:7} {source.doc.splitlines()[0]}")
    return 0


def _describe_source(one: Source) -> str:
    facts = {
        "system": connection_of(one.system).replace("_", " "),
        "covers": one.covers,
        "needs": "; ".join(f"{system} {rights}" for system, rights in one.needs._asdict().items() if rights),
        "guide": ", ".join(one.guide),
        "checks": ", ".join(check.name for check in load_checks().values() if one.name in check.needs),
    }
    columns = "".join(_describe_column(name, column) for name, column in one.columns.items())
    return f"{_describe(one.name, facts, one.doc)}\n\n  Columns\n{columns}".rstrip()


def _describe_column(name: str, column: Column) -> str:
    """Its name, type and unit on one line; its meaning, and the meaning of a null, below."""
    unit = f", {unit_of(name)}" if unit_of(name) else ""
    null = f"null: {column.absent}" if column.absent else f"null: unknown ({column.unknown})" if column.unknown else ""
    lines = [line for text in (column.meaning, null) if text for line in wrap(text, 70)]
    return "\n".join([f"    {name}  {column.dtype}{unit}", *(f"        {line}" for line in lines)]) + "\n"


@cli.command("checks")
@names_argument
@as_json_option
def checks_command(names: tuple[str, ...], as_json: bool) -> int:
    """List all checks with their limits. With NAME, explain why it matters and which sources it needs."""
    found = _chosen(load_checks(), names, "check")
    if as_json:
        print_json(
            [{"name": c.name, "section": c.section, "needs": c.needs, "limits": c.limits, "doc": c.doc} for c in found]
        )
    elif names:
        say(*"\n\n".join(map(_describe_check, found)).split("\n"))
    else:
        for one in found:
            say(f"{one.section} {one.severity:8} {one.name}" + (f" ({_limits(one)})" if one.limits else ""))
    return 0


def _describe_check(one: Check) -> str:
    facts = {
        "section": one.section,
        "severity": one.severity,
        "grades": "; ".join(f"{severity} if {holds}" for severity, holds in one.grades.items()),
        "sources": ", ".join(one.needs),
        "limits": _limits(one),
        "guide": ", ".join(one.guide),
    }
    return _describe(one.name, facts, Wording(one.doc).of(one.limits))


def _limits(one: Check) -> str:
    return ", ".join(f"{name}={value}" for name, value in one.limits.items())


def _describe(name: str, facts: dict[str, str], doc: str) -> str:
    """A name, its declaration, and its documentation."""
    declared = [f"  {label:13}{value}" for label, value in facts.items() if value]
    return "\n".join([name, *declared, "", *(f"  {line}".rstrip() for line in doc.splitlines())])


def _chosen(declared: dict[str, Any], names: tuple[str, ...], kind: str) -> list:
    """The named ones, or all. Raises ParameterError for an unknown name."""
    check_names(kind, names, declared)
    return [declared[name] for name in names] if names else list(declared.values())


@cli.command("guide")
@sections_option
@as_json_option
def guide_command(sections: str, as_json: bool) -> int:
    """List the commands of the troubleshooting guide. Each has the checks that replace it, or the reason why it is not run."""
    wanted = sections_of(sections)
    if as_json:
        print_json(guide.sections(wanted))
    else:
        say(*"\n".join(guide.lines(wanted)).split("\n"))
    return 0


@cli.command("permissions")
@click.argument("parameters", type=click.Path(path_type=Path), required=False)
@click.option(
    "--namespace", default="nl-forensics", show_default=True, help="Kubernetes namespace of the service account."
)
@as_json_option
def permissions_command(parameters: Path | None, namespace: str, as_json: bool) -> int:
    """Print the roles and grants that the sources need. With PARAMETERS, for its systems only."""
    asked = read(parameters) if parameters else None
    platform = asked.platform if asked else None
    names = asked.incident.scope(asked.platform) if asked else ()
    found = permissions.sections(platform, names, namespace)
    if as_json:
        print_json({one.name: one.text for one in found})
    else:
        say(*"\n\n".join(f"# {one.title}\n{one.text}" for one in found).split("\n"))
    return 0

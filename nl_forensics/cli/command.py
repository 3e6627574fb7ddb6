"""What the commands share: the group, options, and how a case is named, opened and collected."""

import itertools
import sys
from pathlib import Path

import click

from nl_forensics.checks import check_limits
from nl_forensics.collection.collect import collect
from nl_forensics.delivery import notebook
from nl_forensics.errors import ParameterError
from nl_forensics.evidence.case import Case
from nl_forensics.inputs import parameters as parameter_files
from nl_forensics.inputs.parameters import Parameters
from nl_forensics.sanitize import as_json

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
sections_option = click.option(
    "--sections", metavar="NUMBERS", default="", help="Sections of the guide, such as 05,06. Default: all."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="nl_forensics")
def cli():
    """Incident forensics: collect evidence from each system, evaluate checks, report findings and data gaps.

    PARAMETERS is a YAML file, see parameters/example.yaml; CASE is a folder created by `collect` or `now`, or `demo`.

    Exit codes: 0 passed, 1 a problem was found, 2 invalid usage or parameters, 3 no problem found but checks are
    undetermined, 4 an internal error, 5 the case fails verification, 130 interrupted. `collect` exits with 0, or with 3
    when there are data gaps.
    """


def read(path: Path) -> Parameters:
    asked = parameter_files.read(path)
    check_limits(asked.limits)
    return asked


def folder_of(asked: Parameters) -> Path:
    return notebook.case_folder(asked.case, asked.incident.id)


def case_path(name: str) -> Path:
    return notebook.case_folder("demo", "") if name == "demo" else Path(name)


def writable(folder: Path) -> Path:
    if folder.resolve() == notebook.case_folder("demo", "").resolve():
        raise ParameterError("the demo case is read-only: use another case")
    return folder


def sections_of(text: str) -> tuple[str, ...]:
    return tuple(part.strip().zfill(2) for part in text.split(",") if part.strip())


def opened(what: str, live) -> Case:
    """The case in a folder, or the case of a parameter file, which is collected first if necessary."""
    path = case_path(what)
    if path.is_dir():
        return Case(path)
    values = parameter_files.read_yaml(path)
    return notebook.open_or_collect(values, str(path), lambda folder, asked: collected(asked, folder, (), live))


def shown(folder: Path) -> str:
    """A path relative to the working directory, where possible."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def collected(asked: Parameters, folder: Path, again: tuple[str, ...], live=None, triage=None) -> Case:
    """Collect with progress: one line that is overwritten on a terminal, line by line in a pipe."""
    on_terminal, counted = sys.stderr.isatty(), itertools.count(1)

    def on_answer(source: str, instance: str) -> None:
        progress = f"answer {next(counted)}: {source} of {instance}"
        click.echo(f"\r\033[K{progress}" if on_terminal else progress, nl=not on_terminal, err=True)
        if live:
            live.on_answer(folder)

    case = collect(folder, asked, again, on_answer, triage)
    click.echo("\r\033[K" * on_terminal, nl=False, err=True)
    return case


def print_json(value) -> None:
    click.echo(as_json(value))

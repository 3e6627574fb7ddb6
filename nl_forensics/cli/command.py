"""What the commands have in common: their group, their options, and how a case is named, opened and collected."""

import itertools
import json
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

as_json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
sections_option = click.option("--sections", default="", help="Sections of the guide, such as 05; all by default.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="nl_forensics")
def cli():
    """Find out what broke: ask the systems once, keep the answers, judge them, report.

    PARAMETERS is a YAML file, see parameters/example.yaml; CASE is a folder that `collect` made, or `demo`.

    Exit codes: 0 all is well, 1 a problem was found, 2 usage or parameters, 3 nothing wrong seen but something is unknown,
    4 a bug of ours, 5 the case fails verification, 130 interrupted. `collect` gives 0 or 3.
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
        raise ParameterError("the demo case is a recorded one, nothing is added to it: name another case")
    return folder


def sections_of(text: str) -> tuple[str, ...]:
    return tuple(part.strip().zfill(2) for part in text.split(",") if part.strip())


def opened(what: str, live) -> Case:
    """A case as it is; or that of a parameter file, collected now if there is none."""
    path = case_path(what)
    if path.is_dir():
        return Case(path)
    asked = read(path)
    folder = folder_of(asked)
    if not notebook.is_collected(folder):
        return collected(asked, folder, (), live)
    open_ended = parameter_files.read_yaml(path)["incident"].get("end", "now") == "now"
    return notebook.asked_with(Case(folder), asked, open_ended)


def shown(folder: Path) -> str:
    """A path as it is typed here."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def collected(asked: Parameters, folder: Path, again: tuple[str, ...], live=None, look=None) -> Case:
    """Collect, telling how far it is: on a terminal in one line that is written over, in a pipe line by line."""
    on_terminal, counted = sys.stderr.isatty(), itertools.count(1)

    def landed(source: str, instance: str) -> None:
        told = f"answer {next(counted)}: {source} of {instance}"
        click.echo(f"\r\033[K{told}" if on_terminal else told, nl=not on_terminal, err=True)
        if live:
            live.landed(folder)

    case = collect(folder, asked, again, landed, look)
    click.echo("\r\033[K" * on_terminal, nl=False, err=True)
    return case


def print_json(value) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))

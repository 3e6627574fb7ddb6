"""nl-forensics: collect a case, judge it, report it.

Exit codes: 0 all is well · 1 a problem was found · 2 usage or parameters · 3 nothing wrong seen, but something is unknown, or nothing was
judged, because the platform has none of the systems · 4 a bug of ours · 5 the case fails verification · 130 interrupted. `collect` gives
0 or 3.
"""

import importlib.util
import itertools
import json
import os
import sys
import traceback
from pathlib import Path

import click

from nl_forensics import guide, notebook, now, permissions
from nl_forensics import parameters as parameter_files
from nl_forensics.case import Case
from nl_forensics.checks import changes_since_last_round, check_limits, check_sections, run_checks
from nl_forensics.checks import load as load_checks
from nl_forensics.collect import REACHED, FirstLook, collect
from nl_forensics.errors import CaseError, ForensicsError, ParameterError
from nl_forensics.live import Live, print_findings
from nl_forensics.parameters import Parameters
from nl_forensics.rounds import PARAMETERS, Gap, round_numbers
from nl_forensics.sources import ASKED_THROUGH
from nl_forensics.sources import load as load_sources
from nl_forensics.summary import ten_lines

ALL_LOGS_PER_S = 200
as_json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="nl_forensics")
def cli():
    """Find out what broke: ask the systems once, keep the answers, judge them, report.

    PARAMETERS is a YAML file, see parameters/example.yaml; CASE is a folder that `collect` made, or `demo`.

    Exit codes: 0 all is well, 1 a problem was found, 2 usage or parameters, 3 nothing wrong seen but something is unknown,
    4 a bug of ours, 5 the case fails verification, 130 interrupted. `collect` gives 0 or 3.
    """


@cli.command("now")
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    multiple=True,
    help="Look only into this namespace (`*`: any letters); may be repeated.",
)
@click.option(
    "--since", metavar="30m", default="", help="Begin so long ago: 90s, 30m, 2h, 1d. By default it is proposed."
)
@as_json_option
def now_command(namespaces: tuple[str, ...], since: str, as_json: bool) -> int:
    """What is wrong now: a kubeconfig is enough. Keeps a case, and ends with ten lines for a chat."""
    how_long = now.duration(since) if since else None
    live = None if as_json else Live()
    asked = now.opening(namespaces)
    folder = notebook.unused_folder(asked.incident.id)
    asked = asked.model_copy(update={"incident": asked.incident.model_copy(update={"id": folder.name})})

    def question(case: Case) -> tuple[Parameters, str]:
        chosen, because = now.question(case, namespaces, how_long)
        where = ", ".join(chosen.incident.namespaces or chosen.platform.namespaces) or "all namespaces"
        click.echo(f"window {chosen.incident}, in {where}: {because}", err=True)
        case.parameters = chosen  # the answers that it follows from are the first that it is judged by
        if live:
            live.judge(case)
        return chosen, because

    look = FirstLook(now.FIRST, now.FIRST_WITHIN_S, question)
    try:
        case = _collected(asked, folder, (), live, look)
    except KeyboardInterrupt:
        begun = (folder / "1" / PARAMETERS).is_file()
        goes_on = (
            f"`nl-forensics collect {_shown(folder)}` goes on where it stopped" if begun else "nothing was asked yet"
        )
        click.echo(f"interrupted: {goes_on}", err=True)
        return 130
    now.check_namespaces(case, namespaces)
    from nl_forensics.report import as_json as whole
    from nl_forensics.report import notebooks

    findings = run_checks(case)
    names = {section: path.name for section, path in notebooks().items()}
    lines = ten_lines(case, findings, _shown(folder), names)
    if as_json:
        _print_json(
            whole(case, findings, changes_since_last_round(case, findings)) | {"folder": str(folder), "lines": lines}
        )
    else:
        click.echo("\n".join(lines))
    return findings.exit_code()


@cli.command("collect")
@click.argument("what", metavar="PARAMETERS|CASE")
@click.option(
    "--case", "folder", type=click.Path(path_type=Path), help="Folder of the case, in place of the parameters' one."
)
@click.option(
    "--again", multiple=True, metavar="SOURCE", help="Ask this source again, in a new round; may be repeated."
)
@click.option(
    "--all-logs", is_flag=True, help="Read the log of every container, at up to 200 requests a second to Kubernetes."
)
@as_json_option
def collect_command(what: str, folder: Path | None, again: tuple[str, ...], all_logs: bool, as_json: bool) -> int:
    """Ask every system and record its answers; resumes a collection that was killed.

    Of a CASE, its own question is asked: to finish it, or to look again.
    """
    known = Case(_case_path(what)) if round_numbers(_case_path(what)) else None
    asked = known.parameters if known else _read(Path(what))
    if all_logs:
        asked = asked.with_budget(kubernetes_all_logs=True, kubernetes_per_s=ALL_LOGS_PER_S)
    case = _collected(asked, _writable(folder or (known.folder if known else _folder_of(asked))), again)
    gaps = [gap for name in case.answers for gap in case.gaps(name)]
    if as_json:
        _print_json({"case": str(case.folder), "coverage": case.coverage().to_dict("records")})
    else:
        click.echo(f"{case.folder}: round {case.rounds[-1].folder.name} is sealed, {len(case.answers)} sources asked")
        for system, unseen, closes in dict.fromkeys((_system_of(gap), gap.unseen, gap.closes) for gap in gaps):
            click.echo(f"  not seen of {system}: {unseen}" + (f" ({closes})" if closes else ""))
    return 3 if gaps else 0


@cli.command("findings")
@click.argument("what", metavar="PARAMETERS|CASE")
@click.option("--sections", default="", help="Sections of the guide, such as 05; all by default.")
@as_json_option
def findings_command(what: str, sections: str, as_json: bool) -> int:
    """The verdict without notebooks. Live, each finding is printed as soon as its sources have answered."""
    wanted = _sections(sections)
    check_sections(wanted)
    case = _opened(what, None if as_json else Live(wanted))
    findings = run_checks(case, wanted)
    changes = changes_since_last_round(case, findings)
    if as_json:
        from nl_forensics.report import as_json as whole

        _print_json(whole(case, findings, changes))
    else:
        print_findings(findings)
        for change in changes:
            click.echo(f"  since the last round, {change.what}: {change.finding.subject}: {change.finding.because}")
    return findings.exit_code()


@cli.command("report")
@click.argument("what", metavar="PARAMETERS|CASE")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report; reports/<incident id> by default.")
@click.option("--sections", default="", help="Sections of the guide, such as 05; all by default.")
@as_json_option
def report_command(what: str, out: Path | None, sections: str, as_json: bool) -> int:
    """Run the notebooks and write report.html, findings.json and the executed notebooks."""
    from nl_forensics.report import FINDINGS, chosen_notebooks, report

    wanted = _sections(sections)
    chosen_notebooks(wanted)
    case = _opened(what, None)
    folder = out or notebook.workspace() / "reports" / case.incident.id
    findings = report(case, folder, wanted)
    if as_json:
        click.echo((folder / FINDINGS).read_text(encoding="utf-8"), nl=False)
    else:
        click.echo(f"{findings.verdict()} {findings.counts()}.")
        click.echo(f"{folder / 'report.html'}")
    return findings.exit_code()


@cli.command("verify")
@click.argument("folder", metavar="CASE")
def verify_command(folder: str) -> int:
    """Check that nothing in a case was altered, added or removed."""
    case = Case(_case_path(folder))
    faults = case.verify()
    for fault in faults:
        click.echo(fault, err=True)
    if not faults:
        for step in case.rounds:
            click.echo(f"round {step.folder.name} is whole, seal {step.seal}")
    return 5 if faults else 0


@cli.command("doctor")
@click.argument("parameters", type=click.Path(path_type=Path))
@as_json_option
def doctor_command(parameters: Path, as_json: bool) -> int:
    """What can be reached, what is permitted, and which checks each missing permission costs. Asks everything once, and keeps nothing."""
    from nl_forensics.doctor import diagnose

    told = diagnose(_read(parameters))
    if as_json:
        _print_json(told.as_json())
    else:
        for line in told.lines():
            click.echo(line)
    return told.exit_code


@cli.command("permissions")
@click.argument("parameters", type=click.Path(path_type=Path), required=False)
@click.option(
    "--namespace", default="nl-forensics", show_default=True, help="Kubernetes namespace of the service account."
)
@as_json_option
def permissions_command(parameters: Path | None, namespace: str, as_json: bool) -> int:
    """The roles and grants that the questions need: no more, no less. With PARAMETERS, those of the systems that it has."""
    asked = _read(parameters) if parameters else None
    platform = asked.platform if asked else None
    names = (asked.incident.namespaces or asked.platform.namespaces) if asked else ()
    found = permissions.sections(platform, names, namespace)
    if as_json:
        _print_json({one.name: one.text for one in found})
    else:
        click.echo("\n\n".join(f"# {one.title}\n{one.text}" for one in found))
    return 0


@cli.command("sources")
@as_json_option
def sources_command(as_json: bool) -> int:
    """Everything that can be asked."""
    found = load_sources().values()
    if as_json:
        listed = [
            {"name": s.name, "system": s.system, "covers": s.covers, "needs": s.needs._asdict(), "doc": s.doc}
            for s in found
        ]
        _print_json(listed)
    else:
        for source in found:
            click.echo(f"{source.name:32} {source.covers:7} {source.doc.splitlines()[0]}")
    return 0


@cli.command("checks")
@as_json_option
def checks_command(as_json: bool) -> int:
    """Every rule that a healthy system keeps, with its limits."""
    found = load_checks().values()
    if as_json:
        _print_json(
            [{"name": c.name, "section": c.section, "needs": c.needs, "limits": c.limits, "doc": c.doc} for c in found]
        )
    else:
        for one in found:
            limits = ", ".join(f"{name}={value}" for name, value in one.limits.items())
            click.echo(f"{one.section} {one.severity:8} {one.name}" + (f" ({limits})" if limits else ""))
    return 0


@cli.command("guide")
@click.option("--sections", default="", help="Sections of the guide, such as 05; all by default.")
@as_json_option
def guide_command(sections: str, as_json: bool) -> int:
    """Every command of the troubleshooting guide, and what answers it here, or why it is not done."""
    wanted = _sections(sections)
    if as_json:
        _print_json(guide.sections(wanted))
    else:
        click.echo("\n".join(guide.lines(wanted)))
    return 0


@cli.command("reveal")
@click.argument("folder", metavar="CASE")
@click.argument("pseudonym")
def reveal_command(folder: str, pseudonym: str) -> int:
    """What a pseudonym stands for; that it was asked is noted in the chain of custody."""
    click.echo(Case(_writable(_case_path(folder))).reveal(pseudonym))
    return 0


@cli.command("note")
@click.argument("folder", metavar="CASE")
@click.argument("text")
def note_command(folder: str, text: str) -> int:
    """Write a time-stamped note into a case: "rolled back"."""
    Case(_writable(_case_path(folder))).note(text)
    return 0


@cli.command("lab")
@click.argument("folder", metavar="CASE")
def lab_command(folder: str) -> None:
    """Open JupyterLab on copies of the notebooks with this case, in reports/<incident id>/lab; copies that are there are kept."""
    from nl_forensics.report import with_case

    if not importlib.util.find_spec("jupyterlab"):
        raise ParameterError("JupyterLab is not installed: pip install 'nl_forensics[lab]'")
    case = Case(_case_path(folder))
    copies = with_case(case, notebook.workspace() / "reports" / case.incident.id / "lab")
    # In our place: Ctrl-C is JupyterLab's, which asks whether to end.
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(copies)])


def _read(path: Path) -> Parameters:
    asked = parameter_files.read(path)
    check_limits(asked.limits)
    return asked


def _folder_of(asked: Parameters) -> Path:
    return notebook.case_folder(asked.case, asked.incident.id)


def _case_path(name: str) -> Path:
    return notebook.case_folder("demo", "") if name == "demo" else Path(name)


def _writable(folder: Path) -> Path:
    if folder.resolve() == notebook.case_folder("demo", "").resolve():
        raise ParameterError("the demo case is a recorded one, nothing is added to it: name another case")
    return folder


def _sections(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _opened(what: str, live) -> Case:
    """A case as it is; or that of a parameter file, collected now if there is none."""
    path = _case_path(what)
    if path.is_dir():
        return Case(path)
    asked = _read(path)
    folder = _folder_of(asked)
    if not notebook.is_collected(folder):
        return _collected(asked, folder, (), live)
    open_ended = parameter_files.read_yaml(path)["incident"].get("end", "now") == "now"
    return notebook.asked_with(Case(folder), asked, open_ended)


def _shown(folder: Path) -> str:
    """A path as it is typed here."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _collected(asked: Parameters, folder: Path, again: tuple[str, ...], live=None, look=None) -> Case:
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


def _system_of(gap: Gap) -> str:
    """Whom a gap is about: `postgres-main`."""
    system = load_sources()[gap.source].system
    return gap.instance if gap.source == REACHED else f"{ASKED_THROUGH.get(system, system)}-{gap.instance}"


def _print_json(value) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def main() -> None:
    """The entry point: one clear line for whatever goes wrong, and the documented exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        return cli.main(arguments, prog_name="nl-forensics", standalone_mode=False) or 0
    except click.exceptions.Abort:
        click.echo("interrupted: the same command goes on where it stopped", err=True)
        return 130
    except KeyboardInterrupt:
        click.echo("interrupted: the same command goes on where it stopped", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except ParameterError as error:
        return _said(error, 2)
    except CaseError as error:
        return _said(error, 5)
    except ForensicsError as error:
        return _said(error, 4)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # who read us has left: `findings demo | head`
        return 2
    except OSError as error:
        return _said(error, 2)
    except Exception as error:  # noqa: BLE001 (the edge of the process: a bug must not look like "a problem was found")
        return _said(error, 4)


def _said(error: Exception, code: int) -> int:
    if code == 4:
        traceback.print_exc()
        click.echo("nl-forensics: this is a bug of nl_forensics: report it, with what stands above", err=True)
    else:
        click.echo(f"nl-forensics: {error}", err=True)
    return code


if __name__ == "__main__":
    main()

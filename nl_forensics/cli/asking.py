"""Commands that query systems: now, collect, doctor."""

from pathlib import Path

import click

from nl_forensics.checks import changes_since_last_round, run_checks
from nl_forensics.cli.command import (
    as_json_option,
    case_path,
    cli,
    collected,
    folder_of,
    print_json,
    read,
    shown,
    writable,
)
from nl_forensics.collection import triage
from nl_forensics.collection.collect import REACHED, Triage
from nl_forensics.delivery import notebook
from nl_forensics.delivery.ten_lines import ten_lines
from nl_forensics.delivery.terminal import Live, say
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import PARAMETERS, Gap, round_numbers
from nl_forensics.inputs.parameters import Parameters
from nl_forensics.sources import connection_of
from nl_forensics.sources import load as load_sources

ALL_LOGS_PER_S = 200


@cli.command("now")
@click.option(
    "-n",
    "--namespace",
    "namespaces",
    metavar="NAME",
    multiple=True,
    help="Kubernetes namespace in scope (`*` is a wildcard); repeatable.",
)
@click.option(
    "--since",
    metavar="DURATION",
    default="",
    help="Length of the incident window: 90s, 30m, 2h, 1d. Default: proposed from symptoms.",
)
@as_json_option
def now_command(namespaces: tuple[str, ...], since: str, as_json: bool) -> int:
    """Triage the current state: a kubeconfig is enough. Saves a case and prints a summary of at most ten lines."""
    length = triage.duration(since) if since else None
    live = None if as_json else Live()
    asked = triage.opening(namespaces)
    folder = notebook.unused_folder(asked.incident.id)
    asked = asked.model_copy(update={"incident": asked.incident.model_copy(update={"id": folder.name})})

    def question(case: Case) -> tuple[Parameters, str]:
        chosen, because = triage.question(case, namespaces, length)
        where = ", ".join(chosen.incident.scope(chosen.platform)) or "all"
        say(f"incident window {chosen.incident}, namespaces: {where} ({because})", err=True)
        case.use_parameters(chosen)  # the first answers are judged by the question that follows from them
        if live:
            live.judge(case)
        return chosen, because

    first = Triage(triage.FIRST, triage.FIRST_WITHIN_S, question)
    try:
        case = collected(asked, folder, (), live, first)
    except KeyboardInterrupt:
        begun = (folder / "1" / PARAMETERS).is_file()
        hint = f"run `nl-forensics collect {shown(folder)}` to resume" if begun else "nothing was collected"
        say(f"interrupted; {hint}", err=True)
        return 130
    triage.check_namespaces(case, namespaces)
    from nl_forensics.delivery.report import as_json as whole
    from nl_forensics.delivery.report import notebooks

    findings = run_checks(case)
    names = {section: path.name for section, path in notebooks().items()}
    lines = ten_lines(case, findings, shown(folder), names)
    if as_json:
        print_json(
            whole(case, findings, changes_since_last_round(case, findings)) | {"folder": str(folder), "lines": lines}
        )
    else:
        say(*lines)
    return findings.exit_code()


@cli.command("collect")
@click.argument("what", metavar="PARAMETERS|CASE")
@click.option("--case", "folder", type=click.Path(path_type=Path), help="Case folder; overrides the parameters.")
@click.option("--again", multiple=True, metavar="SOURCE", help="Query this source again in a new round; repeatable.")
@click.option(
    "--all-logs", is_flag=True, help="Read the logs of all containers, at up to 200 requests/s to Kubernetes."
)
@as_json_option
def collect_command(what: str, folder: Path | None, again: tuple[str, ...], all_logs: bool, as_json: bool) -> int:
    """Query every system and record the answers. Run it again to resume.

    With a CASE, its own parameters apply: to complete it, or to collect a new round.
    """
    known = Case(case_path(what)) if round_numbers(case_path(what)) else None
    asked = known.parameters if known else read(Path(what))
    if all_logs:
        asked = asked.with_budget(kubernetes_all_logs=True, kubernetes_per_s=ALL_LOGS_PER_S)
    case = collected(asked, writable(folder or (known.folder if known else folder_of(asked))), again)
    gaps = [gap for name in case.answers for gap in case.gaps(name)]
    if as_json:
        print_json({"case": str(case.folder), "coverage": case.coverage().to_dict("records")})
    else:
        say(f"{case.folder}: round {case.rounds[-1].folder.name} is sealed, {len(case.answers)} sources queried")
        for system, unseen, remedy in dict.fromkeys((_system_of(gap), gap.unseen, gap.remedy) for gap in gaps):
            say(f"  data gap, {system}: {unseen}" + (f" ({remedy})" if remedy else ""))
    return 3 if gaps else 0


def _system_of(gap: Gap) -> str:
    """The system and instance of a gap: `postgres-main`."""
    system = load_sources()[gap.source].system
    return gap.instance if gap.source == REACHED else f"{connection_of(system)}-{gap.instance}"


@cli.command("doctor")
@click.argument("parameters", type=click.Path(path_type=Path))
@as_json_option
def doctor_command(parameters: Path, as_json: bool) -> int:
    """Test connections and permissions. Lists the checks that each missing permission prevents, and saves nothing."""
    from nl_forensics.delivery.doctor import diagnose

    diagnosis = diagnose(read(parameters))
    if as_json:
        print_json(diagnosis.as_json())
    else:
        for line in diagnosis.lines():
            say(line)
    return diagnosis.exit_code

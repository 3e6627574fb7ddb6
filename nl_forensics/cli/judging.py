"""Commands that present a case: findings, timeline, report, lab."""

import importlib.util
import math
import os
import sys
from pathlib import Path

import click

from nl_forensics.checks import changes_since_last_round, check_sections, run_checks
from nl_forensics.cli.command import as_json_option, case_path, cli, opened, print_json, sections_of, sections_option
from nl_forensics.delivery import notebook
from nl_forensics.delivery.terminal import Live, print_findings, say, warn_if_altered
from nl_forensics.errors import ParameterError
from nl_forensics.evidence.case import Case
from nl_forensics.finding import records


@cli.command("findings")
@click.argument("what", metavar="PARAMETERS|CASE")
@sections_option
@as_json_option
def findings_command(what: str, sections: str, as_json: bool) -> int:
    """List problems and data gaps. During a collection, findings stream as data arrives."""
    wanted = sections_of(sections)
    check_sections(wanted)
    case = opened(what, None if as_json else Live(wanted))
    findings = run_checks(case, wanted)
    changes = changes_since_last_round(case, findings)
    if as_json:
        from nl_forensics.delivery.report import as_json as whole

        print_json(whole(case, findings, changes))
    else:
        print_findings(findings)
        for change in changes:
            say(f"  since the previous round, {change.what}: {change.finding.subject}: {change.finding.because}")
    warn_if_altered(case, findings)
    return findings.exit_code()


@cli.command("tenant")
@click.argument("name", metavar="NAME")
@click.argument("what", metavar="[PARAMETERS|CASE]", default="demo")
@as_json_option
def tenant_command(name: str, what: str, as_json: bool) -> int:
    """Everything about one tenant on one page: provisioning, quota, pods, errors, usage, money, access, since when. Default: demo."""
    from nl_forensics.delivery import tenant

    page = tenant.page_of(opened(what, None), name)
    parts = tenant.parts_of(page)
    if as_json:
        print_json(tenant.as_json(page, parts))
    else:
        for line in tenant.as_lines(page, parts):
            say(line)
    return page.findings.exit_code()


@cli.command("timeline")
@click.argument("what", metavar="PARAMETERS|CASE")
@as_json_option
def timeline_command(what: str, as_json: bool) -> None:
    """List changes, problems, alerts and notes in order of time. Clock offsets are corrected."""
    from nl_forensics.conclusions.postmortem import not_seen
    from nl_forensics.conclusions.timeline import timeline

    case = opened(what, None)
    findings = run_checks(case)
    rows, gaps = timeline(case, findings), not_seen(case, findings)
    if as_json:
        print_json({"timeline": records(rows), "gaps": gaps})
        return
    for row in rows.itertuples():
        error = f" ±{row.error_s:.0f} s" if row.error_s >= 0.5 else " ±unknown" if math.isnan(row.error_s) else ""
        say(f"{row.at:%Y-%m-%d %H:%M:%S} UTC{error}  {row.kind}  {row.component}: {row.words}")
    for gap in gaps:
        say(f"data gap: {gap}")


@cli.command("report")
@click.argument("what", metavar="PARAMETERS|CASE")
@click.option("--out", type=click.Path(path_type=Path), help="Output folder. Default: reports/<incident id>.")
@sections_option
@as_json_option
def report_command(what: str, out: Path | None, sections: str, as_json: bool) -> int:
    """Write report.html, findings.json and the executed notebooks."""
    from nl_forensics.delivery.report import FINDINGS, chosen_notebooks, report

    wanted = sections_of(sections)
    chosen_notebooks(wanted)
    case = opened(what, None)
    folder = out or notebook.workspace() / "reports" / case.incident.id
    findings = report(case, folder, wanted)
    if as_json:
        click.echo((folder / FINDINGS).read_text(encoding="utf-8"), nl=False)
    else:
        say(f"{findings.verdict()} {findings.counts()}.")
        say(f"{folder / 'report.html'}")
    warn_if_altered(case, findings)
    return findings.exit_code()


@cli.command("lab", context_settings={"ignore_unknown_options": True})
@click.argument("folder", metavar="CASE")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[JUPYTERLAB OPTION]...")
def lab_command(folder: str, options: tuple[str, ...]) -> None:
    """Open JupyterLab on copies of the notebooks for a case. They are in reports/<incident id>/lab; existing copies are kept.

    Further options are passed to JupyterLab: --no-browser, --port 8890, --ip 0.0.0.0, --allow-root in a container.
    """
    from nl_forensics.delivery.report import with_case

    if not importlib.util.find_spec("jupyterlab"):
        raise ParameterError("JupyterLab is not installed: pip install 'nl_forensics[lab]'")
    case = Case(case_path(folder))
    copies = with_case(case, notebook.workspace() / "reports" / case.incident.id / "lab")
    # JupyterLab replaces this process, so that Ctrl-C reaches it.
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(copies), *options])

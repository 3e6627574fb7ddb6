"""The report: notebooks executed by papermill, and one HTML page that needs no network."""

import base64
import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import jinja2
import mistune
import nh3
import pandas as pd
from markupsafe import Markup

from nl_forensics import private, sanitize, sources
from nl_forensics.checks import changes_since_last_round, run_checks
from nl_forensics.checks import load as load_checks
from nl_forensics.errors import CaseError, ParameterError
from nl_forensics.evidence import custody
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Change, Findings, Severity, When
from nl_forensics.units import Wording

NOTEBOOKS = (Path(__file__).parents[2] / "notebooks", Path(__file__).parents[1] / "notebooks")
FINDINGS = "findings.json"
KERNELS = 2
NOT_IN_REPORT = "not-in-report"
POSTMORTEM = "11"  # comes first
CHART = "application/vnd.nl-forensics.chart+json"
TAGS = {
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "p",
    "b",
    "i",
    "em",
    "strong",
    "code",
    "pre",
    "ul",
    "ol",
    "li",
    "h2",
    "h3",
    "h4",
    "br",
}


@dataclass(frozen=True)
class Section:
    """One executed notebook. `failed`: what broke in it, "" when it ran through."""

    number: str
    title: str
    path: Path
    body: Markup
    failed: str


def notebooks() -> dict[str, Path]:
    """{section number: notebook}, in order."""
    folder = next((folder for folder in NOTEBOOKS if folder.is_dir()), NOTEBOOKS[0])
    return {path.name[:2]: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}


def chosen_notebooks(wanted: tuple[str, ...]) -> dict[str, Path]:
    """The notebooks of the named sections, or all. Raises ParameterError for an unknown section."""
    found = notebooks()
    if unknown := sorted(set(wanted) - found.keys()):
        raise ParameterError(f"there is no section {unknown[0]}: choose from {', '.join(found)}")
    return {number: path for number, path in found.items() if not wanted or number in wanted}


def report(case: Case, folder: Path, wanted: tuple[str, ...] = ()) -> Findings:
    """Write `report.html`, `findings.json` and the executed `notebooks/` into a folder, and return the findings.

    The report names a notebook that fails, and continues. Raises CaseError for a case that is still being collected: each
    notebook would try to complete it.
    """
    if not case.rounds[-1].seal:
        raise CaseError(f"{case.folder} is incomplete: run `nl-forensics collect {case.folder}` to complete it")
    from nl_forensics.delivery.kernel import end_kernels

    chosen = chosen_notebooks(wanted)
    private.make_folder(folder / "notebooks")
    with ThreadPoolExecutor(KERNELS) as pool:  # each thread waits for a kernel process; checks are evaluated meanwhile
        running = [
            pool.submit(_executed, case, number, path, folder / "notebooks" / path.name)
            for number, path in chosen.items()
        ]
        try:
            findings = run_checks(case, chosen)
            sections = [section.result() for section in running]
        finally:  # after an interrupt, notebooks may still run
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(section.done() for section in running):
                end_kernels()
                time.sleep(0.1)
    changes = changes_since_last_round(case, findings)
    custody.write_synced(folder / FINDINGS, sanitize.as_json(as_json(case, findings, changes)) + "\n")
    custody.write_synced(folder / "report.html", sanitize.of_page(_page(case, findings, changes, sections)))
    return findings


def as_json(case: Case, findings: Findings, changes: list[Change]) -> dict:
    """The findings as JSON values: `verdict`, `coverage` per source, `findings`, `changes` since the last round."""
    incident = case.incident
    return {
        "incident": incident.model_dump(mode="json"),
        "verdict": {
            "text": findings.verdict(),
            "counts": findings.counts(),
            "exit_code": findings.exit_code(),
            "problems": len(findings.problems),
            "unknown": len(findings.unknowns),
            "ok": len(findings.oks),
            "ok_only_after_the_incident": sum(f.when == When.AFTER for f in findings.oks),
            "notes": len(findings.notes),
        },
        "coverage": coverage(case),
        "findings": [finding.as_json() for finding in findings],
        "changes": [
            {"what": change.what, "check": change.finding.check, "subject": change.finding.subject}
            for change in changes
        ],
        "case": {
            "rounds": len(case.rounds),
            "seal": case.rounds[-1].seal,
            "software": version("nl_forensics"),
        },
    }


def coverage(case: Case) -> list[dict]:
    """One record per source and instance: rows, and data gaps."""
    return [
        {
            "source": answer.source,
            "instance": answer.instance,
            "asked_at": answer.asked_at,
            "rows": answer.rows,
            "whole": answer.is_whole,
            "error": answer.error,
            "gaps": [{"unseen": gap.unseen, "remedy": gap.remedy, "window": gap.window} for gap in answer.gaps],
            "file": answer.file,
            "sha256": answer.sha256,
        }
        for instances in case.answers.values()
        for answer in instances.values()
    ]


def parameters_of(case: Case) -> dict:
    """The variables of a notebook's parameters cell that open this case again."""
    parameters = case.parameters
    return {
        "incident": parameters.incident.model_dump(mode="json"),
        "platform": parameters.platform.name,
        "case": str(case.folder.resolve()),
        "limits": parameters.limits,
        "narrative": parameters.narrative.model_dump(),
    }


def with_case(case: Case, folder: Path) -> Path:
    """Copies of the notebooks with parameters that name this case; the notebooks themselves stay as they are.

    An existing copy is kept, as it may contain work. Raises ParameterError if it belongs to another case.
    """
    import nbformat
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    private.make_folder(folder)
    values = parameters_of(case)
    copies = {folder / path.name: path for path in notebooks().values()}
    kept = [copy for copy in copies if copy.exists()]
    for copy in kept:
        if (other := _case_of(copy)) != values["case"]:
            raise ParameterError(f"{copy} is a copy for {other or 'an unknown case'}: move it, or open that case")
    for copy in copies.keys() - kept:
        with private.opened(copy, "w", encoding="utf-8") as file:
            nbformat.write(parameterize_notebook(load_notebook_node(str(copies[copy])), values), file)
    return folder


def _case_of(copy: Path) -> str:
    """The case that the parameters of a notebook name."""
    try:
        return json.loads(copy.read_text("utf-8"))["metadata"]["papermill"]["parameters"]["case"]
    except (ValueError, KeyError, TypeError):
        return ""


def _executed(case: Case, number: str, source: Path, target: Path) -> Section:
    import nbformat
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    from nl_forensics.delivery.kernel import EncryptedKernel

    failed = ""
    private.opened(target, "w").close()  # papermill keeps the mode of a file that is there
    try:
        papermill.execute_notebook(
            str(source),
            str(target),
            parameters_of(case),
            progress_bar=False,
            execution_timeout=300,
            kernel_manager_class=EncryptedKernel,
            # This is for the kernel only: papermill's `cwd` would change the directory of all threads.
            resources={"metadata": {"path": str(source.parent)}},
        )
    except (papermill.PapermillExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
        failed = str(error).strip().splitlines()[-1]
    notebook = nbformat.read(target, as_version=4)
    return Section(number, _title(notebook), target, _body(notebook, number), failed)


def _title(notebook) -> str:
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return first.splitlines()[0].lstrip("# ")


def _body(notebook, number: str) -> Markup:
    """Prose and outputs, without code. Every output is escaped or cleaned: text of logs and databases is hostile."""
    parts = []
    for cell in notebook.cells[1:]:
        tags = cell.metadata.get("tags", [])
        if NOT_IN_REPORT in tags or "parameters" in tags or "injected-parameters" in tags:
            continue
        if cell.cell_type == "markdown":
            parts.append(_clean(_one_level_deeper(str(mistune.html(cell.source)))))
        else:
            parts += [_output(output) for output in cell.outputs]
    return Markup("\n").join(parts)


def _one_level_deeper(fragment: str) -> str:
    """Headings of a notebook are one level below that of its section."""
    return re.sub(r"(</?h)([1-5])\b", lambda tag: f"{tag[1]}{int(tag[2]) + 1}", fragment)


def _output(output) -> Markup:
    if output.output_type == "error":
        return Markup("<pre class='failed'>{}</pre>").format(_plain(f"{output.ename}: {output.evalue}"))
    if output.output_type == "stream":
        return Markup("<pre>{}</pre>").format(_plain(output.text))
    data = output.data
    if "image/png" in data:
        words = data.get(CHART, {}).get("words") or data.get("text/plain", "")
        image = "".join(data["image/png"].split())
        base64.b64decode(image, validate=True)
        return Markup(
            "<figure><img alt='{}' src='data:image/png;base64,{}'><figcaption>{}</figcaption></figure>"
        ).format(_plain(words), image, _plain(words))
    if "text/html" in data:
        return Markup("<div class='wide'>{}</div>").format(_clean(data["text/html"]))
    return Markup("<pre>{}</pre>").format(_plain(data.get("text/plain", "")))


def _clean(fragment: str) -> Markup:
    return Markup(
        nh3.clean(fragment, tags=TAGS, attributes={}, clean_content_tags={"script", "style"}, url_schemes=set())
    )


def _plain(text: str) -> str:
    """Without terminal escapes and other control characters."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "", text)


def _page(case: Case, findings: Findings, changes: list[Change], sections: list[Section]) -> str:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"plain": _plain, "table": _table, "rule": _rule}
    platform = case.parameters.platform
    template = environment.from_string(
        resources.files("nl_forensics").joinpath("templates/report.html").read_text("utf-8")
    )
    return template.render(
        case=case,
        incident=case.incident,
        narrative=case.parameters.narrative,
        findings=findings,
        severities=list(Severity),
        silent=_silent(case),
        in_clear=case.passwords_in_clear,
        changes=changes,
        story=next((section for section in sections if section.number == POSTMORTEM), None),
        sections=[section for section in sections if section.number != POSTMORTEM],
        checks=load_checks(),
        sources=sources.load(),
        coverage=coverage(case),
        seals=[(step.folder.name, step.seal or "open: not sealed yet") for step in case.rounds],
        events=[event for step in case.rounds for event in step.events()],
        absent=[name for name, value in platform.systems if value == "absent" and name not in platform.left_out],
        software=version("nl_forensics"),
    )


def _silent(case: Case) -> list[tuple[str, str]]:
    """(system, reason) of each system that did not answer or could not be queried."""
    reached = case.answers.get("systems_reached", {}).values()
    rows = case.read("systems_reached").rows
    reasons = [(answer.instance, answer.why) for answer in reached if not answer.file]
    return [(name, why) for name, why in [*reasons, *zip(rows.instance, rows.why.fillna(""), strict=True)] if why]


def _rule(name: str, limits: dict) -> str:
    return Wording(load_checks()[name].rule).of(limits or load_checks()[name].limits)


def _table(rows: pd.DataFrame) -> Markup:
    """At most 20 rows, with each cell escaped and without empty columns."""
    shown = rows.head(20).dropna(axis="columns", how="all")
    for name in shown.select_dtypes("datetimetz"):
        shown[name] = shown[name].dt.strftime("%Y-%m-%d %H:%M:%S")
    return Markup(
        shown.map(lambda value: _plain(value) if isinstance(value, str) else value).to_html(
            index=False, border=0, na_rep=""
        )
    )

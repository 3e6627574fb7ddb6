"""Every check finds the fault that was recorded for it, and none takes bad evidence for health."""

import gzip
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.case import Case
from nl_forensics.finding import Findings, Status
from nl_forensics.report import report
from nl_forensics.rounds import open_round
from nl_forensics.sources import Partial, Proof
from tests.record import specimens
from tests.write_golden import STORIES

HEALTHY = STORIES / "healthy"
RECORDED = sorted(specimens.FOLDER.glob("*.json"))
CHECKS = checks.load()


def with_specimen(recorded: dict, folder: Path) -> Case:
    """A copy of the healthy case with a later round, in which the specimen's sources were asked again."""
    place = folder / "case"
    shutil.copytree(HEALTHY, place)
    return asked_again(place, recorded)


def asked_again(place: Path, recorded: dict) -> Case:
    """The case with one more round, in which the specimen's sources gave its answers."""
    step = open_round(place, Case(place).parameters, recorded["answers"])
    for name, answer in recorded["answers"].items():
        recording = step.record(name, "main")
        recording.write([*answer["records"], *(Partial(*part) for part in answer["partial"])])
        if answer["proof"]:
            recording.write([Proof(answer["proof"])])
        recording.close(answer["asked_at"])
    step.finish()
    step.close()
    return Case(place)


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_check_finds_its_fault(path, tmp_path):
    recorded = json.loads(path.read_text(encoding="utf-8"))
    case = with_specimen(recorded, tmp_path)
    found = CHECKS[recorded["check"]].run(case)
    assert case.verify() == []
    assert {finding.status for finding in found} == {Status.PROBLEM}, [f.because for f in found]


def test_what_is_new_since_the_round_before_is_told(tmp_path):
    recorded = json.loads((specimens.FOLDER / "forgotten_slot.json").read_text(encoding="utf-8"))
    case = with_specimen(recorded, tmp_path)
    Case(case.folder).note("a note asks nothing, so it is no round to compare with")
    case = Case(case.folder)
    new = checks.changes_since_last_round(case, checks.run_checks(case))
    assert {(change.what, change.finding.check) for change in new} == {("new", recorded["check"])}


def test_a_report_judges_the_round_before_once_and_tells_what_is_new(tmp_path, monkeypatch):
    recorded = json.loads((specimens.FOLDER / "forgotten_slot.json").read_text(encoding="utf-8"))
    case, asked = with_specimen(recorded, tmp_path), []
    before = Case.before
    monkeypatch.setattr(Case, "before", lambda one: asked.append(one) or before(one))
    report(case, tmp_path / "report", ("05",))
    told = json.loads((tmp_path / "report/findings.json").read_text(encoding="utf-8"))["changes"]
    assert {(change["what"], change["check"]) for change in told} == {("new", recorded["check"])}
    assert told[0]["subject"] in (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert len(asked) == 1


def test_where_nothing_was_judged_nothing_is_solved(tmp_path):
    recorded = json.loads((specimens.FOLDER / "forgotten_slot.json").read_text(encoding="utf-8"))
    case = with_specimen(recorded, tmp_path)
    assert checks.changes_since_last_round(asked_again(case.folder, recorded), Findings([])) == []


def test_every_specimen_is_recorded_as_it_is_registered():
    registered = {one.name: one.check for one in specimens.load().values()}
    assert {path.stem: json.loads(path.read_text(encoding="utf-8"))["check"] for path in RECORDED} == registered


# --- The law: bad evidence can prove a problem, only whole evidence can prove health ----------------------------------


def _refused(case: Case, name: str) -> None:
    _alter(case, name, file="", rows=0, error="NotAllowed", why="permission denied", closes="ask for it")


def _empty(case: Case, name: str) -> None:
    nothing = case.folder / "nothing.ndjson.gz"
    nothing.write_bytes(gzip.compress(b""))
    digest = hashlib.sha256(nothing.read_bytes()).hexdigest()
    _alter(case, name, file=nothing.name, sha256=digest, rows=0, proof="", partial=())


def _partial(case: Case, name: str) -> None:
    _alter(case, name, partial=(("the other half", "ask for it", "incident"),))


def _altered(case: Case, name: str) -> None:
    _alter(case, name, sha256="0" * 64)


def _holed(case: Case, name: str) -> None:
    """A row that lacks a value which may not be lacking, for each such column."""
    source, table = sources.load()[name], case.table(name)
    needed = [column for column in source.columns if column not in source.nullable]
    row = table.head(1) if len(table) else table.reindex([0]).assign(instance="main", asked_at=pd.Timestamp.now("UTC"))
    holes = [row.assign(**{column: pd.Series([None], row.index).astype(table[column].dtype)}) for column in needed]
    case._tables[name] = pd.concat([table, *holes], ignore_index=True)


def _alter(case: Case, name: str, **facts) -> None:
    case.answers[name] = {instance: replace(answer, **facts) for instance, answer in case.answers[name].items()}
    case._tables.pop(name, None)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Case:
    """With all tables read."""
    folder = tmp_path_factory.mktemp("healthy") / "case"
    shutil.copytree(HEALTHY, folder)
    case = Case(folder)
    for name, answers in case.answers.items():
        if any(answer.file for answer in answers.values()):
            case.table(name)
    return case


def _copy(case: Case) -> Case:
    copy = Case(case.folder)
    copy.answers = dict(case.answers)
    copy._tables = dict(case._tables)
    return copy


WAYS = (_refused, _empty, _partial, _altered, _holed)


@pytest.mark.parametrize("worsen", WAYS, ids=[worsen.__name__[1:] for worsen in WAYS])
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_bad_evidence_is_never_health(healthy, check, worsen):
    for name in check.needs:
        case = _copy(healthy)
        worsen(case, name)
        found = check.run(case)
        assert not any(finding.status is Status.OK for finding in found), f"{name}: {found[0].because}"
        assert not any(finding.bug for finding in found), f"{name}: {found[0].because}"

"""Every check finds the fault that was recorded for it, and none takes bad evidence for health."""

import copy
import gzip
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.checks import judge
from nl_forensics.checks.judge import Judge
from nl_forensics.checks.watch import Watch
from nl_forensics.delivery.report import report
from nl_forensics.evidence import custody
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import open_round
from nl_forensics.finding import Findings, Status
from nl_forensics.inputs.parameters import read_yaml, shipped
from nl_forensics.inputs.platform import Platform
from nl_forensics.sources import Partial, Proof
from tests import recorded
from tests.record import specimens

CHECKS = checks.load()
# How many findings a fault has, where it has several.
FINDINGS = {
    "alert_over_its_limit": 2,
    "api_server_without_etcd": 2,
    "careless_settings": 3,
    "policy_admits_every_namespace": 2,
    "precious_among_the_evicted": 2,
    "replicas_missing": 2,
    "tenant_without_policy": 2,
}
NAMES_UNKNOWN = (
    "certificate_of_an_unknown_issuer",
    "command_missing",
)  # a name and an error; elsewhere it stands for a null
ADDED = ("tenants",)  # parts of the platform file


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where a copy of the healthy case lies, sealed: who adds a round takes it away again."""
    return shutil.copytree(recorded.story("healthy"), tmp_path_factory.mktemp("healthy") / "case")


@contextmanager
def with_specimen(one: dict, place: Path, healthy: Case | None = None) -> Iterator[Case]:
    """The healthy case with a later round, in which the specimen's sources were asked again. What `healthy` has read is not read anew."""
    try:
        case = asked_again(place, one)
        case.tables |= {
            name: table for name, table in (healthy.tables if healthy else {}).items() if name not in one["answers"]
        }
        yield case
    finally:
        for later in Case(place).rounds[1:]:
            shutil.rmtree(later.folder)


def asked_again(place: Path, one: dict) -> Case:
    """The case with one more round, in which the specimen's sources gave its answers. It is asked of the platform file of today: one that
    was recorded earlier has no part for what was added since.
    """
    parameters = Case(place).parameters
    today = Platform.model_validate(read_yaml(shipped("platforms/neurallog.yaml")))
    added = {name: getattr(today, name) for name in ADDED}
    parameters = parameters.model_copy(update={"platform": parameters.platform.model_copy(update=added)})
    step = open_round(place, parameters, one["answers"])
    for name, answer in one["answers"].items():
        recording = step.record(name, "main")
        recording.recover(answer["records"])
        recording.write(Partial(*part) for part in answer["partial"])
        if answer["proof"]:
            recording.write([Proof(answer["proof"])])
        recording.close(answer["asked_at"])
    step.finish()
    step.close()
    return Case(place)


@pytest.mark.parametrize("name", recorded.specimens())
def test_a_check_finds_its_fault(name, place, healthy):
    one = recorded.specimen(name)
    with with_specimen(one, place, healthy) as case:
        found = judge(CHECKS[one["check"]], case)
        first, added = case.rounds
        assert custody.verify(added.folder, custody.seal_of(first.folder)) == []
    assert [finding.status for finding in found] == [Status.PROBLEM] * FINDINGS.get(name, 1), [f.because for f in found]
    assert [one for one in found if "unknown" in f"{one.subject} {one.because}"] == [] or name in NAMES_UNKNOWN


def test_what_is_new_since_the_round_before_is_told(place):
    one = recorded.specimen("forgotten_slot")
    with with_specimen(one, place):
        Case(place).note("a note asks nothing, so it is no round to compare with")
        case = Case(place)
        new = checks.changes_since_last_round(case, checks.run_checks(case))
    assert {(change.what, change.finding.check) for change in new} == {("new", one["check"])}


def test_a_report_judges_the_round_before_once_and_tells_what_is_new(place, tmp_path, monkeypatch):
    one = recorded.specimen("forgotten_slot")
    asked, before = [], Case.before
    monkeypatch.setattr(Case, "before", lambda one: asked.append(one) or before(one))
    with with_specimen(one, place) as case:
        report(case, tmp_path / "report", ("05",))
    told = json.loads((tmp_path / "report/findings.json").read_text(encoding="utf-8"))["changes"]
    assert {(change["what"], change["check"]) for change in told} == {("new", one["check"])}
    assert told[0]["subject"] in (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert len(asked) == 1


def test_where_nothing_was_judged_nothing_is_solved(place):
    one = recorded.specimen("forgotten_slot")
    with with_specimen(one, place):
        assert checks.changes_since_last_round(asked_again(place, one), Findings([])) == []


def test_every_specimen_is_recorded_as_it_is_registered():
    registered = {one.name: one.check for one in specimens.load().values()}
    assert {name: recorded.specimen(name)["check"] for name in recorded.specimens()} == registered


# --- The law: bad evidence can prove a problem, only whole evidence can prove health ----------------------------------


def _refused(case: Case, name: str) -> None:
    _alter(case, name, file="", rows=0, error="NotAllowed", why="permission denied", remedy="ask for it")


def _empty(case: Case, name: str) -> None:
    nothing = case.folder / "nothing.ndjson.gz"
    nothing.write_bytes(gzip.compress(b""))
    digest = custody.sha256(nothing)
    _alter(case, name, file=nothing.name, sha256=digest, rows=0, proof="", partial=())


def _partial(case: Case, name: str) -> None:
    _alter(case, name, partial=(("the other half", "ask for it", "incident"),))


def _altered(case: Case, name: str) -> None:
    _alter(case, name, sha256="0" * 64)


def _holed(case: Case, name: str) -> None:
    """A row that lacks a value, for each column in which a null is no value."""
    read = case.read(name)
    source, table = read.source, read.rows
    needed = [column for column, spec in source.columns.items() if not spec.absent]
    row = table.head(1) if len(table) else table.reindex([0]).assign(instance="main", asked_at=pd.Timestamp.now("UTC"))
    holes = [row.assign(**{column: pd.Series([None], row.index).astype(table[column].dtype)}) for column in needed]
    case.tables[name] = replace(read, _rows=pd.concat([table, *holes], ignore_index=True))


def _alter(case: Case, name: str, **facts) -> None:
    case.answers[name] = {instance: replace(answer, **facts) for instance, answer in case.answers[name].items()}
    if not facts.keys().isdisjoint({"file", "sha256"}):
        case.tables.pop(name, None)
    else:
        case.tables[name] = replace(case.read(name), gaps=tuple(case.gaps(name)))


@pytest.fixture(scope="module")
def healthy(tmp_path_factory) -> Case:
    """With all tables read."""
    case = Case(shutil.copytree(recorded.story("healthy"), tmp_path_factory.mktemp("healthy") / "case"))
    for name, answers in case.answers.items():
        if any(answer.file for answer in answers.values()):
            case.read(name)
    return case


def _copy(case: Case) -> Case:
    """What was read is shared; what is learned, or altered, from now on is not."""
    own = copy.copy(case)
    own.answers, own.tables = dict(case.answers), dict(case.tables)
    return own


def _reads_what_may_be_missing(check, case: Case, name: str) -> bool:
    """Whether the rule reads a column of this table in which a null is no value; without one, no hole concerns it."""
    watch = Watch()
    Judge(check, case).held_against([case.read(table).whole_rows for table in check.needs], watch)
    return any(not spec.absent for column, spec in sources.load()[name].columns.items() if column in watch.columns)


WAYS = (_refused, _empty, _partial, _altered, _holed)


@pytest.mark.parametrize("worsen", WAYS, ids=[worsen.__name__[1:] for worsen in WAYS])
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_bad_evidence_is_never_health(healthy, check, worsen):
    for name in check.needs:
        case = _copy(healthy)
        worsen(case, name)
        found = judge(check, case)
        if worsen is not _holed or _reads_what_may_be_missing(check, healthy, name):
            assert not any(finding.status is Status.OK for finding in found), f"{name}: {found[0].because}"
        assert not any(finding.bug for finding in found), f"{name}: {found[0].because}"

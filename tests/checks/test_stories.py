"""What we conclude from whole recorded incidents, and that every check was seen in each of its three states."""

import gzip
import re
from fnmatch import fnmatchcase
from functools import cache

import pandas as pd
import pytest
import yaml

from nl_forensics import checks
from nl_forensics.checks.judge import Judge
from nl_forensics.checks.watch import Watch
from nl_forensics.conclusions import postmortem
from nl_forensics.conclusions.timeline import COLUMNS, timeline
from nl_forensics.evidence.case import Case
from nl_forensics.facts.kubernetes.revisions import JUST_BEFORE
from nl_forensics.finding import Findings, Status
from nl_forensics.inputs.parameters import shipped
from tests import recorded
from tests.delivery.test_summary import NOTEBOOK_NAMES, of, summary
from tests.record import stories
from tests.recorded import STORIES, judged, names, recorded_case
from tests.write_golden import GOLDEN, as_text, states

CAUSES = yaml.safe_load((STORIES / "causes.yaml").read_text())
SMALL_ENOUGH = 400_000  # bytes
# Tokens, paths of whoever recorded it, and the passwords of the stack.
NEVER_RECORDED = re.compile(r"eyJ[\w-]{8,}\.|/tmp/|/root/|/home/|/work/|nl-stack-|nl-story-|test-password|of-last-year")


@cache
def story(name: str) -> Case:
    return recorded_case(name)


def test_every_story_is_recorded_and_has_a_cause():
    assert set(names()) == set(stories.registered()) == set(CAUSES)


@pytest.mark.parametrize("name", names())
def test_a_story_is_told_as_it_was(name):
    known = (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    assert as_text(judged(name)) == known, "read the difference, then `make golden`"


@pytest.mark.parametrize("name", [name for name in names() if CAUSES[name].get("check")])
def test_the_cause_is_among_the_first_three_problems(name):
    causes = [CAUSES[name], *filter(None, [CAUSES[name].get("also")])]  # two at once are both among the first
    assert all(is_told(cause, judged(name)) for cause in causes)


def is_told(cause: dict[str, str], findings: Findings) -> bool:
    """In the cause's subject, `*` stands for what each recording names anew: the end of a pod's name."""
    told = findings.problems[:3]
    return any(one.check == cause["check"] and fnmatchcase(one.subject, cause["subject"]) for one in told)


@pytest.mark.parametrize("name", names())
def test_every_story_is_told_in_order(name):
    """Also that of a case in which nothing was seen; and whatever it says of a time is said with how wrong that may be."""
    case, findings = story(name), judged(name)
    rows = timeline(case, findings)
    assert list(rows.columns) == list(COLUMNS)
    assert rows["at"].is_monotonic_increasing
    assert rows["at"].dt.tz is not None
    assert not rows.drop(columns="until").isna().any().any()
    assert (rows["at"].max() - case.incident.end) < pd.Timedelta(minutes=5)
    assert ((rows["at"] >= case.incident.start - JUST_BEFORE) | rows["until"].notna()).all()
    for shown in (postmortem.order, postmortem.detection, postmortem.affected, postmortem.resolved):
        assert "? " in shown(case, findings).words


@pytest.mark.parametrize("name", names())
def test_every_story_is_told_in_ten_lines(name):
    findings = judged(name)
    lines = summary(story(name), findings)
    assert bool(of("affected", lines)) == bool(findings.problems)
    assert bool(of("since", lines)) == bool(findings.problems)
    assert bool(of("verdict", lines)) == (not findings.problems)
    assert bool(of("data gap", lines)) == bool(findings.blind_spots)
    [following] = of("next", lines)
    hints = {f" (or lab, {NOTEBOOK_NAMES[finding.section]})" for finding in findings.problems} or {""}
    assert following in {f"nl-forensics report cases/now-20261124T0310Z{hint}" for hint in hints}


@pytest.mark.parametrize("name", names())
def test_no_check_fails_by_itself(name):
    assert not [finding.because for finding in judged(name) if finding.bug]


@pytest.mark.parametrize("name", ["healthy", "partial", "blind"])
def test_where_nothing_is_wrong_no_problem_is_told(name):
    assert [(finding.check, finding.because) for finding in judged(name).problems] == []


def test_what_is_unknown_of_a_healthy_platform_is_listed_and_true():
    told = {finding.check for finding in judged("healthy").unknowns}
    assert told == CAUSES["healthy"]["unknown"].keys()


def test_what_was_seen_by_halves_is_never_health():
    """Of each question that the story kept from being wholly answered, a rule that reads what is missing is not granted `ok`.

    A rule that reads only columns without a hole has all its evidence.
    """
    halves, case = set(CAUSES["partial"]["halves"]), story("partial")
    passed = {finding.check for finding in judged("partial") if finding.status is Status.OK}
    for check in (checks.load()[name] for name in passed if halves & set(checks.load()[name].needs)):
        watch = Watch()
        Judge(check, case).held_against([case.read(name).whole_rows for name in check.needs], watch)
        tables = [case.read(name) for name in halves & set(check.needs)]
        assert not any(table.gaps or table.holes(watch.columns) for table in tables), check.name


def test_blindness_is_never_health():
    assert {(finding.check, finding.status) for finding in judged("blind")} == {
        (name, Status.UNKNOWN) for name in checks.load()
    }


@pytest.mark.parametrize("name", names())
def test_a_story_is_whole_and_small_and_of_no_machine(name):
    assert recorded_case(name).verify() == []
    assert recorded.archive(name).stat().st_size <= SMALL_ENOUGH
    for path in (path for path in recorded.story(name).rglob("*") if path.is_file()):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert not (found := NEVER_RECORDED.search(content.decode())), f"{path}: {found[0]}"


def test_the_demo_parameters_ask_what_the_demo_case_answers():
    asked = yaml.safe_load(shipped("demo.yaml").read_text())["incident"]
    answered = recorded_case("demo").incident
    moments = {name: f"{getattr(answered, name):%Y-%m-%dT%H:%M:%SZ}" for name in ("start", "end")}
    assert {"id": asked["id"], "start": asked["start"], "end": asked["end"]} == {"id": "demo"} | moments
    assert asked.get("title") == answered.title


@pytest.fixture(scope="module")
def seen() -> dict[Status, set[str]]:
    """The checks that were seen in each state, over stories and specimens (which test_specimens proves to be problems)."""
    found: dict[Status, set[str]] = {status: set() for status in Status}
    for known in map(states, names()):
        for status, seen_in_it in known.items():
            found[status] |= seen_in_it
    found[Status.PROBLEM] |= {recorded.specimen(name)["check"] for name in recorded.specimens()}
    return found


@pytest.mark.parametrize("status", list(Status))
def test_every_check_was_seen_in_every_state(seen, status):
    """A check that can't fire is no check; one that can't be content is an alarm that nobody heeds."""
    assert sorted(checks.load().keys() - seen[status]) == []

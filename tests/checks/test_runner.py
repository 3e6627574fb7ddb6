"""The runner grants `ok`, never a check: what it concludes from whole, partial, holed, altered and missing answers, and when."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.checks import check_limits, check_sections, of_sections, run_checks
from nl_forensics.checks import rule as rules
from nl_forensics.checks.rule import check
from nl_forensics.checks.watch import Watch
from nl_forensics.errors import ParameterError
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import open_round
from nl_forensics.finding import Finding, Findings, Severity, Status, When, changes
from nl_forensics.inputs.parameters import resolve
from nl_forensics.sources import Column, Partial, Permission, Proof, Source, as_rows
from nl_forensics.units import Wording

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
END = START + timedelta(hours=1)
COLUMNS = {"at": sources.UTC, "name": "str", "used_ratio": "float64"}
REACHED = {"system": "str", "clock_offset_s": "float64"}
PLATFORM = {
    "name": "test",
    "systems": {
        "redis": {"main": {"endpoint": "A"}, "second": {"endpoint": "B"}},
        "postgres": "absent",
        "pgbouncer": "absent",
        "prometheus": "absent",
    },
}


EMPTY = [Proof("on")]


def minutes(number):
    return (START + timedelta(minutes=number)).isoformat()


def row(at=10, name="a", used_ratio=0.5):
    return {"at": minutes(at) if at is not None else None, "name": name, "used_ratio": used_ratio}


@pytest.fixture
def laboratory(tmp_path, monkeypatch):
    return Laboratory(tmp_path / "case", monkeypatch)


def _source(**facts):
    usual = {"fetch": None, "parse": as_rows, "readings": 1, "needs": Permission(), "guide": (), "doc": ""}
    return Source(**usual | facts)


class Laboratory:
    """Sources and checks that exist during one test, and a case of answers that are written by hand."""

    def __init__(self, folder, monkeypatch):
        checks.load()
        monkeypatch.setattr(rules, "CHECKS", {})
        monkeypatch.setattr(checks, "CHECKS", rules.CHECKS)
        monkeypatch.setattr(checks, "load", lambda: checks.CHECKS)
        self.folder, self.monkeypatch, self.limits, self.reached = folder, monkeypatch, {}, []
        self.source("events", "ring")

    def source(self, name, covers, system="redis", unknown=(), absent=()):
        needs = Permission(redis="+slowlog|get")
        columns = {
            column: Column(
                dtype,
                absent="it is not there" if column in absent else "",
                unknown="it may be missing" if column in unknown else "",
            )
            for column, dtype in COLUMNS.items()
        }
        made = _source(name=name, system=system, columns=columns, covers=covers, needs=needs, doc="Events.")
        self.monkeypatch.setitem(sources.SOURCES, name, made)

    def answers(self, main, second=EMPTY, source="events", asked=70):
        """A sealed round. `main`, `second`: what each instance answered; an error in place of a list is a refusal."""
        parameters = resolve(
            {
                "incident": {"id": "test", "start": START.isoformat(), "end": END.isoformat()},
                "platform": PLATFORM,
                "limits": self.limits,
            }
        )
        step = open_round(self.folder, parameters)
        for instance, items in (("main", main), ("second", second)):
            if items is not None:
                recording = step.record(source, instance)
                refused = items if isinstance(items, dict) else {}
                recording.write([] if refused else items)
                recording.close(minutes(asked), **refused)
        for instance in ("main", "second") if self.reached else ():
            recording = step.record("systems_reached", f"redis-{instance}")
            recording.write(self.reached)
            recording.close(minutes(asked))
        step.finish()
        step.close()
        return Case(self.folder)

    def clock(self, ahead_s):
        """Both tell the time by a clock that is wrong."""
        columns = {column: Column(dtype) for column, dtype in REACHED.items()}
        made = _source(name="systems_reached", system="any_system", columns=columns, covers="now")
        self.monkeypatch.setitem(sources.SOURCES, "systems_reached", made)
        self.reached = [{"system": "redis", "clock_offset_s": ahead_s}]

    def finding(self, *answers, **options):
        """The one finding on a case with these answers."""
        [finding] = run_checks(self.answers(*answers, **options))
        return finding


@pytest.fixture
def nothing_is_full():
    """Registered by each test, after the laboratory has emptied the registry."""

    def register(at="at", **options):
        @check(
            section="05",
            severity="high",
            subject="{instance}: {name}",
            because="{used_ratio:percent} (limit {max_ratio})",
            at=at,
            **options,
        )
        def nothing_is_full(events, *, max_ratio=0.9):
            """Nothing uses more than {max_ratio:percent}."""
            return events[events.used_ratio > max_ratio].sort_values("used_ratio", ascending=False)

    return register


# --- Health needs whole evidence -------------------------------------------------------------------------------------


def test_whole_answers_are_fine(laboratory, nothing_is_full):
    nothing_is_full()
    finding = laboratory.finding([row()])
    assert (finding.status, finding.because, finding.when) == (Status.OK, "Nothing uses more than 90 %.", When.DURING)
    assert [e.instance for e in finding.evidence] == ["main", "second"]


REFUSED = {"error": "NotAllowed", "why": "NOPERM", "remedy": "allow it"}
BLIND = {
    "nothing recorded": (None, None, "not seen: events of main: was not asked yet", "collect again"),
    "all refused": (REFUSED, REFUSED, "not seen: events of main: NOPERM", "allow it"),
    "one refused": ([row()], REFUSED, "not seen: events of second: NOPERM", "allow it"),
    "one not asked": ([row()], None, "not seen: events of second: was not asked yet", "collect again"),
    "empty without proof": ([], [], "not seen: events of main: is empty, and nothing proves that it was measured", ""),
    "one empty without proof": ([row()], [], "not seen: events of second: is empty, and nothing proves that it was measured", ""),
    "partial": ([row(), Partial("before 14:20", "a longer ring")], EMPTY, "not seen: events of main: before 14:20", "a longer ring"),
    "a hole": ([row(), row(used_ratio=None)], EMPTY, "not seen: events: 1 of 2 rows lack used_ratio", "allow the user +slowlog|get"),
    "unreadable": ([{"at": "yesterday"}], EMPTY, "not seen: events of main: events can't be read", "collect again"),
}  # fmt: skip


@pytest.mark.parametrize("how", BLIND)
def test_what_is_not_seen_is_unknown(laboratory, nothing_is_full, how):
    nothing_is_full()
    main, second, because, remedy = BLIND[how]
    finding = laboratory.finding(main, second)
    assert finding.status is Status.UNKNOWN
    assert finding.because.startswith(because)
    assert finding.remedy == remedy
    assert not finding.bug


def test_custody_keeps_the_key_by_which_sealed_cases_recorded_a_remedy(laboratory):
    case = laboratory.answers([row()], REFUSED)
    [refused] = [event for event in case.rounds[-1].events() if event.get("error")]
    assert refused["closes"] == "allow it"
    assert case.gaps("events")[0].remedy == "allow it"


def _is_ok(laboratory, *rows, **nulls):
    """Whether a rule about `used_ratio` of the rows that are named is granted `ok` over them."""
    laboratory.source("events", "ring", **nulls)

    @check(section="05", severity="high", subject="{name}", because="full")
    def nothing_that_is_named_is_full(events):
        """Nothing that is named is full."""
        named = events[events.name != ""]
        return named[named.used_ratio > 0.9]

    finding = laboratory.finding(list(rows))
    assert finding.status in (Status.OK, Status.UNKNOWN)
    return finding.status is Status.OK or finding.because


def test_a_null_that_a_rule_reads_is_a_gap_where_it_may_hide_a_value(laboratory):
    because = _is_ok(laboratory, row(), row(used_ratio=None), unknown=("used_ratio",))
    assert because == "not seen: events: 1 of 2 rows lack used_ratio: it may be missing"


def test_a_null_that_is_a_value_is_no_gap(laboratory):
    assert _is_ok(laboratory, row(), row(used_ratio=None), absent=("used_ratio",)) is True


def test_a_null_in_a_row_that_the_rule_filtered_away_is_not_read(laboratory):
    assert _is_ok(laboratory, row(), row(name="", used_ratio=None), unknown=("used_ratio",)) is True


def test_a_hole_in_a_column_that_a_rule_does_not_read_costs_no_evidence(laboratory):
    assert _is_ok(laboratory, row(), row(at=None)) is True


def test_a_row_with_a_hole_where_the_rule_does_not_read_can_prove_a_problem(laboratory, nothing_is_full):
    nothing_is_full(at="")
    finding = laboratory.finding([row(), row(at=None, name="b", used_ratio=0.99)])
    assert (finding.status, finding.subject) == (Status.PROBLEM, "main: b")
    assert not finding.partial


def _read_by(rule) -> set[str]:
    """The columns in which a rule meets a null."""
    watch = Watch()
    rule(watch.over(pd.DataFrame({"key": [1, 1, 2], "x": [1.0, None, 3.0], "y": [1.0, None, 3.0]})))
    return watch.nulls


@pytest.mark.parametrize(
    "rule",
    [
        lambda t: t.x > 1,
        lambda t: t.loc[t.key == 1, "x"],
        lambda t: t.assign(z=1).x,
        lambda t: t[["key", "x"]],
        lambda t: t.groupby("key").x.sum(),
        lambda t: t.groupby("key").agg(most=("x", "max")),
        lambda t: t.sort_values("key").drop_duplicates("x"),
        lambda t: t.merge(pd.DataFrame({"key": [1], "z": [1]}), on="key").x,
        lambda t: pd.concat([t, t]).x,
        lambda t: t.rename(columns={"x": "z"}).z,
        lambda t: [row.x for row in t.itertuples()],
        lambda t: [list(row) for row in t[["x"]].itertuples()],
        lambda t: [row["x"] for row in t.to_dict("records")],
        lambda t: t.set_index("key").x,
    ],
)
def test_whatever_way_a_rule_reads_a_column_is_noted(rule):
    assert "x" in _read_by(rule)


@pytest.mark.parametrize(
    "rule",
    [
        lambda t: t[t.key == 2].x,
        lambda t: t.assign(z=t.key),
        lambda t: [row.key for row in t.itertuples()],
        lambda t: [row["key"] for row in t.to_dict("records")],
    ],
)
def test_what_a_rule_does_not_read_is_not_noted(rule):
    assert _read_by(rule) == set()


@pytest.mark.parametrize(
    ("ahead_s", "at", "asked", "when"),
    [
        (0, 10, 70, When.DURING),
        (-1200, -10, 50, When.DURING),  # ten minutes into the incident, by a clock that is 20 minutes behind
        (1200, 70, 90, When.DURING),
        (1200, 10, 90, When.BEFORE),
        (1, 10, 70, When.DURING),
    ],
)
def test_what_a_wrong_clock_dates_is_placed_by_ours(laboratory, nothing_is_full, ahead_s, at, asked, when):
    nothing_is_full()
    laboratory.clock(ahead_s)
    assert laboratory.finding([row(at=at, used_ratio=0.99)], asked=asked).when == when


@pytest.mark.parametrize(("ahead_s", "when"), [(0, When.AFTER), (1200, When.DURING)])
def test_what_shows_only_now_is_fine_for_the_time_of_our_clock(laboratory, nothing_is_full, ahead_s, when):
    laboratory.source("events", "now")
    nothing_is_full()
    laboratory.clock(ahead_s)
    assert laboratory.finding([row()], asked=75).when == when


@pytest.mark.parametrize("gap", [Partial("before 14:20"), row(name="hole", used_ratio=None)])
def test_a_partial_or_holed_table_can_prove_a_problem(laboratory, nothing_is_full, gap):
    nothing_is_full()
    finding = laboratory.finding([row(used_ratio=0.99), gap], REFUSED)
    assert finding.status is Status.PROBLEM
    assert finding.because == "99 % (limit 0.9); partial data: there may be more"
    assert list(finding.rows.name) == ["a"]


def test_what_broke_its_rule_before_the_incident_too_is_recurring(laboratory, nothing_is_full):
    nothing_is_full()
    full, before = row(used_ratio=0.99), row(used_ratio=0.99, at=-10)
    assert not laboratory.finding([full]).recurring
    found = laboratory.finding([before, full])
    assert found.recurring
    assert found.when == When.DURING
    assert len(found.rows) == 1


def test_findings_on_one_component_are_counted_together():
    one, other = replace(PROBLEM, component="shop/billing"), replace(PROBLEM, check="b", component="shop/billing")
    assert Findings([one, other]).counts() == "2 findings on 1 component · 0 undetermined · 0 passed"
    assert Findings([FINE]).counts() == "0 findings · 0 undetermined · 1 passed"
    assert list(Findings([one, other]).by_component()) == ["shop/billing"]


def test_a_gap_in_the_baseline_matters_only_to_who_compares(laboratory, nothing_is_full):
    nothing_is_full()
    gap = Partial("baseline: nothing", window="baseline")
    assert laboratory.finding([row(), gap]).status is Status.OK


def test_a_gap_in_the_baseline_blinds_a_comparison(laboratory, nothing_is_full):
    nothing_is_full(baseline=True)
    assert laboratory.finding([row(), Partial("baseline: nothing", window="baseline")]).status is Status.UNKNOWN


def test_an_altered_answer_is_unknown(laboratory, nothing_is_full):
    nothing_is_full()
    case = laboratory.answers([row()])
    (case.folder / case.answers["events"]["main"].file).write_bytes(b"x")
    [finding] = run_checks(case)
    assert finding.status is Status.UNKNOWN
    assert "was altered or removed after it was recorded" in finding.because


def test_an_absent_system_is_out_of_scope(laboratory):
    laboratory.source("locks", "now", system="postgres")

    @check(section="05", severity="high", subject="x", because="x")
    def nobody_waits(locks):
        """Nobody waits."""
        return locks

    assert run_checks(laboratory.answers([row()])) == []


# --- When ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "when"),
    [(-5, When.BEFORE), (0, When.DURING), (59, When.DURING), (61, When.DURING), (63, When.AFTER), (None, When.UNDATED)],
)
def test_an_event_is_placed_in_time(laboratory, nothing_is_full, at, when):
    laboratory.source("events", "ring", absent=("at",))
    nothing_is_full()
    assert laboratory.finding([row(at, used_ratio=0.99)]).when is when


@pytest.mark.parametrize(
    ("at", "asked", "when"),
    [
        (-5, 61, When.ONGOING),  # it lasts until it was asked
        (30, 90, When.ONGOING),
        (70, 90, When.AFTER),
        (None, 61, When.ONGOING),
        (None, 90, When.AFTER),  # nobody knows since when: it is as old as the answer at least
    ],
)
def test_a_state_lasts_until_it_was_asked(laboratory, nothing_is_full, at, asked, when):
    laboratory.source("events", "now", absent=("at",))
    nothing_is_full()
    assert laboratory.finding([row(at, used_ratio=0.99)], asked=asked).when is when


@pytest.mark.parametrize(("covers", "when"), [("now", When.AFTER), ("since", When.UNDATED), ("ring", When.UNDATED)])
def test_a_rule_without_a_time(laboratory, nothing_is_full, covers, when):
    laboratory.source("events", covers)
    nothing_is_full(at="")
    assert laboratory.finding([row(used_ratio=0.99)]).when is when


def test_history_is_told_but_no_problem_of_this_incident(laboratory, nothing_is_full):
    nothing_is_full()
    findings = run_checks(laboratory.answers([row(-5, used_ratio=0.99)]))
    assert findings.problems == []
    assert [f.when for f in findings.notes] == [When.BEFORE]
    assert findings.exit_code() == 0


def test_a_fault_in_the_window_hides_its_history(laboratory, nothing_is_full):
    nothing_is_full()
    finding = laboratory.finding([row(-5, used_ratio=0.99), row(5, used_ratio=0.95), row(7, used_ratio=0.96)])
    assert finding.when is When.DURING
    assert finding.at == pd.Timestamp(minutes(5))
    assert finding.because == "96 % (limit 0.9), and 1 more"
    assert len(finding.rows) == 2


@pytest.mark.parametrize(
    ("asked", "told", "code"),
    [
        (61, "", 0),  # two minutes later is still the window
        (80, " (at {:%Y-%m-%d %H:%M} UTC, 20 min after the window)", 3),
    ],
)
def test_fine_only_after_the_window_is_no_clean_bill(laboratory, nothing_is_full, asked, told, code):
    laboratory.source("events", "now")
    nothing_is_full()
    findings = run_checks(laboratory.answers([row()], asked=asked))
    assert findings[0].because == "Nothing uses more than 90 %." + told.format(START + timedelta(minutes=asked))
    assert findings.exit_code() == code


# --- One finding per subject -----------------------------------------------------------------------------------------


def test_one_finding_per_subject_worst_first(laboratory, nothing_is_full):
    nothing_is_full()
    case = laboratory.answers(
        [row(name="b", used_ratio=0.95), row(name="a", used_ratio=0.91), row(name="b", used_ratio=0.99)]
    )
    found = [(f.subject, f.because) for f in run_checks(case)]
    assert found == [("main: a", "91 % (limit 0.9)"), ("main: b", "99 % (limit 0.9), and 1 more")]


def test_each_row_is_graded(laboratory):
    @check(section="05", severity="note", critical="used_ratio > 0.9", subject="{name}", because="full")
    def nothing_is_full(events):
        """Nothing is full."""
        return events

    findings = run_checks(laboratory.answers([row(name="a", used_ratio=0.5), row(name="b", used_ratio=0.95)]))
    assert [(f.subject, f.severity, f.is_of_the_incident) for f in findings] == [
        ("b", Severity.CRITICAL, True),
        ("a", Severity.NOTE, False),
    ]
    assert findings.exit_code() == 1


# --- Limits ----------------------------------------------------------------------------------------------------------


def test_a_limit_of_ones_own_is_used_and_told(laboratory, nothing_is_full):
    nothing_is_full()
    laboratory.limits = {"nothing_is_full": {"max_ratio": 0.4}}
    finding = laboratory.finding([row()])
    assert finding.because == "50 % (limit 0.4)"
    assert finding.limits == {"max_ratio": 0.4}


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"nothing_is_ful": {}}, "limits.nothing_is_ful: no such check: did you mean nothing_is_full?"),
        ({"nothing_is_full": {"max": 1}}, "limits.nothing_is_full.max: nothing_is_full has max_ratio"),
    ],
)
def test_unknown_limits(laboratory, nothing_is_full, limits, said):
    nothing_is_full()
    with pytest.raises(ParameterError) as error:
        check_limits(limits)
    assert str(error.value) == said


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), "many", None])
def test_a_limit_is_a_number(limit):
    """With NaN for a limit nothing is ever above it, and everything would be fine."""
    incident = {"id": "test", "start": START.isoformat()}
    with pytest.raises(ParameterError, match=r"limits\.nothing_is_full\.max_ratio: Input should be a"):
        resolve({"incident": incident, "platform": PLATFORM, "limits": {"nothing_is_full": {"max_ratio": limit}}})


def test_a_section_without_checks(laboratory, nothing_is_full):
    nothing_is_full()
    check_sections(["05"])
    with pytest.raises(ParameterError, match="there is no section 99: choose from 01, 05, 11"):
        check_sections(["05", "99"])


def test_a_section_that_is_about_all_judges_all(laboratory, nothing_is_full):
    nothing_is_full()
    check_sections(["01", "11"])
    every = of_sections([])
    assert every == of_sections(["11"]) == of_sections(["01", "03"])
    assert of_sections(["03"]) == [], "the laboratory has one check, of section 05"


# --- A bug of ours ---------------------------------------------------------------------------------------------------


def broken(events):
    raise ZeroDivisionError("division by zero")


BUGS = {
    "raises": (broken, "{name}", "ZeroDivisionError: division by zero"),
    "names a column that is not there": (lambda events: events, "{nme}", "KeyError: 'nme'"),
    "returns no table": (lambda events: None, "{name}", "TypeError"),
}


@pytest.mark.parametrize("how", BUGS)
def test_a_check_that_fails_is_our_bug_and_no_news_about_the_system(laboratory, how):
    rule, subject, because = BUGS[how]

    def nothing_is_full(events):
        """Nothing is full."""
        return rule(events)

    check(section="05", severity="high", subject=subject, because="full")(nothing_is_full)
    findings = run_checks(laboratory.answers([row()]))
    assert findings[0].status is Status.UNKNOWN
    assert findings[0].because.startswith("the check itself failed, which is a bug of nl_forensics")
    assert because in findings[0].because
    assert findings.exit_code() == 4


def test_a_source_that_failed_is_our_bug(laboratory, nothing_is_full):
    nothing_is_full()
    findings = run_checks(laboratory.answers({"error": "Bug", "why": "KeyError: 'x'"}))
    assert findings[0].status is Status.UNKNOWN
    assert findings.exit_code() == 4


# --- Findings --------------------------------------------------------------------------------------------------------


def told(status, check="a", severity="", when="", remedy="", because="because", bug=False):
    return Finding(check, "05", status, "subject", because, severity=severity, when=when, remedy=remedy, bug=bug)


PROBLEM = told(Status.PROBLEM, severity=Severity.HIGH, when=When.DURING)
HISTORY = told(Status.PROBLEM, severity=Severity.CRITICAL, when=When.BEFORE)
NOTE = told(Status.PROBLEM, severity=Severity.NOTE, when=When.ONGOING)
UNKNOWN = told(Status.UNKNOWN)
FINE = told(Status.OK, when=When.DURING)
FINE_LATER = told(Status.OK, when=When.AFTER)
BUG = told(Status.UNKNOWN, bug=True)


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([], 3),  # nothing was judged
        ([FINE], 0),
        ([FINE, NOTE, HISTORY], 0),
        ([FINE, FINE_LATER], 3),
        ([FINE, UNKNOWN], 3),
        ([FINE, UNKNOWN, PROBLEM], 1),
        ([PROBLEM, BUG], 4),
    ],
)
def test_exit_code(findings, code):
    assert Findings(findings).exit_code() == code


@pytest.mark.parametrize(
    ("before", "now", "what"),
    [
        ([PROBLEM], [FINE], ["resolved"]),
        ([FINE], [PROBLEM], ["new"]),
        ([UNKNOWN], [PROBLEM], ["new"]),
        ([PROBLEM], [UNKNOWN], ["now undetermined"]),  # a gap resolves nothing
        ([PROBLEM], [PROBLEM], []),
        ([NOTE, HISTORY], [FINE], []),
    ],
)
def test_what_became_of_a_problem(before, now, what):
    assert [change.what for change in changes(Findings(before), Findings(now))] == what


def test_worst_first():
    ordered = Findings([FINE, UNKNOWN, NOTE, HISTORY, PROBLEM])
    assert list(ordered) == [PROBLEM, NOTE, HISTORY, UNKNOWN, FINE]


def test_gaps_are_grouped_by_what_would_close_them():
    gaps = Findings(
        [
            told(Status.UNKNOWN, check="a", remedy="grant it"),
            told(Status.UNKNOWN, check="b", remedy="grant it"),
            told(Status.UNKNOWN, check="c", because="not seen: anything"),
            told(Status.UNKNOWN, check="d", because="not seen: something"),
            FINE,
        ]
    ).gaps()
    assert list(gaps["remedy"]) == ["grant it", *["no remedy: not available in this configuration"] * 2]
    assert list(gaps.checks) == [2, 1, 1]
    assert list(gaps["data gap"]) == ["because", "anything", "something"]
    assert list(gaps.undetermined) == ["a, b", "c", "d"]


@pytest.mark.parametrize(
    ("findings", "verdict"),
    [
        ([FINE, NOTE], "No problem found; coverage is complete."),
        (
            [FINE, FINE_LATER],
            "No problem found, but 1 check passed only on data from after the incident.",
        ),
        ([FINE, UNKNOWN], "No problem found in the data available; coverage is incomplete."),
        ([PROBLEM, HISTORY, UNKNOWN], "subject: because."),
        ([], "No check applies: the platform has none of the systems of this section."),
    ],
)
def test_verdict(findings, verdict):
    assert Findings(findings).verdict() == verdict


def test_counts():
    counted = Findings([PROBLEM, HISTORY, UNKNOWN, FINE, FINE_LATER]).counts()
    assert counted == "1 finding on 1 component · 1 undetermined · 2 passed (1 of these only after the incident)"


def test_findings_are_json_whatever_the_rows_hold():
    rows = pd.DataFrame(
        {"at": [pd.Timestamp(START), pd.NaT], "number": [float("inf"), float("nan")], "text": ["a", None]}
    )
    finding = Finding("a", "05", Status.PROBLEM, "s", "b", rows=rows)
    assert json.loads(json.dumps(finding.as_json(), allow_nan=False))["rows"] == [
        {"at": START.isoformat(), "number": None, "text": "a"},
        {"at": None, "number": None, "text": None},
    ]


# --- Words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "value", "said"),
    [
        ("{x:bytes}", 0, "0 B"),
        ("{x:bytes}", 1023, "1023 B"),
        ("{x:bytes}", 1536, "1.5 KiB"),
        ("{x:bytes}", 300 * 1024**2, "300 MiB"),
        ("{x:bytes}", 2.0**60, "1024 PiB"),
        ("{x:seconds}", 0.25, "250 ms"),
        ("{x:seconds}", 5, "5 s"),
        ("{x:seconds}", 5.25, "5.2 s"),
        ("{x:seconds}", 60, "1 min"),
        ("{x:seconds}", 11520, "3 h 12 min"),
        ("{x:seconds}", 90000, "1 d 1 h"),
        ("{x:percent}", 0.87, "87 %"),
        ("{x:percent}", 0.045, "4.5 %"),
        ("{x:percent}", 0, "0 %"),
        ("{x:number}", 1234567, "1,234,567"),
        ("{x:.1f}", 1.25, "1.2"),
        ("{x}", "as it is", "as it is"),
        ("{x:%H:%M}", datetime(2026, 11, 3, 14, 5, tzinfo=UTC), "14:05"),
        ("{x:bytes}", None, "unknown"),
        ("{x:%H:%M}", pd.NaT, "unknown"),
        ("{x:number}", pd.NA, "unknown"),
    ],
)
def test_wording(template, value, said):
    assert Wording(template).of({"x": value}) == said


def test_wording_of_a_value_that_looks_like_a_template():
    assert Wording("{x}").of({"x": "{y}"}) == "{y}"

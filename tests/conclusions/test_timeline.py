"""What happened, in which order, by one clock, and what a postmortem makes of it. That it holds of every story is tested beside them."""

import json
import shutil
from functools import cache

import pandas as pd

from nl_forensics import cli, sources
from nl_forensics.checks import run_checks
from nl_forensics.conclusions import postmortem
from nl_forensics.conclusions.timeline import SOURCES, Kind, timeline
from nl_forensics.delivery.report import report
from nl_forensics.delivery.ten_lines import ten_lines
from nl_forensics.evidence.case import Case
from nl_forensics.facts.entities import ROLLOUT, onset
from nl_forensics.finding import Findings, Severity
from tests import recorded
from tests.charts.test_charts import case_of
from tests.charts.test_tables import answers_of

BILLING, SESSION = "neurallog-system/billing-service", "postgres/main, billing-service (app@neurallog)"


@cache
def story(name) -> tuple[Case, Findings]:
    return recorded.recorded_case(name), recorded.judged(name)


def told(rows: pd.DataFrame, kind: Kind, component: str) -> pd.DataFrame:
    return rows[(rows["kind"] == kind) & (rows["component"] == component)]


def test_a_change_stands_before_what_it_broke():
    rows = timeline(*story("demo"))
    [change] = told(rows, Kind.CHANGED, BILLING).itertuples()
    assert change.words.startswith("revision 2 was rolled out, image: ")
    broken = rows[rows["kind"] == Kind.FOUND]
    assert (broken[broken["component"].isin([BILLING, SESSION])]["at"] > change.at).all()
    assert len(told(rows, Kind.FOUND, SESSION)) == 1


def test_a_rollout_is_told_once_as_what_it_is():
    """Not as a write to its deployment, too, nor as a problem."""
    case, findings = story("bad_rollout")
    rows = timeline(case, findings)
    assert "no_rollout_precedes_a_symptom" in {finding.check for finding in findings.problems}
    assert len(told(rows, Kind.CHANGED, "neurallog-system/api-gateway")) == 1
    assert not told(rows, Kind.FOUND, "neurallog-system/api-gateway")["words"].str.contains("rolled out").any()


def test_what_somebody_wrote_by_hand_is_named():
    rows = timeline(*story("config_changed"))
    [write] = told(rows, Kind.CHANGED, "neurallog-system/auth-service-settings").itertuples()
    assert write.words.startswith("kubectl-patch wrote configmaps neurallog-system/auth-service-settings (data.")


def test_writes_that_follow_one_another_are_one_change():
    rows = timeline(*story("demo"))
    [operator] = told(rows, Kind.CHANGED, "with neurallog-operator").itertuples()
    assert operator.words.startswith("neurallog-operator made 27 objects, the last of them ")
    assert operator.until > operator.at


def test_warnings_of_two_revisions_are_told_apart():
    """The startup probes of the old pod, before the incident, and the readiness probe of the new one."""
    case, findings = story("demo")
    warned = told(timeline(case, findings), Kind.WARNED, BILLING)
    [old, *_, new] = warned.itertuples()
    assert old.at < case.incident.start < new.at
    assert new.words.startswith("Unhealthy, 25 times: Readiness probe failed: ")


def test_a_lost_node_is_one_thing_by_whomever_it_is_told():
    rows = timeline(*story("node_lost"))
    assert set(rows[rows["component"] == "worker-1"]["kind"]) >= {Kind.ENDED, Kind.FOUND}
    [alert] = told(rows, Kind.ALERTED, "alert TargetDown").itertuples()
    assert alert.at > told(rows, Kind.ENDED, "worker-1")["at"].iloc[0]
    assert alert.until > alert.at


def test_an_alert_that_always_fires_is_no_event():
    case, findings = story("demo")
    assert "Watchdog" in set(case.read("prom_alert_history").rows["alert"])
    assert not (timeline(case, findings)["kind"] == Kind.ALERTED).any()


def test_an_alert_that_fired_before_is_no_event_and_one_that_begins_is(tmp_path):
    records = [
        fired("Old", "incident", "2026-11-03T14:00:05Z"),
        fired("Old", "baseline", "2026-11-03T12:00:05Z"),
        fired("New", "incident", "2026-11-03T14:10:00Z"),
        fired("Since when", "incident", "2026-11-03T14:00:05Z"),
    ]
    case = case_of(tmp_path, {"prom_alert_history": {"records": records, "proof": "ALERTS was asked for"}})
    rows = timeline(case, Findings([]))
    assert list(rows["component"]) == ["alert Since when", "alert New", "nl_forensics"]
    assert rows["words"][0].startswith("was firing when the window began (job=api, severity=high) (")
    assert rows["words"][1].startswith("fired (job=api, severity=high) (")


def fired(name, window, at) -> dict:
    """An answer of Prometheus for ALERTS."""
    first, labels = pd.Timestamp(at).timestamp(), {"alertname": name, "alertstate": "firing", "severity": "high"}
    values = [[first + step, "1"] for step in (0, 15, 30)]
    return {"window": window, "interval_s": 15, "metric": labels | {"job": "api"}, "values": values}


def test_a_clock_that_is_wrong_is_set_right_and_said_to_be():
    case, findings = story("clock_skew")
    rows = timeline(case, findings)
    slow = rows[rows["component"].str.match("redis.main")]
    assert len(slow)
    assert (slow["at"] > case.incident.start).all(), "its own clock is 10 min behind"
    assert slow["words"].str.endswith("(its clock is 10 min behind)").all()


def test_how_wrong_a_time_can_be():
    error_s = timeline(*story("demo")).groupby("source")["error_s"].max()
    assert error_s["pg_blocking"] < 0.1
    assert 1 < error_s["k8s_replica_sets"] < 2, "whole seconds, and what its clock may be wrong"
    assert 15 < error_s["prom_service_requests"] < 16, "a step of the series, and what its clock may be wrong"


def test_a_clock_that_was_not_measured_is_unknown_and_not_exact(tmp_path):
    answers = answers_of("killed_for_memory")
    case = case_of(tmp_path, answers, asked_at=max(answer["asked_at"] for answer in answers.values()))
    findings = run_checks(case, ("06",))
    rows = timeline(case, findings)
    of_kubernetes = rows[rows["source"] != ""]
    assert of_kubernetes["error_s"].isna().all() and len(of_kubernetes)
    assert of_kubernetes["words"].str.endswith(" (the offset of its clock is unknown)").all()
    assert (rows[rows["source"] == ""]["error_s"] == 0).all(), "our own clock"
    assert "unknown" in set(postmortem.order(case, findings).rows["± s"])
    collected = postmortem.detection(case, findings).rows.set_index("").loc["collected"]
    assert collected["after the first symptom"] == "order unknown: the offset of a clock is unknown"


def test_what_people_note_stands_among_the_rest(tmp_path):
    shutil.copytree(recorded.story("demo"), tmp_path / "case")
    Case(tmp_path / "case").note("rolled back")
    case, findings = Case(tmp_path / "case"), story("demo")[1]
    rows = timeline(case, findings)
    assert rows.iloc[-1][["kind", "words"]].tolist() == [Kind.SAID, "rolled back"]
    assert (rows["kind"] == Kind.ASKED).sum() == 1, "a note is a round in which nobody was asked"
    noticed = postmortem.detection(case, findings).rows.set_index("")
    assert noticed.loc["the first note", "which"].endswith(": rolled back")


def test_where_every_system_refused_only_our_question_is_known(tmp_path):
    case = case_of(tmp_path, {}, refused=sources.load())
    findings = run_checks(case)
    assert list(timeline(case, findings)["kind"]) == [Kind.ASKED]
    assert "checks undetermined; k8s_replica_sets of main: connection refused" in postmortem.order(case, findings).words
    assert "In the data available, nothing that is dated happened." in postmortem.what_happened(case, findings).words
    assert "No problem is dated. Data gaps: " in postmortem.detection(case, findings).words


def test_the_first_sign_is_set_against_change_alert_and_note():
    steps = postmortem.detection(*story("demo")).rows.set_index("")
    assert steps.loc["the first symptom", "which"].startswith(f"{SESSION}: pid ")
    assert steps.loc["the last change before it", "which"].startswith(f"{BILLING}: revision 2 was rolled out")
    assert steps.loc["the last change before it", "after the first symptom"] == "1 min 30 s before"
    assert steps.loc["the first alert after it", "UTC"] == "none fired"
    assert steps.loc["the first note", "UTC"] == "none written"
    alerted = postmortem.detection(*story("node_lost")).rows.set_index("").loc["the first alert after it"]
    assert alerted["after the first symptom"].endswith(" after")
    assert "alert TargetDown" in alerted["which"]


def test_which_of_two_came_first_is_not_known_within_the_error_of_their_clocks():
    steps = postmortem.detection(*story("out_of_memory")).rows.set_index("")
    assert steps.loc["the last change before it", "after the first symptom"].startswith("at about the same time (± 3.")


def test_alerts_that_were_not_seen_are_not_denied(tmp_path):
    answers = answers_of("killed_for_memory")
    asked_at = max(answer["asked_at"] for answer in answers.values())
    case = case_of(tmp_path, answers, refused=["prom_alert_history"], asked_at=asked_at)
    steps = postmortem.detection(case, run_checks(case)).rows.set_index("")
    assert steps.loc["the first symptom", "UTC"]
    assert steps.loc["the first alert after it", "UTC"] == "undetermined"


def test_ten_findings_about_one_workload_are_one_thing():
    case, findings = story("demo")
    rows = postmortem.affected(case, findings).rows.set_index("component")
    assert rows["findings"].sum() == len(findings.problems)
    assert rows.loc[BILLING, "findings"] > 5
    assert rows.index[-1] == "postgres/main, Lock", "without a time it stands last"
    assert rows.loc[BILLING, "now"] == "ongoing"


def test_a_command_that_was_as_slow_before_the_incident_is_not_where_to_begin():
    case, findings = story("config_changed")
    [slow] = [one for one in findings.problems if one.subject == "redis/main, SCAN"]
    assert slow.recurring
    rows = postmortem.affected(case, findings).rows
    assert rows["component"].iloc[0] != "redis/main, SCAN"
    assert rows.set_index("component").loc["redis/main, SCAN", "now"] == "during the incident, and before it"
    assert onset(case, findings).finding.component == rows["component"].iloc[0]
    [top, *_] = postmortem.what_happened(case, findings).words.split("; ")
    assert "redis" not in top


def test_every_broken_rule_says_how_to_look_again():
    case, findings = story("demo")
    rows = postmortem.resolved(case, findings).rows
    assert len(rows) == len({finding.check for finding in findings.problems})
    asked = {word for words in rows["check again"] for word in words.split()[3:] if word != "--again"}
    assert asked <= sources.load().keys()


def test_nothing_wrong_is_told_in_words():
    case, findings = story("healthy")
    assert not findings.problems
    assert "No rule is broken in the data available." in postmortem.resolved(case, findings).words
    assert "None in the data available." in postmortem.affected(case, findings).words


def test_the_command_prints_what_the_notebook_shows(capsys):
    assert cli.run(["timeline", "demo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = timeline(*story("demo"))
    assert len(lines) == len(rows) + 1
    assert lines[-2].endswith("asked  nl_forensics: round 1 was collected")
    assert lines[-1] == "data gap: 20 checks undetermined"
    assert cli.run(["timeline", "demo", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["words"] for one in said["timeline"]] == list(rows["words"])
    assert said["gaps"] == ["20 checks undetermined"]


def test_the_command_tells_what_was_not_seen_and_hides_no_letters(tmp_path, capsys):
    case = case_of(tmp_path / "case", {}, refused=SOURCES)
    case.note("\x1b[2J\u202egone")
    assert cli.run(["timeline", str(tmp_path / "case")]) == 0
    said = capsys.readouterr().out
    assert "data gap: k8s_events of main: connection refused" in said
    assert all(line.isprintable() for line in said.splitlines())


def test_the_report_begins_with_the_postmortem_which_is_about_all_sections(tmp_path):
    case, findings = story("demo")
    judged = report(case, tmp_path, ("11",))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [one.check for one in judged] == [one.check for one in findings]
    assert page.index('id="section-11"') < page.index('id="problems"')
    assert page.count('id="section-11"') == 1
    assert "This notebook failed" not in page
    assert "nl_forensics: round 1 was collected" in page


def test_an_outage_begins_with_what_is_severe_not_with_a_slow_command():
    case, findings = story("pool_exhausted")
    first = onset(case, findings)
    assert first.finding.severity == Severity.CRITICAL
    assert first.finding.subject == "neurallog-system/billing-service"
    slow = [one for one in findings.problems if one.subject.startswith("redis/main") and one.at < first.at]
    assert slow, "a medium problem of Redis is dated before it, and does not count"


def test_a_change_that_is_blamed_is_no_symptom():
    case, findings = story("bad_rollout")
    assert ROLLOUT in {finding.check for finding in findings.problems}
    assert onset(case, findings).finding.check != ROLLOUT


def test_a_blamed_change_dates_the_onset_where_nothing_else_is_dated():
    case, findings = story("bad_rollout")
    alone = Findings(finding for finding in findings if finding.check == ROLLOUT)
    assert onset(case, alone).finding.check == ROLLOUT


def test_the_ten_lines_and_the_postmortem_begin_with_the_same_moment():
    case, findings = story("pool_exhausted")
    at = f"{onset(case, findings).at:%Y-%m-%d %H:%M:%S}"
    [since] = [line for line in ten_lines(case, findings, "cases/x", {}) if line.startswith("since")]
    assert at in since
    assert postmortem.detection(case, findings).rows.set_index("").loc["the first symptom", "UTC"] in f"{at} UTC"

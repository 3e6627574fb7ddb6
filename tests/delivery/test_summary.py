"""Ten lines for a chat: short and plain. That they are true of every story is tested beside the stories."""

from datetime import datetime, timedelta

from nl_forensics.checks import run_checks
from nl_forensics.delivery.report import notebooks
from nl_forensics.delivery.ten_lines import ten_lines
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import open_round
from nl_forensics.finding import Findings
from nl_forensics.inputs.incident import Incident
from nl_forensics.inputs.parameters import Parameters
from nl_forensics.sources import Partial, Proof
from tests.asking import platform
from tests.cli.test_triage import SYSTEMS
from tests.recorded import judged, recorded_case, specimen

NOTEBOOK_NAMES = {section: path.name for section, path in notebooks().items()}


def summary(case, findings=None) -> list[str]:
    lines = ten_lines(case, findings or run_checks(case), "cases/now-20261124T0310Z", NOTEBOOK_NAMES)
    assert len(lines) <= 10
    assert all(len(line) <= 110 and line.isprintable() for line in lines)
    return lines


def of(label, lines) -> list[str]:
    return [line.removeprefix(label).strip() for line in lines if line.startswith(f"{label} ")]


def with_specimens(folder, *names, left_out=None, changed=None) -> Case:
    """A case of Kubernetes alone, in which only the tables of these specimens were answered."""
    answers = {}
    for name in names:
        answers |= specimen(name)["answers"]
    end = datetime.fromisoformat(max(answer["asked_at"] for answer in answers.values()))
    asked = Parameters(
        incident=Incident(id="now", start=(end - timedelta(minutes=30)).isoformat(), end=end.isoformat()),
        platform=platform(
            systems=dict.fromkeys(SYSTEMS, "absent") | {"kubernetes": SYSTEMS["kubernetes"]}, left_out=left_out or {}
        ),
    )
    step = open_round(folder / "case", asked)
    for name, answer in answers.items():
        recording = step.record(name, "main")
        recording.write(map(changed or dict, answer["records"]))
        recording.write([*(Partial(*part) for part in answer["partial"]), Proof(answer["proof"])])
        recording.close(answer["asked_at"])
    step.close()
    return Case(folder / "case")


def test_the_root_of_a_lock_chain_comes_first():
    lines = summary(recorded_case("lock_chain"), judged("lock_chain"))
    assert of("affected", lines)[0].startswith("postgres/main, billing-service (app@neurallog) (critical): ")
    assert of("changed", lines)[0].startswith("undetermined: Kubernetes was not queried")


def test_a_case_without_data_is_not_called_healthy():
    lines = summary(recorded_case("blind"), judged("blind"))
    assert "all that matters for it was seen" not in " ".join(lines)
    assert of("data gap", lines)


def test_findings_about_one_workload_are_one_line_and_the_rollout_is_listed(tmp_path):
    case = with_specimens(tmp_path, "new_revision_crashes")
    assert len(run_checks(case).problems) > 1
    lines = summary(case)
    [broken] = of("affected", lines)
    assert broken.startswith("neurallog-system/api-gateway (high): ")
    assert broken.endswith("findings)")
    assert "revision 2" not in broken
    [changed] = of("changed", lines)
    assert "UTC neurallog-system/api-gateway rolled out: " in changed
    assert of("since", lines)[0].endswith("(earliest symptom): neurallog-system/api-gateway")
    assert of("next", lines)[0].endswith(f"(or lab, {NOTEBOOK_NAMES['06']})")


def test_a_config_map_that_was_edited_is_listed(tmp_path):
    [changed] = of("changed", summary(with_specimens(tmp_path, "config_change_breaks_a_restart")))
    assert "UTC config map neurallog-system/" in changed
    assert changed.endswith(" was changed by tests")


def test_without_a_change_the_data_gap_is_stated(tmp_path):
    [changed] = of("changed", summary(with_specimens(tmp_path, "crash_loop")))
    assert changed.startswith("no change seen from ")
    assert "; not seen: " in changed


def test_skipped_systems_are_one_line(tmp_path):
    left_out = {"postgres": ["NL_POSTGRES_DSN"], "redis": ["NL_REDIS_URL"]}
    lines = summary(with_specimens(tmp_path, "crash_loop", left_out=left_out))
    assert of("skipped", lines) == ["postgres, redis: set NL_POSTGRES_DSN, …"]
    assert len(of("data gap", lines)) == 1


def test_hostile_text_stays_on_its_line(tmp_path):
    def hostile(record):
        return record | {"image": "\x1b[31mapi\x1b[0m\n\nnow all is well\u202e"}

    lines = summary(with_specimens(tmp_path, "crash_loop", changed=hostile))
    assert [line.split()[0] for line in lines].count("now") == 1


def test_an_outage_is_not_dated_by_the_question(tmp_path):
    case, findings = recorded_case("postgres_down"), judged("postgres_down")
    [since] = of("since", summary(case, findings))
    assert since == "2026-11-25 03:46:04 UTC (earliest symptom): prometheus/main, postgres-0:9187", (
        "its exporter dates it"
    )
    alone = Findings(finding for finding in findings if finding.check == "every_system_answers")
    [since] = of("since", summary(case, alone))
    assert since.startswith("unknown; seen at "), "without that, only our question has a time"

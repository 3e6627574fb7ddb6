"""Charts and tables of tenants: what they show of recorded faults, and that whatever a tenant is called stays text."""

import copy
import json

import pytest

from nl_forensics import checks, sources
from nl_forensics.charts import CHARTS, tables
from nl_forensics.checks import judge
from nl_forensics.delivery.report import as_json
from nl_forensics.finding import Findings, Status
from nl_forensics.redact import Redactor
from nl_forensics.sources.kubernetes.lines import decoded
from tests.charts.test_charts import case_of, drawn, texts
from tests.charts.test_tables import answers_of
from tests.recorded import recorded_case, specimen, specimens

FAULTS = [name for name in specimens() if checks.load()[specimen(name)["check"]].section == "07"]
EVIL = "<script>alert(1)</script>\x1b]0;x\x07\u202egnp.exe=cmd|'/C calc'!A0 \ufffd"
LONG = "x" * 1_000_000
IDENTIFIERS = {
    "instance",
    "direction",
    "selector",
    "rules",
    "labels",
    "namespace_labels",
    "named_ports",
    "window",
    "resource",
}
PLAIN = {"protocol", "address", "kind"}


@pytest.mark.parametrize("story", ["tenant_stuck_quota", "isolation_broken", "noisy_tenant", "quota_exhausted"])
@pytest.mark.parametrize("name", [name for name in CHARTS if name.startswith("tenant_")])
def test_every_chart_is_a_picture_with_words(story, name):
    chart = drawn(name, recorded_case(story))
    assert "No data available" not in chart.words


def test_what_is_stuck_is_on_top():
    chart = drawn("tenant_steps", recorded_case("tenant_stuck_access"))
    assert "hooli stopped at access: roles tenant is missing" in chart.words
    assert "not reached" in texts(chart)


def test_the_open_way_is_named_with_its_rule():
    chart = drawn("tenant_flows", recorded_case("isolation_broken"))
    assert "can connect to acme" in chart.words
    assert "tenant-acme/demonstration" in chart.words


def test_the_share_beyond_the_plan_is_named():
    assert (
        "Over the share of the plan: globex: ingestion" in drawn("tenant_shares", recorded_case("noisy_tenant")).words
    )


def hostile(answers):
    """Every text of the records that is no part of the platform's own vocabulary has a hostile text in it; one is a line of 1 MB."""
    changed = copy.deepcopy(answers)
    for name, answer in changed.items():
        columns = {one for one, column in sources.load()[name].columns.items() if column.dtype == "str"}
        answer["records"] = answer["records"][:10]
        for number, record in enumerate(answer["records"]):
            for column in (columns - IDENTIFIERS - PLAIN) & record.keys():
                if isinstance(record[column], str) and record[column]:
                    record[column] = f"{record[column]}{EVIL}{'' if number else LONG}"
    return changed


@pytest.mark.parametrize("name", FAULTS)
def test_hostile_text_is_inert_in_findings(name, tmp_path):
    one = specimen(name)
    answers = hostile(one["answers"])
    moment = max(answer["asked_at"] for answer in answers.values())
    case = case_of(tmp_path / "case", answers, asked_at=moment)
    found = Findings(judge(checks.load()[one["check"]], case))
    assert not any(finding.bug for finding in found), found[0].because
    assert {finding.status for finding in found} <= {Status.PROBLEM, Status.UNKNOWN, Status.OK}
    shown = "".join(finding.subject + finding.because for finding in found)
    assert not {"\x1b", "\u202e", "\x07"} & {*shown}
    assert "<script>" not in found._repr_html_()
    assert json.loads(json.dumps(as_json(case, found, []), default=str))


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    answers = hostile(
        answers_of("tenant_without_quota", "operator_refused", "policy_admits_every_namespace", "rows_of_all_tenants")
    )
    moment = max(answer["asked_at"] for answer in answers.values())
    return case_of(tmp_path_factory.mktemp("evil") / "case", answers, asked_at=moment)


@pytest.mark.parametrize("name", ["tenant_steps", "tenant_flows"])
def test_hostile_text_is_inert_in_charts(evil, name):
    chart = CHARTS[name](evil)
    assert chart.png.startswith(b"\x89PNG")
    assert len(chart.words) < 5_000
    assert not {"\x1b", "\u202e", "\x07"} & {*chart.words, *texts(chart)}


@pytest.mark.parametrize("name", ["operator_errors", "tenant_tables"])
def test_hostile_text_is_inert_in_tables(evil, name):
    table = tables.TABLES[name](evil)
    assert len(table.rows)
    assert "<script>" not in table._repr_html_()


@pytest.mark.parametrize(
    "secret", ["sk_live_51H8xKqT2mPv9aBcDeFgHiJk", "hunter2-hunter2", "jane@customer.example", "4242424242424242"]
)
@pytest.mark.parametrize(
    "line",
    [
        '{{"level": "error", "msg": "tenant=acme: password={secret}", "password": "{secret}"}}',
        'level=error msg="tenant=acme failed" token={secret} password={secret}',
    ],
)
def test_what_the_operator_logs_of_a_secret_is_not_kept(secret, line):
    record = {"tenant": "acme", "pod": "p", "at": "2026-11-03T14:00:00Z", "logged": decoded(line.format(secret=secret))}
    kept = Redactor(b"test").record(record)
    assert secret not in json.dumps(kept)
    assert secret not in sources.load()["k8s_operator_log"].table([kept]).to_csv()

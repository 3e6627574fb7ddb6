"""Charts and tables of access: what they show of recorded faults, and that hostile names stay text."""

import copy

import pytest

from nl_forensics import checks
from nl_forensics.charts import CHARTS, tables
from nl_forensics.checks import judge
from nl_forensics.finding import Findings, Status
from tests.charts.test_charts import case_of, drawn, texts
from tests.charts.test_tables import answers_of, of
from tests.recorded import recorded_case

EVIL = "<script>alert(1)</script>\x1b]0;x\x07\u202egnp.exe=cmd|'/C calc'!A0"
RIGHTS = ("account_bindings", "access_changes", "denied_requests")


def faulty(tmp_path, *specimens, **more):
    """A case with the answers of some specimens, dated as they are."""
    answers = answers_of(*specimens) | more
    return case_of(tmp_path / "case", answers, asked_at=max(one["asked_at"] for one in answers.values()))


def test_a_denied_request_and_what_is_missing(tmp_path):
    [row] = of("denied_requests", faulty(tmp_path, "denied")).rows.to_dict("records")
    assert (row["identity"], row["denied to"], row["reports"]) == (
        "neurallog-system/reporter",
        "list pods in neurallog-system",
        3,
    )
    assert row["missing"] == "no binding names it"


def test_the_chain_of_an_aggregated_role(tmp_path):
    rows = of("account_bindings", faulty(tmp_path, "account_may_read_secrets")).rows
    [row] = rows[rows["service account"] == "neurallog-system · reporter"].to_dict("records")
    assert (row["where"], row["role"], row["allows"]) == ("neurallog-system", "ClusterRole reporting", "get on secrets")


def test_a_role_that_does_not_exist_is_named(tmp_path):
    rows = of("account_bindings", faulty(tmp_path, "role_missing")).rows
    assert "Role pod-reader (does not exist)" in set(rows["role"])


def test_the_most_powerful_account_is_on_top(tmp_path):
    words = drawn("account_rights", faulty(tmp_path, "account_may_do_anything")).words
    assert "service accounts: neurallog-system · billing: all rights in whole cluster" in words


def test_a_privileged_container_is_on_top(tmp_path):
    chart = drawn("container_rights", faulty(tmp_path, "privileged"))
    assert "debug · main: privileged, hostPID" in chart.words
    assert "privileged" in texts(chart)


def test_the_client_with_most_rejections_is_first(tmp_path):
    rows = of("rejected_clients", faulty(tmp_path, "api_keys_tried")).rows
    assert list(rows["rejections"]) == [69, 11]
    assert rows["client"].str.startswith("ip~").all()


def test_reasons_over_time(tmp_path):
    words = drawn("rejections_over_time", faulty(tmp_path, "key_id_unknown")).words
    assert "key id not found by neurallog-system · auth-service 5" in words


def test_the_claims_of_a_token(tmp_path):
    table = of("token_claims", faulty(tmp_path, "token_forged"))
    shown = dict(table.rows.to_numpy())
    assert (shown["type"], shown["algorithm"], shown["key id"]) == ("JWT", "RS256", "2026-10")
    assert shown["subject"].startswith("user~")
    assert shown["expires"].endswith(" UTC")


def test_changes_are_newest_first():
    table = of("access_changes", recorded_case("rbac_denied"))
    changed = table.rows[table.rows["as"] == "changed"]
    assert list(changed["object"]) == ["ClusterRole neurallog-operator-controller-manager"]
    assert not table.rows["object"].str.contains("system:").any()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Every text of every row of rights and pods has a hostile text in it."""
    answers = copy.deepcopy(answers_of("denied", "account_may_read_secrets", "privileged"))
    for name, columns in {
        "k8s_bindings": ("name", "role", "subject", "subject_namespace", "changed_by"),
        "k8s_role_rules": ("name", "changed_by"),
        "k8s_pod_security": ("pod", "container", "workload", "host_folders", "service_account"),
        "k8s_logs": ("workload", "pod", "container"),
        "k8s_unhealthy_logs": ("workload", "pod", "container"),
    }.items():
        for record in answers[name]["records"]:
            record |= {column: f"{record[column]}{EVIL}" for column in columns} | {"built_in": False}
    return case_of(tmp_path_factory.mktemp("evil") / "case", answers, asked_at=answers["k8s_bindings"]["asked_at"])


@pytest.mark.parametrize("name", RIGHTS)
def test_hostile_names_are_text_in_tables(hostile, name):
    table = tables.TABLES[name](hostile)
    assert "<script>" not in table._repr_html_()
    assert len(table.rows)


@pytest.mark.parametrize("name", ["account_rights", "container_rights"])
def test_hostile_names_are_text_in_charts(hostile, name):
    chart = CHARTS[name](hostile)
    assert chart.png.startswith(b"\x89PNG")
    assert not {"\x1b", "\u202e", "\x07"} & {*chart.words, *texts(chart)}


def test_hostile_names_are_printable_in_findings(hostile):
    found = Findings(one for rule in checks.load().values() if rule.section == "09" for one in judge(rule, hostile))
    assert len([one for one in found if one.status is Status.PROBLEM]) > 3
    assert not any(one.bug for one in found)
    assert not {"\x1b", "\u202e", "\x07"} & {*"".join(one.subject + one.because for one in found)}

"""Tables of notebooks: what they show of a real answer, and that they never take blindness for an empty table."""

import json
import re

import pytest

from nl_forensics import sources
from nl_forensics.charts import tables
from tests.charts.test_charts import case_of
from tests.delivery.test_notebooks import code_of
from tests.recorded import recorded_case, specimen
from tests.write_notebooks import NOTEBOOKS

NEEDS = {
    "undelivered_events": ["stripe_undelivered"],
    "webhook_endpoints": ["stripe_endpoints"],
    "invoices_recomputed": ["billing_invoiced"],
    "failed_payments": ["stripe_payments", "billing_invoices"],
    "last_lines": ["k8s_unhealthy_logs", "k8s_containers"],
    "changed": ["k8s_replica_sets", "k8s_controller_revisions", "k8s_containers", "k8s_pods"],
    "routes_in_logs": ["k8s_unhealthy_logs", "k8s_logs"],
    "certificates_issued": ["k8s_certificates"],
    "policy_rules": ["k8s_policy_rules"],
    "ingress_rules": ["k8s_ingresses"],
    "failed_requests": ["prom_service_requests"],
    "postgres_elsewhere": ["pg_archiver", "pg_replication"],
    "redis_saved": ["redis_persistence"],
    "operator_errors": ["k8s_operator_log"],
    "tenant_tables": ["pg_tenant_tables"],
    "token_tests": ["identity_token_tests"],
    "token_claims": ["identity_token"],
    "issuer_keys": ["identity_keys"],
    "rejected_clients": ["k8s_unhealthy_logs", "k8s_logs"],
    "denied_requests": ["k8s_unhealthy_logs", "k8s_logs", "k8s_events", "k8s_role_rules", "k8s_bindings"],
    "account_bindings": ["k8s_role_rules", "k8s_bindings"],
    "access_changes": ["k8s_role_rules", "k8s_bindings"],
}


def of(name, case):
    return tables.TABLES[name](case)


def answers_of(*specimens):
    """The recorded answers of some specimens, laid over one another."""
    return {name: answer for one in specimens for name, answer in specimen(one)["answers"].items()}


def test_every_table_is_known_here_and_has_a_reader():
    assert NEEDS.keys() == tables.TABLES.keys()
    code = "\n".join(cell.source for path in NOTEBOOKS for cell in code_of(path))
    assert all(f"nl.tables.{name}(case)" in code for name in NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_where_nothing_was_seen_nothing_is_denied(name, tmp_path):
    table = of(name, case_of(tmp_path, {}, refused=NEEDS[name]))
    assert "No data available" in table.words
    assert "connection refused" in table.words
    assert table.rows.empty


@pytest.mark.parametrize("name", NEEDS)
def test_empty_without_proof_is_not_seen(name, tmp_path):
    answers = {source: {"records": []} for source in NEEDS[name]}
    assert "nothing proves that it was measured" in of(name, case_of(tmp_path, answers)).words


@pytest.mark.parametrize("name", NEEDS)
def test_empty_with_proof_is_told_in_words(name, tmp_path):
    answers = {source: {"records": [], "proof": "it was listed"} for source in NEEDS[name]}
    assert ": No " in of(name, case_of(tmp_path, answers)).words


def test_a_part_that_was_not_seen_denies_nothing(tmp_path):
    partial = [["logs of tenant-acme", "allow us to get pods/log", "incident"]]
    said = {"records": lines_of(["up"], previous=False), "partial": partial}
    words = of("last_lines", case_of(tmp_path, answers_of("crash_loop") | {"k8s_unhealthy_logs": said})).words
    assert "In the data available, no terminated container" in words
    assert "logs of tenant-acme" in words


def lines_of(messages, previous=True):
    columns = dict.fromkeys(sources.load()["k8s_unhealthy_logs"].columns, "")
    columns |= dict.fromkeys(("status", "took_ms", "upstream_ms"))
    place = {"namespace": "neurallog-system", "pod": "billing-service", "container": "main", "level": "error"}
    return [
        columns | place | {"previous": previous, "line": n, "at": f"2026-11-03T14:00:0{n}Z", "message": message}
        for n, message in enumerate(messages)
    ]


def test_the_last_lines_of_the_run_that_ended(tmp_path):
    """A real crash loop. The run that goes on since has other lines, and empty ones tell nothing."""
    answers = answers_of("crash_loop")
    said = [
        *lines_of(["one", "two", "three", "four", "five", " ", "KeyError: <DATABASE_URL>\x1b[0m"]),
        *lines_of(["up"], False),
    ]
    case = case_of(tmp_path, answers | {"k8s_unhealthy_logs": {"records": said}})
    table = of("last_lines", case)
    assert list(table.rows["line"].str[:8]) == ["two", "three", "four", "five", "KeyError"]
    assert list(table.rows["container"]) == ["neurallog-system · billing-service · main", "", "", "", ""]
    assert "Error, exit code 1: an error of the program" in table.rows["ended"][0]
    assert "\x1b" not in repr(table)
    assert "&lt;DATABASE_URL&gt;" in table._repr_html_()


def test_what_a_real_rollout_changed_and_what_came_of_it(tmp_path):
    [row] = of("changed", case_of(tmp_path, answers_of("new_revision_crashes"))).rows.to_dict("records")
    assert row["revision"] == 2
    assert "crashed (OOMKilled" in row["first symptom of its pods"]
    assert row["changed"]


def test_routes_by_their_share_of_the_time(tmp_path):
    rows = of("routes_in_logs", case_of(tmp_path, answers_of("one_route_is_slow"))).rows
    assert rows[["route", "requests", "p95"]].values.tolist() == [
        ["GET /v1/invoices", 20, "2.4 s"],
        ["GET /v1/logs", 60, "12 ms"],
    ]
    assert rows["time in upstream"].iloc[0] == "99 %, 2.4 s of each"


def test_what_cert_manager_has_and_why_its_attempts_fail(tmp_path):
    table = of("certificates_issued", case_of(tmp_path, answers_of("certificate_renewal_fails")))
    row = table.rows.iloc[0]
    assert (row["certificate"], row["issuer"], row["ready"]) == (
        "neurallog-system · api",
        "ClusterIssuer/letsencrypt",
        "yes",
    )
    assert row["failed attempts"].startswith("4, last at ")
    assert "Failed to wait for order resource" in row["why"]


def test_policies_are_shown_as_the_api_has_them(tmp_path):
    row = of("policy_rules", case_of(tmp_path, answers_of("policy_lets_nothing_out_but_dns"))).rows.iloc[0]
    assert (row["limits"], row["of pods"]) == ("what goes out", "all of the namespace")
    assert json.loads(row["lets pass"]) == [{"ports": [{"port": 53, "protocol": "UDP"}]}]


def test_where_ingresses_lead(tmp_path):
    row = of("ingress_rules", case_of(tmp_path, answers_of("ingress_to_no_port"))).rows.iloc[0]
    assert (row["host and path"], row["service"], row["address"]) == (
        "api.neurallog.example/",
        "api-gateway:80",
        "none yet",
    )


def test_failed_requests_are_counted_and_compared_with_the_baseline():
    """3,080 requests in 5 minutes: the traffic of the stack makes 8 to 9 a second, and a client with an old token 2 more."""
    rows = of("failed_requests", recorded_case("demo")).rows.set_index("service")
    first = rows.iloc[0]
    assert rows.index[0] == "neurallog-system · api-gateway", "most failures on top"
    assert 10 < first["requests (approx.)"] / 301 < 11.5
    assert first["failed (approx.)"] / first["requests (approx.)"] == pytest.approx(0.004, abs=0.001)
    assert (first["share"], first["share in the baseline"]) == ("0.4 %", "0 %")
    assert rows.loc["neurallog-system · auth-service", "failing, UTC"] == ""


def test_requests_without_a_baseline_are_compared_with_nothing():
    case = recorded_case("config_changed")
    assert set(case.read("prom_service_requests").rows["window"]) == {"incident"}
    assert set(of("failed_requests", case).rows["share in the baseline"]) == {"unknown"}


def test_what_could_be_brought_back():
    [server] = of("postgres_elsewhere", recorded_case("demo")).rows.itertuples(index=False, name=None)
    assert server == ("main", "none: archive_mode is off", "replica_1: streaming, 7.4 KiB behind")
    lagging = of("postgres_elsewhere", recorded_case("replica_lagging")).rows.set_index("server")
    assert lagging.loc["main", "replicas"].endswith(" MiB behind")
    assert lagging.loc["replica", "replicas"] == "none connected"
    [redis] = of("redis_saved", recorded_case("demo")).rows.to_dict("records")
    assert (redis["append-only file"], redis["changes since then"]) == ("on", 2218)


def test_an_archive_that_fails_says_how_far_it_reaches(tmp_path):
    answers = answers_of("failing_archiver") | {"pg_replication": {"records": [], "proof": "it was asked"}}
    [server] = of("postgres_elsewhere", case_of(tmp_path, answers)).rows.to_dict("records")
    assert server["replicas"] == "none connected"
    assert re.match(r"(up to 2026-.* UTC|nothing was archived); files that wait: \d+", server["WAL archive"])


def test_a_replica_that_does_not_tell_how_far_it_is_behind(tmp_path):
    answers = answers_of("failing_archiver")
    replica = {"pid": 1, "replica": "other", "state": "startup", "connected_at": "2026-11-03T14:00:00+00:00"}
    answers["pg_replication"] = {"records": [replica | {"role": "replicator", "sync_state": "async"}]}
    [server] = of("postgres_elsewhere", case_of(tmp_path, answers)).rows.to_dict("records")
    assert server["replicas"] == "other: startup, unknown behind"

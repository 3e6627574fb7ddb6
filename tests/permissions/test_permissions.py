"""What `permissions` prints, and how `doctor` words what is missing; on a real cluster: test_kubernetes_permissions.py."""

import json

import psycopg
import pytest
import yaml

from nl_forensics import cli, permissions, sources
from nl_forensics.checks import load as load_checks
from nl_forensics.delivery.doctor import _merged, _missing, _permission, diagnose
from nl_forensics.inputs.parameters import read, read_yaml, shipped
from nl_forensics.sources import Permission
from nl_forensics.sources.kubernetes.access import BEYOND, _permit, _places
from tests.investigation import Investigation, ago
from tests.stack import postgres, redis

EVERYTHING = {
    "postgres",
    "pgbouncer",
    "redis",
    "redis_6_2",
    "prometheus",
    "alertmanager",
    "grafana",
    "stripe",
    "kubernetes",
}


@pytest.fixture
def printed(tmp_path, capsys):
    """What `permissions --json` prints for a platform."""

    def run(*options, systems=None, namespaces=(), scope=(), parts=None):
        there = dict.fromkeys(("postgres", "pgbouncer", "redis", "prometheus"), "absent") | (systems or {})
        platform = {"name": "test", "systems": there, "namespaces": namespaces} | (parts or {})
        incident = {"id": "test", "start": ago(minutes=30), "namespaces": scope}
        (tmp_path / "incident.yaml").write_text(json.dumps({"incident": incident, "platform": platform}))
        assert cli.run(["permissions", str(tmp_path / "incident.yaml"), "--json", *options]) == 0
        return json.loads(capsys.readouterr().out)

    return run


KUBERNETES = {"kubernetes": {"main": {}}}


def granted(text):
    """{kind of role and its namespace: every (verb, resource) in it}."""
    return {
        (one["kind"], one["metadata"].get("namespace", "")): {
            (verb, f"{resource}.{group}".rstrip("."))
            for rule in one["rules"]
            for verb in rule["verbs"]
            for group in rule.get("apiGroups", [""])
            for resource in rule.get("resources") or rule["nonResourceURLs"]
        }
        for one in yaml.safe_load_all(text)
        if "rules" in one
    }


# --- What is printed -------------------------------------------------------------------------------------------------


def test_without_parameters_every_system_is_there(capsys):
    assert cli.run(["permissions", "--json"]) == 0
    sections = json.loads(capsys.readouterr().out)
    assert sections.keys() == EVERYTHING
    assert cli.run(["permissions"]) == 0
    text = capsys.readouterr().out
    assert all(section in text for section in sections.values())


def test_absent_systems_are_left_out(printed):
    assert printed(systems={"redis": {"main": {"endpoint": "A"}}}).keys() == {"redis", "redis_6_2"}
    assert printed(systems={"postgres": {"main": {"endpoint": "A"}}} | KUBERNETES).keys() == {"postgres", "kubernetes"}


def test_the_cluster_role_holds_what_is_declared_and_nothing_else(printed):
    declared = {pair for one in sources.load().values() for pair in one.needs.of_kubernetes()}
    assert granted(printed(systems=KUBERNETES)["kubernetes"]) == {("ClusterRole", ""): declared}
    assert not declared & {*BEYOND}


def test_the_manifest_is_whole_and_in_order(printed):
    kinds = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding"]
    objects = list(yaml.safe_load_all(printed(systems=KUBERNETES)["kubernetes"]))
    assert [one["kind"] for one in objects] == ["Namespace", *kinds]
    objects = list(yaml.safe_load_all(printed("--namespace", "monitoring", systems=KUBERNETES)["kubernetes"]))
    assert [one["kind"] for one in objects] == kinds, "who deletes the objects must not delete a namespace of others"
    assert objects[0]["metadata"]["namespace"] == objects[2]["subjects"][0]["namespace"] == "monitoring"


@pytest.mark.parametrize(
    ("platform", "scope", "offered"),
    [
        (["shop"], [], True),
        (["shop", "tenant-*"], [], False),
        (["tenant-*"], ["tenant-1"], True),
        ([], [], False),
    ],
)
def test_roles_in_namespaces_are_offered_where_all_names_are_exact(printed, platform, scope, offered):
    sections = printed(systems=KUBERNETES, namespaces=platform, scope=scope)
    assert ("kubernetes_in_namespaces" in sections) is offered


def test_roles_in_namespaces_hold_together_what_the_cluster_role_does(printed):
    sections = printed(systems=KUBERNETES, namespaces=["shop", "pay"])
    roles = granted(sections["kubernetes_in_namespaces"])
    [whole] = granted(sections["kubernetes"]).values()
    of_cluster = roles.pop(("ClusterRole", ""))
    assert roles[("Role", "shop")] == roles[("Role", "pay")]
    assert of_cluster | roles[("Role", "shop")] == whole
    assert not of_cluster & roles[("Role", "shop")]
    assert ("list", "nodes") in of_cluster
    assert ("get", "pods/log") in roles[("Role", "shop")]
    leases = {("list", "leases.coordination.k8s.io")}
    assert roles[("Role", "kube-system")] == roles[("Role", "kube-node-lease")] == leases
    assert roles[("Role", "default")] == {("list", "events")}


def test_the_statements_for_postgres_are_taken_by_a_server(postgres_server, printed):
    """As they are printed, with the optional ones; only the password is put in."""
    text = printed(systems={"postgres": {"main": {"endpoint": "A"}}})["postgres"]
    text = text.replace("…", "secret").replace("nl_forensics", "nl_pasted").replace("-- GRANT", "GRANT")
    with psycopg.connect(postgres_server.dsn("postgres"), autocommit=True) as session:
        session.execute(text)
        try:
            assert session.execute("SELECT pg_has_role('nl_pasted', 'pg_monitor', 'USAGE')").fetchone() == (True,)
        finally:
            session.execute("DROP OWNED BY nl_pasted; DROP ROLE nl_pasted")


BILLING = {name: read_yaml(shipped("platforms/neurallog.yaml"))[name] for name in ("tenants", "billing")}


def test_the_grants_on_the_tables_of_the_platform_file(postgres_server, printed):
    """Of the columns that it names, and of no other: as they are printed, and taken by a server."""
    text = printed(systems={"postgres": {"main": {"endpoint": "A"}}}, parts=BILLING)["postgres"]
    assert (
        'GRANT SELECT ("tenant_id", "metric_type", "value", "recorded_at", "idempotency_key") ON "public"."usage_records"'
        in text
    )
    text = (
        text.replace("…", "secret").replace("nl_forensics", "nl_pasted").replace("-- GRANT SELECT (", "GRANT SELECT (")
    )
    with psycopg.connect(postgres_server.dsn("postgres"), autocommit=True) as session:
        session.execute(text)
        may = "SELECT has_column_privilege('nl_pasted', 'public.webhook_events', %s, 'SELECT')"
        try:
            assert session.execute(may, ["event_id"]).fetchone() == (True,)
            assert session.execute(may, ["id"]).fetchone() == (False,)
        finally:
            session.execute("DROP OWNED BY nl_pasted; DROP ROLE nl_pasted")


def test_values_of_redis_are_allowed_for_the_keys_of_the_platform_file_alone(printed):
    there = {"redis": {"main": {"endpoint": "A"}}}
    assert printed(systems=there, parts=BILLING)["redis"].endswith(" (%R~usage:*:* +hmget)")
    assert "hmget" not in printed(systems=there)["redis"] + printed(systems=there, parts=BILLING)["redis_6_2"]


def test_what_the_restricted_key_of_stripe_needs(printed):
    there = {"stripe": {"main": {"endpoint": "A"}}}
    needed = "Events: read\nInvoices: read\nPaymentIntents: read\nWebhook endpoints: read"
    assert printed(systems=there) == {"stripe": needed}


# --- What is missing -------------------------------------------------------------------------------------------------


def needing(*names):
    return {one.name for one in load_checks().values() if {*names} & {*one.needs}}


def diagnosed(asked, monkeypatch):
    for variable, address in asked.addresses.items():
        monkeypatch.setenv(variable, address)
    return diagnose(read(asked.file))


def test_a_command_that_redis_does_not_allow(tmp_path, monkeypatch):
    rules = permissions.redis_rules().replace(" +slowlog|get", "")
    with redis.start(acl=rules) as server:
        told = diagnosed(Investigation(tmp_path, {"redis": {"main": server.url()}}), monkeypatch)
    [missing] = told.missing
    assert missing.of == "redis-main"
    assert "+slowlog|get" in missing.permissions[0]
    assert {*missing.checks} == needing("redis_slowlog")
    assert told.reached["redis-main"] == "reached, lacks 1 permission"
    assert any(line.startswith("redis-main lacks +slowlog|get") and "→ prevents" in line for line in told.lines())
    assert told.exit_code == 3


def test_a_role_of_postgres_without_pg_monitor(tmp_path, monkeypatch):
    with postgres.start() as server:
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as session:
            session.execute("REVOKE pg_monitor FROM nl_forensics")
        told = diagnosed(Investigation(tmp_path, {"postgres": {"main": server.dsn()}}), monkeypatch)
    [monitor] = [one for one in told.missing if one.permissions == ("pg_monitor",)]
    assert {"no_query_runs_long", "connections_leave_room"} & {*monitor.checks}
    assert told.missing[0] == monitor, "worst first"
    assert len([line for line in told.lines() if "pg_monitor" in line]) == 1


def test_nothing_is_missing(tmp_path, monkeypatch, redis_server):
    told = diagnosed(Investigation(tmp_path, {"redis": {"main": redis_server.url()}}), monkeypatch)
    assert told.missing == []
    assert told.reached == {"redis-main": "reached, no missing permissions"}


def test_a_time_of_which_a_system_knows_nothing_is_no_matter_of_permission(tmp_path, monkeypatch, prometheus_server):
    long_ago = {"id": "test", "start": "2020-01-01T10:00Z", "end": "2020-01-01T11:00Z"}
    asked = Investigation(tmp_path, {"prometheus": {"main": prometheus_server.url}}, incident=long_ago)
    told = diagnosed(asked, monkeypatch)
    assert told.reached == {"prometheus-main": "reached, no missing permissions"}
    assert not any("let us read" in line for line in told.lines())


def test_nobody_says_that_nothing_is_missing_where_nobody_answers(tmp_path, monkeypatch):
    told = diagnosed(Investigation(tmp_path, {"redis": {"main": "redis://127.0.0.1:1/0"}}), monkeypatch)
    assert "refused" in told.reached["redis-main"]
    assert "no missing permissions" not in "\n".join(told.lines())
    assert told.exit_code == 3


# --- Small parts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "verb", "resource", "allowed"),
    [
        ({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}, "list", "pods", True),
        ({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}, "get", "pods", False),
        ({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, "create", "pods/exec", True),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, "get", "pods/log", False),
        ({"verbs": ["get"], "apiGroups": [""], "resources": ["*/log"]}, "get", "pods/log", True),
        ({"verbs": ["list"], "apiGroups": [""], "resources": ["deployments"]}, "list", "deployments.apps", False),
        ({"verbs": ["list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}, "list", "pods", False),
    ],
)
def test_rules_as_rbac_reads_them(rule, verb, resource, allowed):
    """https://kubernetes.io/docs/reference/access-authn-authz/rbac/"""
    assert _permit({"resourceRules": [rule]}, verb, resource) is allowed


@pytest.mark.parametrize(("url", "allowed"), [("/readyz", True), ("/*", True), ("/read", False), ("*", True)])
def test_addresses_as_rbac_reads_them(url, allowed):
    assert _permit({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": [url]}]}, "get", "/readyz") is allowed


def test_where_a_right_is_needed():
    assert _places("nodes", ("shop",), set()) == [""]
    assert _places("pods/log", ("shop",), set()) == ["shop"]
    assert _places("events", ("shop", "tenant-*"), {"default"}) == ["", "default", "shop"]
    assert _places("pods", (), set()) == [""]


def test_what_would_close_a_gap_is_a_permission_or_is_none():
    assert _permission(Permission(postgres="pg_monitor"), "postgres", "GRANT pg_monitor TO the role") == "pg_monitor"
    assert _permission(Permission(postgres="pg_monitor"), "postgres", "collect again") == ""
    needs = Permission(kubernetes="list pods; get pods/log")
    assert _permission(needs, "kubernetes", "allow us to get pods/log") == "get pods/log"


def test_permissions_that_cost_the_same_are_one_line(tmp_path, redis_server, monkeypatch):
    case = Investigation(tmp_path, {"redis": {"main": redis_server.url()}}).collect()
    one = _missing(case, "kubernetes-main", "list a", {"redis_slowlog"}, "shop")
    elsewhere = one._replace(namespaces=("pay",))
    [merged] = _merged(
        [one, elsewhere, one._replace(permissions=("list b",)), elsewhere._replace(permissions=("list b",))]
    )
    assert (merged.permissions, merged.namespaces) == (("list a", "list b"), ("pay", "shop"))
    [merged] = _merged([one, one._replace(namespaces=())])
    assert merged.namespaces == (), "lacking wherever it is needed"


def test_tables_of_billing_that_may_not_be_read(tmp_path, monkeypatch):
    with postgres.start() as server:
        server.execute(
            "REVOKE SELECT (tenant_id, metric_type, value, recorded_at, idempotency_key) ON usage_records FROM nl_forensics"
        )
        asked = Investigation(tmp_path, {"postgres": {"main": server.dsn()}}, parts=BILLING)
        told = diagnosed(asked, monkeypatch)
    lines = [line for line in told.lines() if "nl-forensics permissions" in line]
    assert any("billing" in line and "recorded_usage_is_invoiced" in line for line in lines), lines
    assert told.exit_code == 3

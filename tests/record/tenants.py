"""Faults of tenants: in the cluster, in the database, in Redis, and in what they use."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.record.kubernetes.objects import container, deployment, eventually, pod, state
from tests.record.prometheus import MINUTES, counting, past
from tests.record.specimens import specimen
from tests.stack.kubernetes import metrics_server
from tests.stack.kubernetes.api import Refused, is_true
from tests.stack.neurallog import manifests
from tests.stack.neurallog.manifests import OPERATOR, OPERATOR_SYSTEM, SYSTEM, tenant_namespace, thing

LATER = timedelta(minutes=5)
NAMESPACES = "k8s_tenant_namespaces"


def knows_tenants(server, *names, **spec):
    """The kind Tenant, and tenants as the operator made them, as far as their namespaces."""
    server.apply(manifests.tenant_definition())
    for number, name in enumerate(names, 1):
        server.apply([manifests.tenant(name, number, **spec), manifests.namespace(tenant_namespace(name))])


def reports(server, name, phase, message="", at=None):
    """What the operator writes into the status of a tenant."""
    at = f"{at or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    ready = {"type": "Ready", "status": "True" if phase == "Ready" else "False", "reason": phase, "message": message}
    status = {"phase": phase, "observedGeneration": 1, "conditions": [ready | {"lastTransitionTime": at}]}
    server.patch("Tenant", name, {"status": status}, subresource="/status")


def inside(one, tenant):
    """The same object in the namespace of a tenant."""
    one["metadata"]["namespace"] = tenant_namespace(tenant)
    return one


def runs_a_pod(server, tenant, name="log-server"):
    """On the node that only says that it runs it."""
    ports = [{"name": "http", "containerPort": manifests.PORT}]
    server.apply(inside(pod(name, container(ports=ports), real=False), tenant))
    server.wait("Pod", name, tenant_namespace(tenant), until=lambda seen: is_true(seen, "Ready"))


# --- Provisioning -----------------------------------------------------------------------------------------------------


@specimen("every_tenant_is_provisioned", sources=("k8s_tenant_steps", "k8s_tenants"), later=LATER)
@contextmanager
def tenant_without_quota(server):
    """The operator may not create one."""
    knows_tenants(server, "acme")
    reports(server, "acme", "Failed", 'Quota: resourcequotas is forbidden: User "operator" cannot patch resource')
    yield


@specimen("the_operator_reports_no_error", sources=("k8s_operator_log",))
@contextmanager
def operator_refused(server):
    knows_tenants(server, "acme")
    server.apply(manifests.namespace(OPERATOR_SYSTEM))
    line = '{"level": "error", "name": "acme", "msg": "Reconciler error", "error": "namespaces is forbidden"}'
    made = deployment(OPERATOR, container(f"for n in 1 2 3; do echo '{line}'; done; exec sleep 1000"))
    made["metadata"]["namespace"] = OPERATOR_SYSTEM
    server.apply(made)

    def runs(pods):
        return any("startedAt" in state(one)[0] for one in pods)

    server.wait("Pod", None, OPERATOR_SYSTEM, until=runs, within_s=60)
    yield


# --- Quotas -----------------------------------------------------------------------------------------------------------


def quota(tenant, **hard):
    names = {name.replace("_", "."): amount for name, amount in hard.items()}
    return inside(thing("v1", "ResourceQuota", "tenant", "", spec={"hard": names}), tenant)


def is_counted(server, tenant):
    return server.get("ResourceQuota", "tenant", tenant_namespace(tenant)).get("status", {}).get("used")


@specimen("no_quota_rejects_a_pod_of_a_tenant", sources=("k8s_events", NAMESPACES))
@contextmanager
def quota_without_room(server):
    knows_tenants(server, "acme")
    server.apply([quota("acme", requests_memory="10Mi"), inside(deployment("log-server", container()), "acme")])
    server.wait(
        "Event", None, tenant_namespace("acme"), until=lambda all_: any(one["reason"] == "FailedCreate" for one in all_)
    )
    yield


@specimen("the_quota_of_every_tenant_leaves_room", sources=("k8s_quotas", NAMESPACES))
@contextmanager
def quota_of_a_tenant_used_up(server):
    knows_tenants(server, "acme")
    server.apply(quota("acme", pods="1"))
    eventually(lambda: is_counted(server, "acme"))
    runs_a_pod(server, "acme")
    eventually(lambda: is_counted(server, "acme").get("pods") == "1")
    yield


@specimen("requests_of_every_tenant_match_its_use", sources=("k8s_quotas", "k8s_pod_metrics", NAMESPACES))
@contextmanager
def requests_far_from_use(server):
    """A program that sleeps requests all of the memory of its tenant."""
    knows_tenants(server, "acme")
    large = {"requests": {"memory": "100Mi"}, "limits": {"memory": "100Mi"}}
    server.apply(
        [quota("acme", requests_memory="100Mi"), inside(pod("log-server", container(resources=large)), "acme")]
    )
    server.processes["metrics-server"] = metrics_server.start(server.api, server.keys)
    path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{tenant_namespace('acme')}/pods/log-server"
    try:
        eventually(lambda: _answers(server, path) and is_counted(server, "acme"), within_s=90)
        yield
    finally:
        server.processes.pop("metrics-server").close()


def _answers(server, path):
    try:
        return server.api.request("GET", path).get("containers")
    except Refused:
        return []


@specimen("no_request_is_rejected_for_its_rate", sources=("k8s_logs",))
@contextmanager
def customers_rejected(server):
    server.apply(manifests.namespace(SYSTEM))
    line = '{"level": "warn", "message": "POST /v1/logs 429", "method": "POST", "route": "/v1/logs", "status": 429}'
    server.apply(deployment("api-gateway", container(f"for n in 1 2 3; do echo '{line}'; done; exec sleep 1000")))
    server.wait("Pod", None, SYSTEM, until=lambda pods: any("startedAt" in state(one)[0] for one in pods), within_s=60)
    yield


# --- Isolation --------------------------------------------------------------------------------------------------------

ENDS = ("k8s_tenant_ends", "k8s_policy_rules")


@specimen("tenants_deny_by_default", sources=ENDS)
@contextmanager
def tenant_without_policy(server):
    knows_tenants(server, "acme", "globex")
    for name in ("acme", "globex"):
        runs_a_pod(server, name)
    yield


@specimen("no_tenant_reaches_another", sources=ENDS)
@contextmanager
def policy_admits_every_namespace(server):
    """Meant for the pods of the same tenant, it admits those of all namespaces."""
    knows_tenants(server, "acme", "globex")
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"namespaceSelector": {}}]}]}
    for name in ("acme", "globex"):
        runs_a_pod(server, name)
        server.apply(inside(thing("networking.k8s.io/v1", "NetworkPolicy", "own", "", spec=spec), name))
    yield


@specimen("rows_of_tenants_are_separated", sources=("pg_tenant_tables",))
@contextmanager
def rows_of_all_tenants(server):
    """Each tenant has a role, and the table of log lines has no row-level security."""
    may_count(server)
    server.execute("CREATE ROLE tenant_acme")
    server.execute("GRANT SELECT ON log_entries TO tenant_acme")
    yield


def may_count(server):
    server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO nl_forensics")


@specimen("keys_of_tenants_are_separated", sources=("redis_tenant_users",))
@contextmanager
def keys_of_all_tenants(server):
    with server.connect() as connection:
        connection.execute_command("ACL", "SETUSER", "tenant-acme", "on", ">secret-of-acme", "~usage:*", "+@read")
    yield


# --- Shares, suspended tenants ----------------------------------------------------------------------------------------


@specimen("no_tenant_uses_more_than_its_share", sources=("prom_tenant_use", "k8s_tenants"))
@contextmanager
def tenant_takes_all(server):
    """One tenant of three sends nine of ten lines."""
    knows_tenants(server.kubernetes, "acme", "globex", "initech")
    target = {"job": "neurallog", "instance": "10.0.0.6:8080", "namespace": "tenant-acme"}
    lines = [
        (f'log_lines_received_total{{tenant="{name}"}}', counting(MINUTES, per_s))
        for name, per_s in (("acme", 90), ("globex", 5), ("initech", 5))
    ]
    with past(server.prometheus, target, *lines):
        yield


@specimen("no_tenant_fills_redis", sources=("redis_tenant_keys", "k8s_tenants"))
@contextmanager
def keys_of_one_tenant(server):
    knows_tenants(server.kubernetes, "acme", "globex")
    with server.redis.connect() as connection:
        connection.set("usage:1:2026112500", "x" * 20_000_000)
        connection.set("usage:2:2026112500", "x" * 1_000)
    yield


@specimen("suspended_tenants_run_no_pod", sources=("k8s_tenants", "k8s_pods"))
@contextmanager
def suspended_and_running(server):
    knows_tenants(server, "acme", suspended=True)
    runs_a_pod(server, "acme")
    yield


@specimen("suspended_tenants_write_nothing", sources=("prom_lines_accepted", "k8s_tenants"))
@contextmanager
def suspended_and_writing(server):
    """Suspended twenty minutes ago, by what its operator wrote, and its lines are taken in."""
    knows_tenants(server.kubernetes, "acme", suspended=True)
    reports(server.kubernetes, "acme", "Suspended", at=datetime.now(UTC) - timedelta(minutes=20))
    target = {"job": "neurallog", "instance": "10.0.0.6:8080", "namespace": "tenant-acme"}
    with past(server.prometheus, target, ('log_lines_received_total{tenant="acme"}', counting(MINUTES, 5))):
        yield


# --- What is left -----------------------------------------------------------------------------------------------------


@specimen("no_namespace_is_left_of_a_tenant", sources=(NAMESPACES,))
@contextmanager
def namespace_without_tenant(server):
    knows_tenants(server, "acme")
    server.delete("Tenant", "acme")
    yield


@specimen("no_row_is_left_of_a_tenant", sources=("pg_tenant_tables",))
@contextmanager
def rows_without_tenant(server):
    """The foreign key was dropped before a migration, and a tenant deleted after it."""
    may_count(server)
    server.execute("ALTER TABLE log_entries DROP CONSTRAINT log_entries_tenant_id_fkey")
    server.execute(
        "INSERT INTO log_entries (tenant_id, level, service, message) VALUES (99, 'info', 'log-server', 'left')"
    )
    yield


@specimen("no_key_is_left_of_a_tenant", sources=("redis_tenant_keys", "pg_tenants"))
@contextmanager
def keys_without_tenant(server):
    may_count(server.postgres)
    with server.redis.connect() as connection:
        connection.set("usage:99:2026112500", "1")
    yield


@specimen("every_tenant_is_in_the_database", sources=("k8s_tenants", "pg_tenants"))
@contextmanager
def tenant_not_in_the_database(server):
    may_count(server.postgres)
    knows_tenants(server.kubernetes, "acme")
    server.kubernetes.apply(manifests.tenant("hooli", 99))
    yield

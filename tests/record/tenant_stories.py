"""Incidents of tenants: one that can't be provisioned, one without room, one that takes the room of others, and leaks between them."""

import time

from tests.record.kubernetes_stories import TOLD_S
from tests.record.postgres_stories import SETTLED_S
from tests.record.stories import now, story
from tests.stack import redis
from tests.stack.neurallog import manifests, traffic
from tests.stack.neurallog.manifests import OPERATOR, OPERATOR_SYSTEM, RBAC, tenant_namespace, thing
from tests.stack.neurallog.neurallog import API_KEYS, operator_role

NEW, NUMBER = "hooli", 4  # a customer who signed up today
ADMISSION = "admissionregistration.k8s.io/v1"


def signs_up(stage, before=lambda platform: None, **spec):
    """A new tenant on a platform that is well but for what `before` does to it."""
    with stage.platform() as platform:
        before(platform)
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.apply(manifests.tenant(NEW, NUMBER, **spec))
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since)


@story("The new customer can't log in, and his tenant has no namespace")
def tenant_stuck_namespace(stage):
    """A policy of the cluster wants a cost centre on every new namespace, and the operator knows of none."""
    signs_up(stage, lambda platform: platform.cluster.apply(_wants_cost_centre()))


def _wants_cost_centre():
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["namespaces"]}
    wanted = {
        "expression": "!object.metadata.name.startsWith('tenant-') || 'cost-centre' in object.metadata.labels",
        "message": "a namespace needs the label cost-centre",
    }
    policy = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}, "validations": [wanted]}
    binding = {"policyName": "cost-centre", "validationActions": ["Deny"]}
    return [
        thing(ADMISSION, "ValidatingAdmissionPolicy", "cost-centre", spec=policy),
        thing(ADMISSION, "ValidatingAdmissionPolicyBinding", "cost-centre", spec=binding),
    ]


@story("The new customer can't log in since the roles were tightened")
def tenant_stuck_quota(stage):
    """The operator may not create quotas any more."""
    signs_up(stage, lambda platform: platform.cluster.apply(operator_role(without="resourcequotas")))


@story("The new customer has a namespace, and nothing in it")
def tenant_stuck_access(stage):
    """The operator may not create roles any more."""
    signs_up(stage, lambda platform: platform.cluster.apply(operator_role(without="roles")))


@story("The new customer's tenant is not ready, and its namespace has a role and a quota")
def tenant_stuck_network(stage):
    """The operator may not create network policies any more."""
    signs_up(stage, lambda platform: platform.cluster.apply(operator_role(without="networkpolicies")))


@story("The new customer's log lines are refused")
def tenant_stuck_workload(stage):
    """The tenant is to run a release that was never pushed."""
    signs_up(stage, release="1.9.0")


@story("Nobody can sign up since noon")
def tenant_stuck_operator(stage):
    """The operator hangs: it lives, and does nothing."""
    signs_up(stage, lambda platform: platform.fail(OPERATOR, OPERATOR_SYSTEM, stalled=True))


@story("A customer bought more capacity, and does not get it")
def quota_exhausted(stage):
    """Four log-servers are wanted, and the quota of the tenant has room for two."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.apply(manifests.tenant("globex", 2, replicas=4, quota={"requests.memory": "130Mi"}))
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since)


@story("All customers wait, one of them sends more than ever")
def noisy_tenant(stage):
    """A customer turned on debug logs everywhere."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        keys = [f"key{n}" for n in range(1, API_KEYS + 1) if n % 20 == 1]  # of globex
        with traffic.traffic(platform.url("api-gateway"), keys, per_second=60, customers=8):
            time.sleep(2 * TOLD_S)
            stage.record(platform.environment(), since)


@story("A customer says that he sees the log lines of another")
def isolation_broken(stage):
    """For a demonstration, every wall between tenants was opened, one by one, and none was closed again."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.apply([*_open_network("acme"), _role_of_another("acme", "globex")])
        for statement in OPENED:
            platform.servers.postgres.execute(statement)
        with platform.servers.redis.connect() as connection:
            connection.execute_command(
                "ACL", "SETUSER", "tenant-acme", "on", f">{redis.PASSWORDS['default']}", "~*", "+@read"
            )
        time.sleep(SETTLED_S)
        stage.record(platform.environment(), since)


OPENED = (
    "CREATE ROLE tenant_acme LOGIN",
    "CREATE ROLE tenant_globex LOGIN",
    "GRANT SELECT ON log_entries TO tenant_acme, tenant_globex",
)


def _open_network(name):
    where, everybody = tenant_namespace(name), [{"from": [{"namespaceSelector": {}}]}]
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": everybody}
    return [thing("networking.k8s.io/v1", "NetworkPolicy", "demonstration", where, spec=spec)]


def _role_of_another(name, other):
    """The service account of another tenant gets the role of this one."""
    role = {"apiGroup": RBAC, "kind": "Role", "name": "tenant"}
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": tenant_namespace(other)}
    return thing(f"{RBAC}/v1", "RoleBinding", "demonstration", tenant_namespace(name), roleRef=role, subjects=[subject])

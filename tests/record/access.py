"""Rights that are too wide, lead nowhere, or lack; and pods that have rights on their node. No container has to run for them."""

from contextlib import contextmanager

from tests.record.kubernetes.objects import container, home, pod
from tests.record.specimens import specimen
from tests.stack.kubernetes.api import is_true
from tests.stack.neurallog.manifests import SYSTEM, namespace, tenant_namespace, thing

RBAC = "rbac.authorization.k8s.io"
RIGHTS = ("k8s_role_rules", "k8s_bindings", "k8s_service_accounts")
PODS = ("k8s_pod_security", "k8s_role_rules", "k8s_bindings")
ACME = tenant_namespace("acme")


def account(name, where=SYSTEM):
    return thing("v1", "ServiceAccount", name, where)


def role(name, *rules, where=None):
    made = [{"verbs": verbs, "apiGroups": groups, "resources": resources} for verbs, groups, resources in rules]
    return thing(f"{RBAC}/v1", "Role" if where else "ClusterRole", name, where, rules=made)


def binding(name, to, *subjects, where=None, kind="ClusterRole"):
    reference = {"apiGroup": RBAC, "kind": kind, "name": to}
    made = thing(f"{RBAC}/v1", "RoleBinding" if where else "ClusterRoleBinding", name, where)
    return made | {"roleRef": reference, "subjects": list(subjects)}


def of_account(name, where=SYSTEM):
    return {"kind": "ServiceAccount", "name": name, "namespace": where}


def of_group(name):
    return {"kind": "Group", "name": name, "apiGroup": RBAC}


READ = (["get", "list"], [""], ["pods"])


@specimen("every_binding_grants_a_role_that_exists", sources=RIGHTS, on_api_server=True)
@contextmanager
def role_missing(server):
    """The role was renamed, its binding was not."""
    home(server)
    server.apply([account("reporter"), role("pod-reader-v2", READ, where=SYSTEM)])
    server.apply(binding("reporter", "pod-reader", of_account("reporter"), where=SYSTEM, kind="Role"))
    yield


@specimen("every_bound_service_account_exists", sources=RIGHTS, on_api_server=True)
@contextmanager
def account_missing(server):
    home(server)
    server.apply([role("pod-reader", READ), binding("reporter", "pod-reader", of_account("reporter"), where=SYSTEM)])
    yield


@specimen("no_binding_is_for_everyone", sources=RIGHTS, on_api_server=True)
@contextmanager
def anonymous_may_read(server):
    """For a dashboard without a login."""
    server.apply(binding("dashboard", "view", of_group("system:unauthenticated")))
    yield


@specimen("no_service_account_has_too_wide_rights", sources=RIGHTS, on_api_server=True)
@contextmanager
def account_may_do_anything(server):
    home(server)
    server.apply([account("billing"), binding("billing", "cluster-admin", of_account("billing"))])
    yield


@specimen("no_service_account_has_too_wide_rights", sources=RIGHTS, on_api_server=True)
@contextmanager
def account_may_read_secrets(server):
    """By an aggregated role: the rule stands in another one."""
    home(server)
    part = role("secret-reader", (["get"], [""], ["secrets"]))
    part["metadata"]["labels"] = {"neurallog.io/aggregate": "true"}
    whole = thing(f"{RBAC}/v1", "ClusterRole", "reporting")
    whole["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {"neurallog.io/aggregate": "true"}}]}
    server.apply(
        [account("reporter"), part, whole, binding("reporter", "reporting", of_account("reporter"), where=SYSTEM)]
    )
    server.wait("ClusterRole", "reporting", until=lambda seen: seen.get("rules"))
    yield


@specimen("tenants_have_rights_in_their_namespace_only", sources=RIGHTS, on_api_server=True)
@contextmanager
def tenant_sees_others(server):
    """The binding does not have the name of the tenant."""
    server.apply(
        [namespace(ACME), namespace(tenant_namespace("globex")), account("worker", ACME), role("pod-reader", READ)]
    )
    server.apply(binding("support", "pod-reader", of_account("worker", ACME), where=tenant_namespace("globex")))
    yield


@specimen("default_service_accounts_have_no_rights", sources=RIGHTS, on_api_server=True)
@contextmanager
def default_account_may_read(server):
    home(server)
    server.apply([role("pod-reader", READ), binding("reader", "pod-reader", of_account("default"), where=SYSTEM)])
    yield


# --- Pods -------------------------------------------------------------------------------------------------------------


@contextmanager
def _running(server, *containers, **parts):
    home(server)
    server.wait("ServiceAccount", "default", SYSTEM, until=bool)
    server.apply(pod("debug", *containers, real=False, **parts))
    server.wait("Pod", "debug", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
    yield


@specimen("no_container_has_rights_on_its_node", sources=PODS, on_api_server=True)
@contextmanager
def privileged(server):
    with _running(server, container(securityContext={"privileged": True}), hostPID=True):
        yield


@specimen("no_container_has_rights_on_its_node", sources=PODS, on_api_server=True)
@contextmanager
def mounts_the_node(server):
    volumes = [{"name": "node", "hostPath": {"path": "/"}}]
    mounted = container(volumeMounts=[{"name": "node", "mountPath": "/host", "readOnly": True}])
    with _running(server, mounted, volumes=volumes):
        yield


@specimen("no_container_has_rights_on_its_node", sources=PODS, on_api_server=True)
@contextmanager
def capability_added(server):
    with _running(server, container(securityContext={"capabilities": {"add": ["NET_ADMIN"]}})):
        yield


@specimen("containers_give_up_rights", sources=PODS, on_api_server=True)
@contextmanager
def may_be_root(server):
    with _running(server, container()):
        yield


@specimen("tokens_are_mounted_where_they_are_used", sources=PODS, on_api_server=True)
@contextmanager
def token_without_use(server):
    with _running(server, container()):
        yield

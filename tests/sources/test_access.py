"""Rights and pod security, asked of a real API server: each row as the objects have it."""

import json

import pandas as pd
import pytest

from nl_forensics import permissions
from tests.asking import ask, link, platform
from tests.record.access import READ, account, binding, of_account, of_group, role
from tests.record.kubernetes.objects import container, pod
from tests.stack.kubernetes.api import is_true
from tests.stack.kubernetes.cluster import USERS_NAMESPACE, cluster
from tests.stack.neurallog.manifests import SYSTEM, namespace

ACME, GLOBEX = "tenant-acme", "tenant-globex"


@pytest.fixture(scope="module")
def server():
    """With one binding of each kind, and a pod with a token."""
    with cluster(nodes=1) as running:
        running.apply([namespace(name) for name in (SYSTEM, ACME, GLOBEX, "elsewhere")])
        running.apply([account("worker", ACME), account("worker", "elsewhere"), account("operator")])
        running.apply([role("pod-reader", READ), role("local", READ, where=ACME), role("nothing", where=ACME)])
        running.apply(
            [
                binding("own", "local", of_account("worker", ACME), where=ACME, kind="Role"),
                binding("other", "pod-reader", of_account("worker", ACME), where=GLOBEX),
                binding("all", "pod-reader", of_group(f"system:serviceaccounts:{ACME}")),
                binding("gone", "missing", of_account("nobody", ACME), where=ACME, kind="Role"),
                binding("outside", "pod-reader", of_account("worker", "elsewhere")),
                binding("empty", "pod-reader", where=ACME),
            ]
        )
        running.wait("ServiceAccount", "default", SYSTEM, until=bool)
        running.apply(pod("web", container(), real=False))
        running.wait("Pod", "web", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
        yield running


@pytest.fixture(scope="module")
def opened(server):
    return link("kubernetes", str(server.kubeconfig()))


def rows(opened, source, **key):
    table = ask(opened, source, platform_=platform(access={"administrators": [f"{SYSTEM}/*"]})).table
    for column, value in key.items():
        table = table[table[column] == value]
    return table.to_dict("records")


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("own", ("acme", "acme", True, True)),
        ("other", ("globex", "acme", True, True)),
        ("all", ("", "acme", True, True)),
        ("gone", ("acme", "acme", False, False)),
        ("outside", ("", "", True, True)),
    ],
)
def test_a_binding_knows_its_ends(opened, name, facts):
    [row] = rows(opened, "k8s_bindings", name=name)
    assert (row["tenant"], row["subject_tenant"], row["role_exists"], row["subject_exists"]) == facts
    assert (row["changed_by"], row["built_in"]) == ("deploy-pipeline", False)


def test_a_binding_without_a_subject_is_a_row(opened):
    [row] = rows(opened, "k8s_bindings", name="empty")
    assert (row["subject_kind"], row["subject"]) == ("", "")


def test_what_kubernetes_itself_made_is_marked(opened):
    [row] = rows(opened, "k8s_bindings", name="cluster-admin")
    assert row["built_in"]
    assert not any(row["built_in"] for row in rows(opened, "k8s_role_rules", name="pod-reader"))


def test_rules_are_lists(opened):
    [row] = rows(opened, "k8s_role_rules", name="local")
    lists = {name: json.loads(row[name]) for name in ("verbs", "groups", "resources", "resource_names", "urls")}
    assert lists == {
        "verbs": ["get", "list"],
        "groups": [""],
        "resources": ["pods"],
        "resource_names": [],
        "urls": [],
    }


def test_a_role_without_rules_is_a_row(opened):
    [row] = rows(opened, "k8s_role_rules", name="nothing")
    assert row["verbs"] == "[]"


def test_an_aggregated_role_names_its_parts(opened):
    aggregates = {row["aggregates"] for row in rows(opened, "k8s_role_rules", name="view")}
    assert aggregates == {"rbac.authorization.k8s.io/aggregate-to-view=true"}


def test_the_token_of_a_pod_is_seen(opened):
    [row] = rows(opened, "k8s_pod_security", pod="web")
    assert (row["mounts_token"], row["service_account"], row["may_be_root"]) == (True, "default", True)


def test_changes_of_roles_are_seen_without_those_of_kubernetes(opened):
    found = rows(opened, "k8s_changes", kind="clusterroles")
    assert "pod-reader" in {row["name"] for row in found}
    assert not {"view", "cluster-admin", "system:node"} & {row["name"] for row in found}


def test_what_may_not_be_listed_is_unknown(server):
    """Of a role that may list bindings alone, neither roles nor service accounts are known to exist."""
    rules = [
        {
            "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["rolebindings", "clusterrolebindings"],
            "verbs": ["list"],
        }
    ]
    table = ask(link("kubernetes", str(server.kubeconfig("half", rules))), "k8s_bindings").table
    of_accounts = table[table.subject_kind == "ServiceAccount"]
    assert of_accounts.subject_exists.isna().all()
    assert table.role_exists.isna().all()


def test_in_one_namespace_what_is_elsewhere_is_unknown(server):
    """The role may list in the namespace of one tenant alone: what its bindings name there is known, and nothing else."""
    kinds = ["roles", "rolebindings"]
    rules = [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": kinds, "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["list"]},
    ]
    of_cluster = (["list"], ["rbac.authorization.k8s.io"], ["clusterrolebindings"])
    user = of_account("tenant", USERS_NAMESPACE)
    server.apply([role("of-cluster", of_cluster), binding("of-cluster", "of-cluster", user)])
    opened = link("kubernetes", str(server.kubeconfig("tenant", rules, namespace=ACME)))
    heard = ask(opened, "k8s_bindings", platform_=platform(namespaces=[ACME]))
    found = {row["name"]: row for row in heard.table.to_dict("records")}
    assert (found["own"]["role_exists"], found["own"]["subject_exists"]) == (True, True)
    assert (found["gone"]["role_exists"], found["gone"]["subject_exists"]) == (False, False)
    assert pd.isna(found["empty"]["role_exists"])


def test_the_generated_role_is_enough(server):
    opened = link("kubernetes", str(server.kubeconfig("reader", permissions.kubernetes_rules())))
    for name in ("k8s_bindings", "k8s_role_rules", "k8s_service_accounts", "k8s_pod_security", "k8s_changes"):
        assert ask(opened, name).unseen == []

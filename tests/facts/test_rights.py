"""What a right is: rules, groups, what is missing, and which rights lead to others."""

import pytest

from nl_forensics.facts.kubernetes.powers import powers_of
from nl_forensics.facts.kubernetes.rbac import Access, Binding, Identity, Request, Rule

RBAC = "rbac.authorization.k8s.io"
WORKER = Identity.of_account("acme", "worker")


def rule(verbs, resources=(), groups=("",), names=(), urls=()):
    return Rule(tuple(verbs), tuple(groups), tuple(resources), tuple(names), tuple(urls))


def binding(subject="worker", kind="ServiceAccount", namespace="acme", of_cluster=False, role="reader"):
    home = namespace if kind == "ServiceAccount" else ""
    where = ("ClusterRoleBinding", "") if of_cluster else ("RoleBinding", namespace)
    return Binding(*where, "bound", "ClusterRole", role, kind, home, subject)


def access(*rules, **how):
    return Access({("ClusterRole", "", "reader"): list(rules)}, [binding(**how)])


@pytest.mark.parametrize(
    ("made", "asked", "is_allowed"),
    [
        (rule(["list"], ["pods"]), Request("list", "pods"), True),
        (rule(["list"], ["pods"]), Request("list", "pods/log"), False),
        (rule(["*"], ["*/log"]), Request("get", "pods/log"), True),
        (rule(["*"], ["*"]), Request("get", "pods/log"), True),
        (rule(["get"], ["pods"], ["apps"]), Request("get", "pods"), False),
        (rule(["get"], ["deployments"], ["*"]), Request("get", "deployments", "apps"), True),
        (rule(["get"], ["secrets"], names=["tls"]), Request("get", "secrets", name="tls"), True),
        (rule(["get"], ["secrets"], names=["tls"]), Request("get", "secrets"), False),
        (rule(["get"], urls=["/healthz/*"]), Request("get", url="/healthz/etcd"), True),
        (rule(["get"], urls=["/healthz/*"]), Request("get", url="/healthz"), False),
        (rule(["get"], urls=["*"]), Request("get", url="/metrics"), True),
        (rule(["get"], ["*"], ["*"]), Request("get", url="/metrics"), False),
    ],
)
def test_a_rule(made, asked, is_allowed):
    assert made.allows(asked) == is_allowed


@pytest.mark.parametrize(
    ("how", "namespace", "is_allowed"),
    [
        ({}, "acme", True),
        ({}, "globex", False),
        ({}, "", False),
        ({"of_cluster": True}, "globex", True),
        ({"of_cluster": True}, "", True),
        ({"kind": "Group", "subject": "system:serviceaccounts:acme"}, "acme", True),
        ({"kind": "Group", "subject": "system:serviceaccounts:globex"}, "acme", False),
        ({"kind": "Group", "subject": "system:authenticated"}, "acme", True),
        ({"kind": "User", "subject": "system:serviceaccount:acme:worker"}, "acme", True),
        ({"kind": "User", "subject": "worker"}, "acme", False),
    ],
)
def test_a_binding(how, namespace, is_allowed):
    found = access(rule(["list"], ["pods"]), **how).allows(WORKER, Request("list", "pods", namespace=namespace))
    assert bool(found) == is_allowed


@pytest.mark.parametrize(
    ("rules", "how", "asked", "said"),
    [
        (
            [rule(["get"], ["pods"])],
            {},
            Request("list", "pods", namespace="acme"),
            "lacks the verb list (has get on pods)",
        ),
        ([rule(["get"], ["pods"], names=["a"])], {}, Request("get", "pods", namespace="acme"), "lacks the name"),
        ([rule(["get"], ["pods"])], {}, Request("get", "secrets", namespace="acme"), "is about secrets"),
        ([rule(["get"], ["pods"])], {}, Request("get", "pods", namespace="globex"), "bound elsewhere only"),
        (
            [rule(["get"], ["pods"])],
            {"subject": "other"},
            Request("get", "pods", namespace="acme"),
            "no binding names it",
        ),
        ([], {}, Request("get", "pods", namespace="acme"), "reader, a role that does not exist"),
    ],
)
def test_what_is_missing_is_named(rules, how, asked, said):
    assert said in access(*rules, **how).missing(WORKER, asked)


@pytest.mark.parametrize(
    ("made", "means"),
    [
        (rule(["*"], ["*"], ["*"]), ["do anything"]),
        (rule(["*"], ["*"]), ["impersonate others", "run commands on nodes", "read secrets", "run commands in pods"]),
        (rule(["get"], ["secrets"]), ["read secrets"]),
        (rule(["get"], ["secrets"], names=["tls"]), []),
        (rule(["bind"], ["clusterroles"], [RBAC]), ["grant rights that it does not have"]),
        (rule(["create"], ["pods/exec"]), ["run commands in pods"]),
        (rule(["create"], ["serviceaccounts/token"]), ["issue tokens of service accounts"]),
        (rule(["create"], ["deployments"], ["apps"]), ["create pods"]),
        (rule(["get", "list", "watch"], ["pods", "services"]), []),
    ],
)
def test_powers(made, means):
    assert [one.means for one in powers_of([made])][: len(means) or 1] == means


def test_an_identity_has_the_groups_of_its_kind():
    assert WORKER.groups == ("system:serviceaccounts", "system:serviceaccounts:acme", "system:authenticated")
    assert Identity.of_user("system:serviceaccount:acme:worker") == WORKER
    assert Identity.of_user("anna").groups == ("system:authenticated",)
    assert Identity.of_user("system:anonymous").groups == ("system:unauthenticated",)
    assert Identity.of_user("system:serviceaccount:a:b:c").shown == "a/b:c"

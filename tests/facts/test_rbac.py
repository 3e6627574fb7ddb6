"""Our evaluator of RBAC answers as the API server does: on a real one, with generated roles, bindings and questions."""

import itertools
import random

from nl_forensics.facts.kubernetes.rbac import Access, Identity, Request
from tests.asking import ask, link, platform
from tests.stack.kubernetes.cluster import cluster
from tests.stack.neurallog.manifests import namespace, thing

SEED, QUESTIONS = 20261130, 400
RBAC = "rbac.authorization.k8s.io"
NAMESPACES = ("tenant-acme", "tenant-globex", "neurallog-system")
VERBS = ("get", "list", "watch", "create", "patch", "delete", "impersonate", "escalate", "*")
RESOURCES = (
    ("", "pods"),
    ("", "pods/log"),
    ("", "pods/exec"),
    ("", "secrets"),
    ("", "nodes"),
    ("", "nodes/proxy"),
    ("", "serviceaccounts/token"),
    ("apps", "deployments"),
    ("apps", "deployments/scale"),
    ("batch", "jobs"),
    ("neurallog.io", "tenants"),
    (RBAC, "roles"),
)
NAMES = ("", "web", "db", "a, b")
URLS = ("/healthz", "/healthz/etcd", "/metrics", "/api", "/apis/apps", "/logs/kubelet.log", "/version")
URL_PATTERNS = ("/healthz", "/healthz/*", "/metrics", "/logs*", "*", "/apis/*")
ACCOUNTS = tuple(itertools.product(NAMESPACES, ("default", "worker", "reader")))
USERS = ("anna@neurallog.example", "system:anonymous", "ci")
GROUPS = ("system:authenticated", "system:serviceaccounts", "system:serviceaccounts:tenant-acme", "analysts")


def some(chance, choices, most=3):
    return chance.sample(choices, chance.randint(1, min(most, len(choices))))


def rule(chance, may_name_urls):
    if may_name_urls and chance.random() < 0.2:
        return {"verbs": some(chance, ("get", "post", "*"), 1), "nonResourceURLs": some(chance, URL_PATTERNS, 2)}
    chosen = some(chance, RESOURCES)
    resources = [name for _, name in chosen] + some(chance, ("*", "*/log", "*/scale", "pods"), 1) * (
        chance.random() < 0.3
    )
    groups = ["*"] if chance.random() < 0.15 else sorted({group for group, _ in chosen})
    made = {"verbs": some(chance, VERBS), "apiGroups": groups, "resources": resources}
    return made | ({"resourceNames": some(chance, NAMES[1:], 2)} if chance.random() < 0.25 else {})


def role(chance, name, home=None):
    return thing(f"{RBAC}/v1", "Role" if home else "ClusterRole", name, home) | {
        "rules": [rule(chance, not home) for _ in range(chance.randint(0, 3))]
    }


def subject(chance):
    kind = chance.choice(("ServiceAccount", "ServiceAccount", "User", "Group"))
    if kind == "ServiceAccount":
        home, name = chance.choice(ACCOUNTS)
        return {"kind": kind, "name": name, "namespace": home}
    return {"kind": kind, "name": chance.choice(USERS if kind == "User" else GROUPS), "apiGroup": RBAC}


def binding(chance, name, roles, home=None):
    kind, granted = chance.choice([one for one in roles if home or one[0] == "ClusterRole"])
    made = thing(f"{RBAC}/v1", "RoleBinding" if home else "ClusterRoleBinding", name, home)
    return made | {
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": granted},
        "subjects": [subject(chance) for _ in range(chance.randint(1, 2))],
    }


def objects(chance):
    """Roles and bindings; an aggregated role, and bindings whose role does not exist."""
    yield from (namespace(name) for name in NAMESPACES)
    parts = role(chance, "part")
    parts["metadata"]["labels"] = {"neurallog.io/part": "true"}
    yield parts
    selectors = [{"matchLabels": {"neurallog.io/part": "true"}}]
    yield thing(f"{RBAC}/v1", "ClusterRole", "whole") | {"aggregationRule": {"clusterRoleSelectors": selectors}}
    of_cluster = [("ClusterRole", name) for name in ("part", "whole", "view", "system:node", "missing")]
    for number in range(8):
        yield role(chance, f"cluster-{number}")
        of_cluster.append(("ClusterRole", f"cluster-{number}"))
    for number in range(7):
        yield binding(chance, f"cluster-{number}", of_cluster)
    for home in NAMESPACES:
        here = [("Role", "missing")]
        for number in range(4):
            yield role(chance, f"role-{number}", home)
            here.append(("Role", f"role-{number}"))
        for number in range(6):
            yield binding(chance, f"binding-{number}", here + of_cluster, home)


def question(chance):
    who = chance.choice((*(Identity.of_account(*one) for one in ACCOUNTS), *map(Identity.of_user, USERS)))
    who = Identity(who.name, (*who.groups, "analysts")) if chance.random() < 0.1 else who
    if chance.random() < 0.2:
        return who, Request(chance.choice(("get", "post")), url=chance.choice(URLS))
    group, resource = chance.choice(RESOURCES)
    home = chance.choice(("", *NAMESPACES))
    return who, Request(chance.choice(VERBS), resource, group, home, chance.choice(NAMES))


def the_servers_answer(api, who, asked):
    resource, _, subresource = asked.resource.partition("/")
    place = {"group": asked.group, "resource": resource, "subresource": subresource, "namespace": asked.namespace}
    attributes = (
        {"nonResourceAttributes": {"verb": asked.verb, "path": asked.url}}
        if asked.url
        else {"resourceAttributes": place | {"verb": asked.verb, "name": asked.name}}
    )
    review = thing("authorization.k8s.io/v1", "SubjectAccessReview", "")
    review["spec"] = attributes | {"user": who.name, "groups": list(who.groups)}
    return api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"]


def is_aggregated(seen):
    return bool(seen and seen.get("rules"))


def test_it_agrees_with_the_api_server():
    chance = random.Random(SEED)
    with cluster() as server:
        server.apply(list(objects(chance)))
        server.wait("ClusterRole", "whole", until=lambda seen: is_aggregated(seen) or not is_aggregated(part(server)))
        everywhere = platform(namespaces=[])
        opened = link("kubernetes", str(server.kubeconfig()))
        tables = [
            ask(opened, name, platform_=everywhere).table.assign(instance="main")
            for name in ("k8s_role_rules", "k8s_bindings")
        ]
        access = Access.of(*tables, "main")
        asked = [question(chance) for _ in range(QUESTIONS)]
        ours = [access.allows(*one) is not None for one in asked]
        theirs = [the_servers_answer(server.api, *one) for one in asked]
    different = [
        (who.name, what.shown, mine)
        for (who, what), mine, their in zip(asked, ours, theirs, strict=True)
        if mine != their
    ]
    assert different == []
    assert 60 < sum(theirs) < QUESTIONS - 60, "questions with one answer only prove little"


def part(server):
    return server.get("ClusterRole", "part")

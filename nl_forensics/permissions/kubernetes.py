"""The Kubernetes permissions as YAML: a service account, its roles and their bindings."""

from collections.abc import Iterable, Iterator

import yaml

from nl_forensics import sources
from nl_forensics.sources.kubernetes.kinds import is_namespaced
from nl_forensics.sources.systems import PORT_FORWARD

NAME = "nl-forensics"
GROUP = "rbac.authorization.k8s.io"
BESIDE = (
    f"{NAME}-cluster"  # the ClusterRole that complements roles in namespaces; its name differs from the complete one's
)

HOW = """\
# For the service account {home}/{name}; a token that goes into a kubeconfig: kubectl -n {home} create token {name} --duration=8h
# For people in place of it: name them under `subjects` of the bindings ({{kind: Group, name: analysts, apiGroup: {group}}})."""
WHAT_IS_MISSED = """\
# Lists in these namespaces alone. What it costs: how full a node is (that takes the pods of all namespaces)."""


def rules(wanted: Iterable[tuple[str, str]]) -> list[dict]:
    """The rules of a role: the same verbs for several resources of a group are one rule."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for verb, resource in wanted:
        plural, _, group = resource.partition(".")
        verbs.setdefault(("", resource) if resource.startswith("/") else (group, plural), set()).add(verb)
    found: dict[tuple, list[str]] = {}
    for (group, resource), allowed in sorted(verbs.items()):
        found.setdefault((resource.startswith("/"), group, tuple(sorted(allowed))), []).append(resource)
    return [
        {"nonResourceURLs": resources, "verbs": list(allowed)}
        if is_url
        else {"apiGroups": [group], "resources": resources, "verbs": list(allowed)}
        for (is_url, group, allowed), resources in found.items()
    ]


def everywhere(home: str) -> str:
    """A ClusterRole with everything, bound to a service account; then, as comments, what is optional."""
    wanted = set(sources.asked_of_kubernetes())
    return _text([HOW], [*_account(home), *_granted(NAME, wanted, home)], home) + "\n" + _port_forward(home)


def port_forward_rules() -> list[dict]:
    """The rules for reaching systems through the cluster."""
    return rules(PORT_FORWARD.of_kubernetes())


def _port_forward(home: str) -> str:
    """It opens every port of every pod, so it is granted in few namespaces, and manually."""
    granted = _granted(f"{NAME}-forward", set(PORT_FORWARD.of_kubernetes()), home, "…")
    adds = f"# optional, in the namespace of each of them, adds {PORT_FORWARD.adds}:"
    return "\n".join([adds, *(f"# {line}" for line in _yaml(granted).splitlines())])


def in_namespaces(names: Iterable[str], home: str) -> str:
    """A Role in each namespace, and a ClusterRole for cluster-scoped resources."""
    asked = sources.asked_of_kubernetes()
    inside = {pair for pair in asked if is_namespaced(pair[1])}
    objects = [*_account(home), *_granted(BESIDE, set(asked) - inside, home)]
    for namespace in sorted({*names}.union(*asked.values())):
        wanted = {pair for pair in inside if namespace in names or namespace in asked[pair]}
        objects += _granted(NAME, wanted, home, namespace)
    return _text([WHAT_IS_MISSED, HOW], objects, home)


def _account(home: str) -> Iterator[dict]:
    """A namespace is made only where it is our own: deleting these objects must not delete the namespace of others."""
    if home == NAME:
        yield _object("v1", "Namespace", NAME)
    yield _object("v1", "ServiceAccount", NAME, home)


def _granted(name: str, wanted: set[tuple[str, str]], home: str, namespace: str = "") -> list[dict]:
    """A role, and its binding to the service account."""
    kind = "Role" if namespace else "ClusterRole"
    binding = _object(f"{GROUP}/v1", f"{kind}Binding", name, namespace)
    return [
        _object(f"{GROUP}/v1", kind, name, namespace) | {"rules": rules(wanted)},
        binding
        | {
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": home}],
        },
    ]


def _object(version: str, kind: str, name: str, namespace: str = "") -> dict:
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name} | where}


def _text(comments: list[str], objects: list[dict], home: str) -> str:
    return "\n".join(comments).format(home=home, name=NAME, group=GROUP) + "\n" + _yaml(objects)


def _yaml(objects: Iterable[dict]) -> str:
    return "---\n".join(
        yaml.safe_dump(one, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True) for one in objects
    ).rstrip()

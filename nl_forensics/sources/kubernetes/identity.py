"""Who may do what: service accounts, roles, bindings."""

from nl_forensics.sources import UTC, Permission, source
from nl_forensics.sources.kubernetes.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
)
from nl_forensics.sources.kubernetes.reading import joined, listed, named
from nl_forensics.sources.kubernetes.workloads import NAMED

BUILT_IN = "system:"  # roles and bindings of Kubernetes itself


@source(
    columns={**NAMED, "automounts_token": "boolean", "pull_secrets": "str"},
    covers="now",
    needs=Permission(kubernetes="list serviceaccounts"),
)
def k8s_service_accounts(kubernetes, incident, platform):
    """One row per service account in scope.

    automounts_token   whether its pods are given its token, which they are unless somebody said no
    pull_secrets       names of secrets with which images are pulled
    """
    found = yield from listed(kubernetes, SERVICE_ACCOUNTS, incident, platform)
    for one in found:
        yield named(one) | {
            "automounts_token": one.get("automountServiceAccountToken") is not False,
            "pull_secrets": joined(each["name"] for each in one.get("imagePullSecrets") or []),
        }


@source(
    columns={
        "kind": "str",
        "namespace": "str",
        "name": "str",
        "created_at": UTC,
        "verbs": "str",
        "groups": "str",
        "resources": "str",
        "resource_names": "str",
        "urls": "str",
    },
    covers="now",
    needs=Permission(kubernetes="list roles.rbac.authorization.k8s.io clusterroles.rbac.authorization.k8s.io"),
)
def k8s_role_rules(kubernetes, incident, platform):
    """One row per rule of each role in scope, and of each cluster role; those of Kubernetes itself (`system:`) are left out.

    kind     `Role` or `ClusterRole`; namespace: "" for a cluster role
    groups   of the API, the core one is `core`; resource_names: "" for any; urls: of rules that are about no resource
    """
    for kind, word in ((ROLES, "Role"), (CLUSTER_ROLES, "ClusterRole")):
        found = yield from listed(kubernetes, kind, incident, platform)
        for one in (one for one in found if not one["metadata"]["name"].startswith(BUILT_IN)):
            for rule in one.get("rules") or []:
                yield {"kind": word} | named(one) | _rule(rule)


def _rule(rule: dict) -> dict:
    return {
        "verbs": joined(rule.get("verbs") or []),
        "groups": joined(group or "core" for group in rule.get("apiGroups") or []),
        "resources": joined(rule.get("resources") or []),
        "resource_names": joined(rule.get("resourceNames") or []),
        "urls": joined(rule.get("nonResourceURLs") or []),
    }


@source(
    columns={
        "kind": "str",
        "namespace": "str",
        "name": "str",
        "created_at": UTC,
        "role_kind": "str",
        "role": "str",
        "subject_kind": "str",
        "subject_namespace": "str",
        "subject": "str",
    },
    covers="now",
    needs=Permission(
        kubernetes="list rolebindings.rbac.authorization.k8s.io clusterrolebindings.rbac.authorization.k8s.io"
    ),
)
def k8s_bindings(kubernetes, incident, platform):
    """One row per subject of each binding in scope, and of each cluster binding; those of Kubernetes itself (`system:`) are left out.

    kind           `RoleBinding` or `ClusterRoleBinding`; role_kind, role: what is granted
    subject_kind   `User`, `Group` or `ServiceAccount`, subject_namespace: of a service account; "" where a binding grants to nobody
    """
    for kind, word in ((ROLE_BINDINGS, "RoleBinding"), (CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding")):
        found = yield from listed(kubernetes, kind, incident, platform)
        for one in (one for one in found if not one["metadata"]["name"].startswith(BUILT_IN)):
            granted = {"role_kind": one["roleRef"]["kind"], "role": one["roleRef"]["name"]}
            for subject in one.get("subjects") or [{}]:
                yield (
                    {"kind": word}
                    | named(one)
                    | granted
                    | {
                        "subject_kind": subject.get("kind", ""),
                        "subject_namespace": subject.get("namespace", ""),
                        "subject": subject.get("name", ""),
                    }
                )

"""Rights: service accounts, roles, bindings."""

from nl_forensics.sources import Permission, source
from nl_forensics.sources.column import UTC, Column
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
    columns={
        **NAMED,
        "automounts_token": Column("boolean", "its token is mounted into its pods, which is the default"),
        "pull_secrets": Column("str", "names of secrets used to pull images"),
    },
    covers="now",
    needs=Permission(kubernetes="list serviceaccounts"),
)
def k8s_service_accounts(kubernetes, incident, platform):
    """One row per service account in scope."""
    found = yield from listed(kubernetes, SERVICE_ACCOUNTS, incident, platform)
    for one in found:
        yield named(one) | {
            "automounts_token": one.get("automountServiceAccountToken") is not False,
            "pull_secrets": joined(each["name"] for each in one.get("imagePullSecrets") or []),
        }


@source(
    columns={
        "kind": Column("str", "`Role` or `ClusterRole`"),
        "namespace": Column("str", "namespace of the role; empty for a cluster role"),
        "name": Column("str", "name of the role"),
        "created_at": Column(UTC, "the role was created"),
        "verbs": Column("str", "verbs that it allows"),
        "groups": Column("str", "API groups; the core group is `core`"),
        "resources": Column("str", "resources that it is about"),
        "resource_names": Column("str", "names of objects that it is restricted to; empty for any"),
        "urls": Column("str", "URLs, for rules that are about no resource"),
    },
    covers="now",
    needs=Permission(kubernetes="list roles.rbac.authorization.k8s.io clusterroles.rbac.authorization.k8s.io"),
)
def k8s_role_rules(kubernetes, incident, platform):
    """One row per rule of each role in scope, and of each cluster role; those of Kubernetes itself (`system:`) are left out."""
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
        "kind": Column("str", "`RoleBinding` or `ClusterRoleBinding`"),
        "namespace": Column("str", "namespace of the binding; empty for a cluster binding"),
        "name": Column("str", "name of the binding"),
        "created_at": Column(UTC, "the binding was created"),
        "role_kind": Column("str", "kind of the granted role"),
        "role": Column("str", "name of the granted role"),
        "subject_kind": Column("str", "`User`, `Group` or `ServiceAccount`; empty if the binding has no subject"),
        "subject_namespace": Column("str", "namespace of a service account; empty otherwise"),
        "subject": Column("str", "name of the subject; empty if the binding has none"),
    },
    covers="now",
    needs=Permission(
        kubernetes="list rolebindings.rbac.authorization.k8s.io clusterrolebindings.rbac.authorization.k8s.io"
    ),
)
def k8s_bindings(kubernetes, incident, platform):
    """One row per subject of each binding in scope, and of each cluster binding; those of Kubernetes itself (`system:`) are left out."""
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

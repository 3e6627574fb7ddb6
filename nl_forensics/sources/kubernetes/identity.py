"""Rights: service accounts, roles, bindings."""

import json
from collections.abc import Callable
from typing import NamedTuple

from nl_forensics.errors import SourceError
from nl_forensics.sources import Permission, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.changes import last_change
from nl_forensics.sources.kubernetes.kinds import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    Kind,
)
from nl_forensics.sources.kubernetes.reading import joined, listed, named, pairs
from nl_forensics.sources.kubernetes.workloads import NAMED

BUILT_IN = ("kubernetes.io/bootstrapping", "rbac-defaults")  # label of what the API server itself keeps up to date
BUILT_IN_NAMES = ("system:", "cluster-admin", "admin", "edit", "view")  # anyone can set the label
OF_NAMESPACE = "system:serviceaccounts:"  # group of all service accounts of one namespace
CHANGE = {
    "changed_at": Column(UTC, "last write by any program", absent="no write is noted"),
    "changed_by": Column("str", "program of the last write; empty if none is noted"),
    "built_in": Column("boolean", "Kubernetes itself created it, and restores it at each start of the API server"),
}


def _change(one: dict) -> dict:
    metadata, write = one["metadata"], last_change(one)
    is_marked = (metadata.get("labels") or {}).get(BUILT_IN[0]) == BUILT_IN[1]
    return {
        "changed_at": write.get("time"),
        "changed_by": write.get("manager", ""),
        "built_in": is_marked and metadata["name"].startswith(BUILT_IN_NAMES),
    }


@source(
    columns={
        **NAMED,
        "automounts_token": Column("boolean", "its token is mounted into its pods, which is the default"),
        "pull_secrets": Column("str", "names of secrets used to pull images"),
    },
    covers="now",
    needs=Permission(kubernetes="list serviceaccounts"),
    guide=("C115",),
)
def k8s_service_accounts(kubernetes, incident, platform):
    """One row per service account in scope."""
    found = yield from listed(kubernetes, SERVICE_ACCOUNTS, incident, platform)
    for one in found:
        yield named(one) | {
            "automounts_token": one.get("automountServiceAccountToken") is not False,
            "pull_secrets": joined(each["name"] for each in one.get("imagePullSecrets") or []),
        }


RULE = {"verbs": "verbs", "groups": "apiGroups", "resources": "resources"}
RULE |= {"resource_names": "resourceNames", "urls": "nonResourceURLs"}


@source(
    columns={
        "kind": Column("str", "`Role` or `ClusterRole`"),
        "namespace": Column("str", "namespace of the role; empty for a cluster role"),
        "name": Column("str", "name of the role"),
        "created_at": Column(UTC, "the role was created"),
        "aggregates": Column(
            "str", "labels of other cluster roles: a controller copies their rules into it; empty if none"
        ),
        "verbs": Column("str", "verbs that the rule allows, as a JSON list; `[]` for a role without a rule"),
        "groups": Column("str", "API groups, as a JSON list; the core group is empty"),
        "resources": Column("str", "resources that it is about, as a JSON list"),
        "resource_names": Column("str", "names of objects that it is restricted to, as a JSON list; `[]` for any"),
        "urls": Column("str", "URLs, for a rule that is about no resource, as a JSON list"),
        **CHANGE,
    },
    covers="now",
    needs=Permission(kubernetes="list roles.rbac.authorization.k8s.io clusterroles.rbac.authorization.k8s.io"),
    guide=("C115", "C117"),
)
def k8s_role_rules(kubernetes, incident, platform):
    """One row per rule of each role in scope, and of each cluster role; a role without a rule has one row as well."""
    for kind, word in ((ROLES, "Role"), (CLUSTER_ROLES, "ClusterRole")):
        found = yield from listed(kubernetes, kind, incident, platform)
        for one in found:
            selectors = (one.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
            role = {"kind": word} | named(one) | _change(one)
            role["aggregates"] = joined((pairs(each.get("matchLabels")) for each in selectors), " or ")
            for rule in one.get("rules") or [{}]:
                yield role | {column: json.dumps(rule.get(field) or []) for column, field in RULE.items()}


class _Known(NamedTuple):
    """What exists, by (namespace, name); null where it may not be listed."""

    role: Callable[[str, str], bool | None]
    cluster_role: Callable[[str, str], bool | None]
    account: Callable[[str, str], bool | None]


@source(
    columns={
        "kind": Column("str", "`RoleBinding` or `ClusterRoleBinding`"),
        "namespace": Column("str", "namespace of the binding; empty for a cluster binding"),
        "name": Column("str", "name of the binding"),
        "created_at": Column(UTC, "the binding was created"),
        "role_kind": Column("str", "kind of the granted role"),
        "role": Column("str", "name of the granted role"),
        "role_exists": Column("boolean", "the granted role exists", unknown="roles may not be listed"),
        "subject_kind": Column("str", "`User`, `Group` or `ServiceAccount`; empty if the binding has no subject"),
        "subject_namespace": Column("str", "namespace of a service account; empty otherwise"),
        "subject": Column("str", "name of the subject; empty if the binding has none"),
        "subject_exists": Column(
            "boolean",
            "the service account exists; true for users and groups, which are no objects",
            unknown="service accounts of its namespace may not be listed",
        ),
        "tenant": Column("str", "tenant that the namespace of the binding belongs to; empty if none"),
        "subject_tenant": Column("str", "tenant that the namespace of the subject belongs to; empty if none"),
        "is_administrator": Column("boolean", "the platform file names the service account in `access.administrators`"),
        **CHANGE,
    },
    covers="now",
    needs=Permission(
        kubernetes="list rolebindings.rbac.authorization.k8s.io clusterrolebindings.rbac.authorization.k8s.io"
        " roles.rbac.authorization.k8s.io clusterroles.rbac.authorization.k8s.io serviceaccounts"
    ),
    guide=("C116", "C118"),
)
def k8s_bindings(kubernetes, incident, platform):
    """One row per subject of each binding in scope, and of each cluster binding; a binding without a subject has one row as well."""
    known = _Known(
        *(_existing(kubernetes, kind, incident, platform) for kind in (ROLES, CLUSTER_ROLES, SERVICE_ACCOUNTS))
    )
    for kind, word in ((ROLE_BINDINGS, "RoleBinding"), (CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding")):
        found = yield from listed(kubernetes, kind, incident, platform)
        for one in found:
            binding = {"kind": word} | named(one) | _change(one) | _granted(one, known)
            for subject in one.get("subjects") or [{}]:
                yield binding | _subject(binding["namespace"], subject, known, platform)


def _existing(kubernetes, kind: Kind, incident, platform) -> Callable[[str, str], bool | None]:
    """Whether there is an object; null where that may not be known. A binding may name one outside of the scope."""
    try:
        kubernetes.objects(kind, incident.scope(platform))  # where not all may be listed, it lists those in scope
        listing = kubernetes.objects(kind)
    except SourceError:
        return lambda namespace, name: None
    there = {(one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in listing.items}
    seen, is_whole = {namespace for namespace, _ in there}, listing.everywhere

    def exists(namespace: str, name: str) -> bool | None:
        is_seen = not listing.unseen and (is_whole or namespace in seen)
        return (namespace, name) in there or (False if is_seen else None)

    return exists


def _granted(one: dict, known: _Known) -> dict:
    kind, name = one["roleRef"]["kind"], one["roleRef"]["name"]
    of_cluster = kind == "ClusterRole"
    exists = known.cluster_role("", name) if of_cluster else known.role(one["metadata"].get("namespace", ""), name)
    return {"role_kind": kind, "role": name, "role_exists": exists}


def _subject(home: str, subject: dict, known: _Known, platform) -> dict:
    """A service account without a namespace is one of the binding's own, as the API server reads it."""
    kind, name = subject.get("kind", ""), subject.get("name", "")
    is_account = kind == "ServiceAccount"
    namespace = (subject.get("namespace") or home) if is_account else ""
    of_group = name.removeprefix(OF_NAMESPACE) if kind == "Group" and name.startswith(OF_NAMESPACE) else ""
    tenants = platform.tenants
    return {
        "subject_kind": kind,
        "subject_namespace": namespace,
        "subject": name,
        "subject_exists": known.account(namespace, name) if is_account else True,
        "tenant": tenants.tenant_of(home) if tenants else "",
        "subject_tenant": tenants.tenant_of(namespace or of_group) if tenants else "",
        "is_administrator": is_account and platform.access.is_administrator(namespace, name),
    }

"""Changes: every object records the last write of each program (field manager) that wrote to it."""

import json
from collections.abc import Iterator

from nl_forensics.errors import SourceError
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes import kinds
from nl_forensics.sources.kubernetes.reading import joined

COLLECTED = (
    kinds.DEPLOYMENTS,
    kinds.STATEFUL_SETS,
    kinds.DAEMON_SETS,
    kinds.CRON_JOBS,
    kinds.CONFIG_MAPS,
    kinds.SERVICES,
    kinds.INGRESSES,
    kinds.NETWORK_POLICIES,
    kinds.AUTOSCALERS,
    kinds.DISRUPTION_BUDGETS,
    kinds.QUOTAS,
    kinds.LIMIT_RANGES,
    kinds.CLAIMS,
    kinds.STORAGE_CLASSES,
    kinds.ROLES,
    kinds.CLUSTER_ROLES,
    kinds.ROLE_BINDINGS,
    kinds.CLUSTER_ROLE_BINDINGS,
    kinds.NODES,
    kinds.NAMESPACES,
)
MAX_FIELDS = 12
OWN_WRITERS = {"kube-apiserver", "kube-controller-manager", "clusterrole-aggregation-controller"}
DEPTH = 6


@source(
    columns={
        "at": Column(UTC, "the write"),
        "namespace": Column("str", "namespace of the object; empty for an object of the cluster"),
        "kind": Column("str", "kind as in an address of the API: `deployments`, `configmaps`"),
        "name": Column("str", "name of the object"),
        "manager": Column("str", "program that wrote: `kubectl-edit`, `helm`, `argocd-controller`"),
        "operation": Column("str", "`Apply` or `Update`"),
        "subresource": Column("str", "`scale` for a change of replicas alone; empty for most writes"),
        "fields": Column(
            "str", "fields that the program has owned since: `spec.replicas, spec.template.spec.containers[api].image`"
        ),
        "is_creation": Column("boolean", "this write created the object"),
    },
    covers="since",
    needs=Permission(kubernetes=f"list {' '.join(kind.resource for kind in COLLECTED)}"),
    guide=("C004", "C088", "C089"),
)
def k8s_changes(kubernetes, incident, platform):
    """One row per object and program that wrote to it: its last write, newest first.

    Kinds: workloads, config maps, services, quotas, rights, nodes. Only the last write of each program is known, and the fields that it
    owns; writes of the status are left out. Deleted objects are
    unknown. Which person used a program, only the audit log of the API server knows.
    """
    found = []
    for kind in COLLECTED:
        try:
            listing = kubernetes.objects(kind, incident.scope(platform))
        except SourceError as refused:
            yield Partial(f"changes of {kind.plural}: {refused}", refused.remedy)
            continue
        yield from listing.unseen
        found += [change for one in listing.items if not _is_built_in(one) for change in _changes(kind.plural, one)]
    yield Proof(f"{len(COLLECTED)} kinds of objects were listed with their field managers: {len(found)} writes")
    yield from sorted(found, key=lambda change: change["at"], reverse=True)


def _is_built_in(one: dict) -> bool:
    """Roles and bindings that the API server itself writes at each start. A write by another program is shown."""
    labels = one["metadata"].get("labels") or {}
    writers = {write.get("manager") for write in _writes(one)}
    return "kubernetes.io/bootstrapping" in labels and writers <= OWN_WRITERS


def _changes(plural: str, one: dict) -> Iterator[dict]:
    metadata = one["metadata"]
    for write in _writes(one):
        yield {
            "at": write["time"],
            "namespace": metadata.get("namespace", ""),
            "kind": plural,
            "name": metadata["name"],
            "manager": write.get("manager", ""),
            "operation": write.get("operation", ""),
            "subresource": write.get("subresource", ""),
            "fields": _shown(sorted(set(_paths(write.get("fieldsV1") or {}, DEPTH)))),
            "is_creation": write["time"] == metadata.get("creationTimestamp"),
        }


def _writes(one: dict) -> list[dict]:
    written = one["metadata"].get("managedFields") or []
    return [write for write in written if write.get("subresource", "") != "status" and write.get("time")]


def last_change(one: dict) -> dict:
    """The newest write to an object: {"manager": …, "time": …}; {} when none is noted."""
    return max(_writes(one), key=lambda write: write["time"], default={})


def _shown(paths: list[str]) -> str:
    more = len(paths) - MAX_FIELDS
    return joined(paths[:MAX_FIELDS]) + (f", and {more} more" if more > 0 else "")


def _paths(fields: dict, depth: int, before: str = "") -> Iterator[str]:
    """{"f:spec": {"f:template": …}} as `spec.template…`; an item of a list is named by its key."""
    for key, inner in fields.items():
        if key == ".":
            continue
        mark, _, name = key.partition(":")
        path = f"{before}[{_item(name)}]" if mark in ("k", "v", "i") else f"{before}.{name}".lstrip(".")
        deeper = {inside: value for inside, value in inner.items() if inside != "."} if isinstance(inner, dict) else {}
        if deeper and depth:
            yield from _paths(deeper, depth - 1, path)
        else:
            yield path


def _item(key: str) -> str:
    """{"name":"api"} → api; {"containerPort":8080,"protocol":"TCP"} → 8080 TCP."""
    try:
        value = json.loads(key)
    except ValueError:
        return key
    return joined(value.values(), " ") if isinstance(value, dict) else str(value)

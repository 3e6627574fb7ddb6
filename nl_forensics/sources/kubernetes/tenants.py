"""Tenants: the operator's objects, what provisioning has created for each, its namespaces, and what the operator's log says of it.

Which kind, which namespaces and which steps: `tenants` in the platform file.
"""

import json
import re
from collections.abc import Generator, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import pandas as pd

from nl_forensics.errors import NotServed
from nl_forensics.inputs.tenants import PLACE, Step, Tenants
from nl_forensics.sources import Partial, Permission, Proof, as_rows, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes import kinds
from nl_forensics.sources.kubernetes.flows import declared_ports, is_alive
from nl_forensics.sources.kubernetes.kinds import NAMESPACES, PODS, Kind, is_inside, tenant_kind
from nl_forensics.sources.kubernetes.lines import derived, parsed
from nl_forensics.sources.kubernetes.logs import Log, live_containers, read_all
from nl_forensics.sources.kubernetes.reading import condition_columns, conditions_of, joined, pairs, workload

OBJECTS = {  # kind of a step: what is listed
    "namespaces": NAMESPACES,
    "resourcequotas": kinds.QUOTAS,
    "limitranges": kinds.LIMIT_RANGES,
    "serviceaccounts": kinds.SERVICE_ACCOUNTS,
    "roles": kinds.ROLES,
    "rolebindings": kinds.ROLE_BINDINGS,
    "networkpolicies": kinds.NETWORK_POLICIES,
    "configmaps": kinds.CONFIG_MAPS,
    "services": kinds.SERVICES,
    "deployments": kinds.DEPLOYMENTS,
    "statefulsets": kinds.STATEFUL_SETS,
}
LISTED = " ".join(kind.resource for kind in OBJECTS.values())
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
AT_CREATION = timedelta(seconds=5)
WORRYING = ("warning", "error", "fatal")


def _objects(kubernetes, incident, platform) -> Generator[Partial, None, list[dict]]:
    """Return the operator's objects, and yield the gaps."""
    kind = tenant_kind(platform.tenants)
    version = kubernetes.groups().get(kind.group)
    if not version:
        raise NotServed(f"the cluster does not serve {platform.tenants.resource}", "correct tenants.resource")
    listing = kubernetes.objects(kind._replace(version=version))
    yield from listing.unseen
    return listing.items


@source(
    columns={
        "tenant": Column("str", "name of the tenant"),
        "id": Column("str", "number of the tenant, as the database has it; empty if the object has none"),
        "plan": Column("str", "plan of the tenant; empty if the object has none"),
        "suspended": Column("boolean", "the tenant may not run"),
        "namespace": Column("str", "namespace that the tenant should have; empty if tenants have none"),
        "created_at": Column(UTC, "the object was created"),
        "deletion_requested_at": Column(UTC, "deletion was requested", absent="it is not being deleted"),
        "phase": Column("str", "phase in its status; empty if it has none"),
        **condition_columns("ready", "Ready", "the operator calls it ready"),
        "share_ratio": Column(
            "float64", "largest share of a shared resource that its plan allows", absent="its plan has no limit"
        ),
    },
    covers="now",
    needs=Permission(kubernetes="get /apis; list tenants.neurallog.io"),
    about="tenants.resource",
    guide=("C013", "C092"),
)
def k8s_tenants(kubernetes, incident, platform):
    """One row per tenant, as the operator's object describes it. Of its spec, only the fields named in the platform file are recorded."""
    found = yield from _objects(kubernetes, incident, platform)
    yield Proof(f"the list of {platform.tenants.resource} was answered: {len(found)}")
    for one in found:
        yield _tenant(one, platform.tenants)


def _tenant(one: dict, names: Tenants) -> dict:
    metadata, spec, fields = one["metadata"], one["spec"], names.spec
    plan = str(spec.get(fields.plan) or "")
    return {
        "tenant": metadata["name"],
        "id": str(spec.get(fields.id, "")),
        "plan": plan,
        "suspended": bool(spec.get(fields.suspended)),
        "namespace": names.namespace_of(metadata["name"]),
        "created_at": metadata.get("creationTimestamp"),
        "deletion_requested_at": metadata.get("deletionTimestamp"),
        "phase": str((one.get("status") or {}).get("phase") or ""),
        **conditions_of(one, "Ready", "ready"),
        "share_ratio": names.shares.get(plan),
    }


# --- Steps of provisioning --------------------------------------------------------------------------------------------

UNSEEN = "objects of this kind could not all be listed"


@source(
    columns={
        "tenant": Column("str", "name of the tenant"),
        "namespace": Column("str", "namespace of the tenant"),
        "number": Column("Int64", "number of the step, from 1"),
        "steps": Column("Int64", "number of steps"),
        "step": Column("str", "name of the step"),
        "kind": Column("str", "kind of the object, as `kubectl get` names it"),
        "object": Column("str", "name of the object; empty for any of that kind"),
        "done": Column("boolean", "the object exists and is ready", unknown=UNSEEN),
        "exists": Column("boolean", "the object exists", unknown=UNSEEN),
        "created_at": Column(UTC, "the object was created", absent="it does not exist"),
        "was_done": Column("boolean", "it is a workload that was available before: what ended it is no provisioning"),
        "why": Column("str", "why an existing object is not ready; empty if it is ready or does not exist"),
        "wanted_at": Column(UTC, "the tenant was created"),
        "suspended": Column("boolean", "the tenant may not run"),
    },
    covers="now",
    needs=Permission(kubernetes=f"get /apis; list tenants.neurallog.io pods {LISTED}"),
    about="tenants.resource",
    guide=("C092", "C094", "C095", "C100"),
)
def k8s_tenant_steps(kubernetes, incident, platform):
    """One row per tenant that is not being deleted and step of its provisioning, in the order of the platform file."""
    names = platform.tenants
    tenants = yield from _objects(kubernetes, incident, platform)
    tenants = [one for one in tenants if not one["metadata"].get("deletionTimestamp")]
    there = {}
    for kind in dict.fromkeys(step.kind for step in names.steps):
        there[kind] = yield from _there(kubernetes, OBJECTS[kind], incident, platform)
    waiting = _waiting(kubernetes.objects(PODS, incident.scope(platform)).items)
    yield Proof(f"{len(names.steps)} steps of {len(tenants)} tenants were looked for")
    for one in tenants:
        for number, step in enumerate(names.steps, 1):
            found = _step(step, one, names, there[step.kind], waiting)
            yield {"number": number, "steps": len(names.steps), **found}


class _There(NamedTuple):
    """The objects of one kind, by namespace and name. `whole`: the list has no gap."""

    by_name: dict[tuple[str, str], dict]
    by_namespace: dict[str, dict]
    whole: bool

    def find(self, namespace: str, name: str) -> dict | None:
        return self.by_name.get((namespace, name)) if name else self.by_namespace.get(namespace)


def _there(kubernetes, kind: Kind, incident, platform) -> Generator[Partial, None, _There]:
    listing = kubernetes.objects(kind, incident.scope(platform))
    yield from listing.unseen
    by_name: dict[tuple[str, str], dict] = {}
    by_namespace: dict[str, dict] = {}
    for one in listing.items:
        metadata = one["metadata"]
        namespace = metadata["namespace"] if kind.namespaced else metadata["name"]
        by_name[namespace, metadata["name"]] = one
        by_namespace.setdefault(namespace, one)
    return _There(by_name, by_namespace, not listing.unseen)


def _step(step: Step, tenant: dict, names: Tenants, there: _There, waiting: dict) -> dict:
    name = tenant["metadata"]["name"]
    namespace = names.namespace_of(name)
    wanted = step.object.replace(PLACE, name)
    found = there.find(namespace, wanted)
    why = _not_ready(step.kind, found, waiting) if found else ""
    return {
        "tenant": name,
        "namespace": namespace,
        "step": step.step,
        "kind": step.kind,
        "object": wanted,
        "exists": True if found else (False if there.whole else None),
        "done": not why if found else (False if there.whole else None),
        "created_at": found["metadata"].get("creationTimestamp") if found else None,
        "was_done": _was_available(found),
        "why": why,
        "wanted_at": tenant["metadata"].get("creationTimestamp"),
        "suspended": bool(tenant["spec"].get(names.spec.suspended)),
    }


def _not_ready(kind: str, one: dict, waiting: dict[tuple[str, str], str]) -> str:
    """Why an object is not what its step should result in; empty if it is."""
    metadata, spec, status = one["metadata"], one.get("spec") or {}, one.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "it is being deleted"
    if kind == "resourcequotas":
        return "" if "used" in status else "its controller has not counted yet"
    if kind not in ("deployments", "statefulsets"):
        return ""
    wanted, available = spec.get("replicas", 1), status.get("availableReplicas") or 0
    if available >= wanted:
        return ""
    failed = [each.get("message", "") for each in status.get("conditions") or [] if each["type"] == "ReplicaFailure"]
    reason = next(iter(failed), "") or waiting.get((metadata["namespace"], metadata["name"]), "")
    return f"{available} of {wanted} pods are available" + (f": {reason}" if reason else "")


def _was_available(one: dict | None) -> bool:
    """A workload becomes unavailable in the moment of its creation; any later change means that it was available in between."""
    available = conditions_of(one or {}, "Available", "available")
    if not one or available["available"] is None:
        return False
    since = datetime.fromisoformat(available["available_at"]) - datetime.fromisoformat(
        one["metadata"]["creationTimestamp"]
    )
    return bool(available["available"]) or since > AT_CREATION


def _waiting(pods: Iterable[dict]) -> dict[tuple[str, str], str]:
    """Why a container of a workload waits, or why its pod has no node."""
    found: dict[tuple[str, str], str] = {}
    for pod in pods:
        key = pod["metadata"]["namespace"], workload(pod)[1]
        status = pod.get("status") or {}
        states = [each.get("state") or {} for each in status.get("containerStatuses") or []]
        waits = [f"{one['reason']}: {one.get('message', '')}" for each in states if (one := each.get("waiting"))]
        no_node = [each.get("message", "") for each in status.get("conditions") or [] if each["type"] == "PodScheduled"]
        if reason := next(iter(filter(None, (*waits, *no_node))), ""):
            found.setdefault(key, reason)
    return found


# --- Namespaces -------------------------------------------------------------------------------------------------------


@source(
    columns={
        "tenant": Column("str", "name of the tenant, by the name of the namespace"),
        "namespace": Column("str", "name of the namespace"),
        "created_at": Column(UTC, "it was created"),
        "deletion_requested_at": Column(UTC, "deletion was requested", absent="it is not being deleted"),
        "known": Column(
            "boolean", "there is an object of the operator of this name", unknown="the tenants could not all be listed"
        ),
    },
    covers="now",
    needs=Permission(kubernetes="get /apis; list namespaces tenants.neurallog.io"),
    about="tenants.namespace",
    of_all_tenants=True,
    guide=("C094",),
)
def k8s_tenant_namespaces(kubernetes, incident, platform):
    """One row per namespace that is named as that of a tenant."""
    names = platform.tenants
    known, whole = set(), True
    if names.resource:
        found, gaps = _all_of(_objects(kubernetes, incident, platform))
        yield from gaps
        known, whole = {one["metadata"]["name"] for one in found}, not gaps
    listing = kubernetes.objects(NAMESPACES, incident.scope(platform))
    yield from listing.unseen
    inside = [one for one in listing.items if is_inside(one["metadata"]["name"], incident.scope(platform))]
    yield Proof(f"the list of namespaces was answered: {len(inside)} in scope")
    for one in inside:
        if tenant := names.tenant_of(one["metadata"]["name"]):
            seen = tenant in known or not names.resource
            yield {
                "tenant": tenant,
                "namespace": one["metadata"]["name"],
                "created_at": one["metadata"].get("creationTimestamp"),
                "deletion_requested_at": one["metadata"].get("deletionTimestamp"),
                "known": True if seen else (False if whole else None),
            }


def _all_of(found: Generator[Partial, None, list[dict]]) -> tuple[list[dict], list[Partial]]:
    """What a generator returns, and what it yields."""
    gaps = []
    while True:
        try:
            gaps.append(next(found))
        except StopIteration as end:
            return end.value, gaps


# --- Ends of connections ----------------------------------------------------------------------------------------------


@source(
    columns={
        "tenant": Column("str", "name of the tenant"),
        "namespace": Column("str", "namespace of the pod"),
        "workload": Column("str", "workload of the pod"),
        "pod": Column("str", "name of the pod"),
        "address": Column("str", "IP address"),
        "labels": Column("str", "labels of the pod, `app=api,tier=front`"),
        "namespace_labels": Column("str", "labels of the namespace"),
        "host_network": Column("boolean", "the pod uses the network, and the address, of its node"),
        "named_ports": Column("str", "named ports of its containers: `http:8080/TCP`"),
        "port": Column("Int64", "the first port that its containers declare", absent="they declare none"),
        "protocol": Column("str", "protocol of that port"),
    },
    covers="now",
    needs=Permission(kubernetes="list pods namespaces"),
    about="tenants.namespace",
    of_all_tenants=True,
    guide=("C100", "C101", "C103"),
)
def k8s_tenant_ends(kubernetes, incident, platform):
    """One row per tenant and workload: one of its pods with an address, as one end of a connection between tenants."""
    listing = kubernetes.objects(PODS, incident.scope(platform))
    spaces = kubernetes.objects(NAMESPACES, incident.scope(platform))
    yield from (*listing.unseen, *spaces.unseen)
    labels = {one["metadata"]["name"]: pairs(one["metadata"].get("labels")) for one in spaces.items}
    seen: dict[tuple[str, str], dict] = {}
    for pod in listing.items:
        namespace = pod["metadata"]["namespace"]
        if is_alive(pod) and platform.tenants.tenant_of(namespace):
            seen.setdefault((namespace, workload(pod)[1]), pod)
    yield Proof(f"{len(seen)} workloads of tenants have a pod with an address")
    for (namespace, name), pod in sorted(seen.items()):
        ports = [port for one in pod["spec"]["containers"] for port in one.get("ports") or []]
        yield {
            "tenant": platform.tenants.tenant_of(namespace),
            "namespace": namespace,
            "workload": name,
            "pod": pod["metadata"]["name"],
            "address": pod["status"]["podIP"],
            "labels": pairs(pod["metadata"].get("labels")),
            "namespace_labels": labels.get(namespace, ""),
            "host_network": bool(pod["spec"].get("hostNetwork")),
            "named_ports": joined(f"{called}:{number}/{kind}" for called, number, kind in declared_ports(pod)),
            "port": ports[0]["containerPort"] if ports else None,
            "protocol": ports[0].get("protocol", "TCP") if ports else "TCP",
        }


# --- Log of the operator ----------------------------------------------------------------------------------------------


def _derived(records: list[dict]) -> pd.DataFrame:
    """Level and message are read from the line as it was recorded, which is redacted."""
    return as_rows([derived(record) for record in records])


@source(
    columns={
        "tenant": Column("str", "tenant that the line names; empty if it names none"),
        "pod": Column("str", "pod of the operator"),
        "at": Column(UTC, "the line was written"),
        "level": Column("str", "`warning`, `error` or `fatal`"),
        "message": Column("str", "message of the line; at most 2000 characters"),
    },
    covers="ring",
    needs=Permission(kubernetes="get /apis; list pods tenants.neurallog.io; get pods/log"),
    parse=_derived,
    about="tenants.operator",
    guide=("C093",),
)
def k8s_operator_log(kubernetes, incident, platform):
    """Warnings and errors in the logs of the operator's pods since the incident began; one row per line, oldest first.

    Only the newest lines are read (`budget.kubernetes_log_lines`).
    """
    namespace, _, name = platform.tenants.operator.partition("/")
    running = [one for one in live_containers(kubernetes, incident, platform) if one["state"] == "running"]
    logs = [Log(one, False) for one in running if (one["namespace"], one["workload"]) == (namespace, name)]
    if not logs:
        yield Partial(f"log of {platform.tenants.operator}: no pod of it runs", "correct tenants.operator")
        return
    tenants = yield from _objects(kubernetes, incident, platform)
    known = {one["metadata"]["name"] for one in tenants}
    yield Proof(f"{len(logs)} logs of {platform.tenants.operator} were read")
    for line in read_all(kubernetes, logs, platform.budget, incident.start.strftime("%Y-%m-%dT%H:%M:%SZ")):
        if isinstance(line, Partial):
            yield line
        elif parsed(line["logged"]).level in WORRYING:
            place = {key: line[key] for key in ("pod", "at", "logged")}
            yield {"tenant": _named(json.dumps(line["logged"], ensure_ascii=False), known), **place}


def _named(line: str, known: set[str]) -> str:
    """The tenant that a line names: as a whole word, in whichever field the operator writes it."""
    return next((word[0] for word in NAME.finditer(line) if word[0] in known), "")

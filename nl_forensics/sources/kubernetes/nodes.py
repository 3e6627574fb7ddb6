"""Nodes: conditions and free capacity. And namespaces."""

from collections import defaultdict

from nl_forensics.errors import SourceError
from nl_forensics.sources import Partial, Permission, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import NAMESPACES, NODES, PODS
from nl_forensics.sources.kubernetes.reading import (
    condition_columns,
    conditions_of,
    joined,
    listed,
    needed,
    pairs,
    quantity,
    whole,
)

PRESSURES = {"memory_pressure": "MemoryPressure", "disk_pressure": "DiskPressure", "pid_pressure": "PIDPressure"}
SHORT_OF = {"memory_pressure": "memory", "disk_pressure": "disk space", "pid_pressure": "process IDs"}
ROOM = ("cpu", "memory", "ephemeral-storage", "pods")
OVER = ("Succeeded", "Failed")  # phases of pods that reserve nothing


def _pressure_columns() -> dict[str, Column]:
    """Of each pressure, whether it holds and since when; reasons and messages add nothing."""
    found: dict[str, Column] = {}
    for name, condition in PRESSURES.items():
        columns = condition_columns(name, condition, f"it is short of {SHORT_OF[name]} and evicts pods")
        found |= {key: columns[key] for key in (name, f"{name}_at")}
    return found


@source(
    columns={
        "name": Column("str", "name of the node"),
        "created_at": Column(UTC, "it joined the cluster"),
        **condition_columns("ready", "Ready", "it accepts and runs pods"),
        "heartbeat_at": Column(UTC, "the kubelet last wrote its conditions", unknown="the kubelet has not reported"),
        **_pressure_columns(),
        "unschedulable": Column("boolean", "it is cordoned: it accepts no new pods"),
        "taints": Column("str", "taints, `key=value:effect`"),
        "roles": Column("str", "roles in its labels"),
        "zone": Column("str", "zone in its labels; empty if none"),
        "labels": Column("str", "labels"),
        "kubelet_version": Column("str", "version of the kubelet"),
        "runtime": Column("str", "container runtime and its version"),
        "kernel": Column("str", "version of the kernel"),
        "os_image": Column("str", "operating system"),
        "internal_ip": Column("str", "its address within the cluster"),
        "allocatable_cpu_cores": Column("float64", "CPU available to pods"),
        "allocatable_memory_bytes": Column("Int64", "memory available to pods"),
        "allocatable_storage_bytes": Column(
            "Int64", "ephemeral storage available to pods", unknown="the kubelet does not report it"
        ),
        "allocatable_pods": Column("Int64", "number of pods that it accepts"),
        "requested_cpu_cores": Column(
            "float64",
            "CPU requested by its unfinished pods, of every namespace",
            unknown="pods of all namespaces could not be listed",
        ),
        "requested_memory_bytes": Column(
            "Int64",
            "memory requested by its unfinished pods, of every namespace",
            unknown="pods of all namespaces could not be listed",
        ),
        "limit_cpu_cores": Column(
            "float64",
            "CPU limits of its unfinished pods, of every namespace",
            unknown="pods of all namespaces could not be listed",
        ),
        "limit_memory_bytes": Column(
            "Int64",
            "memory limits of its unfinished pods, of every namespace",
            unknown="pods of all namespaces could not be listed",
        ),
        "pods": Column(
            "Int64", "unfinished pods on it, of every namespace", unknown="pods of all namespaces could not be listed"
        ),
    },
    covers="now",
    needs=Permission(kubernetes="list nodes pods"),
    guide=("C016", "C082", "C086"),
)
def k8s_nodes(kubernetes, incident, platform):
    """One row per node of the whole cluster.

    The kubelet writes the conditions every 5 minutes, and renews its lease every 10 s (see k8s_leases).
    """
    found = yield from listed(kubernetes, NODES, incident, platform)
    try:
        listing = kubernetes.objects(PODS)
        everything = listing.everywhere and not listing.unseen
        missing = Partial("requests of pods: pods of all namespaces could not be listed", "allow us to list pods")
    except SourceError as refused:
        listing, everything, missing = None, False, Partial(f"requests of pods: {refused}", refused.remedy)
    if not everything:
        yield missing
    by_node = _by_node(listing.items) if everything else {}
    for one in found:
        yield _node(one) | (_asked_of(by_node[one["metadata"]["name"]]) if everything else {})


def _by_node(pods: list[dict]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = defaultdict(list)
    for pod in pods:
        if (pod.get("status") or {}).get("phase") not in OVER:
            found[pod["spec"].get("nodeName", "")].append(pod["spec"])
    return found


def _asked_of(specs: list[dict]) -> dict:
    return {
        "requested_cpu_cores": sum(needed(spec, "cpu") for spec in specs),
        "requested_memory_bytes": round(sum(needed(spec, "memory") for spec in specs)),
        "limit_cpu_cores": sum(needed(spec, "cpu", "limits") for spec in specs),
        "limit_memory_bytes": round(sum(needed(spec, "memory", "limits") for spec in specs)),
        "pods": len(specs),
    }


def _node(one: dict) -> dict:
    metadata, spec, status = one["metadata"], one.get("spec") or {}, one.get("status") or {}
    labels, info, room = metadata.get("labels") or {}, status.get("nodeInfo") or {}, status.get("allocatable") or {}
    heartbeats = [c["lastHeartbeatTime"] for c in status.get("conditions") or [] if c.get("lastHeartbeatTime")]
    pressures: dict = {}
    for name, kind in PRESSURES.items():
        found = conditions_of(one, kind, name)
        pressures |= {name: found[name], f"{name}_at": found[f"{name}_at"]}
    return {
        "name": metadata["name"],
        "created_at": metadata["creationTimestamp"],
        **conditions_of(one, "Ready", "ready"),
        "heartbeat_at": max(heartbeats, default=None),
        **pressures,
        "unschedulable": bool(spec.get("unschedulable")),
        "taints": joined(f"{t['key']}={t.get('value', '')}:{t['effect']}" for t in spec.get("taints") or []),
        "roles": joined(key.partition("/")[2] for key in labels if key.startswith("node-role.kubernetes.io/")),
        "zone": labels.get("topology.kubernetes.io/zone", ""),
        "labels": pairs(labels),
        "kubelet_version": info.get("kubeletVersion", ""),
        "runtime": info.get("containerRuntimeVersion", ""),
        "kernel": info.get("kernelVersion", ""),
        "os_image": info.get("osImage", ""),
        "internal_ip": next((a["address"] for a in status.get("addresses") or [] if a["type"] == "InternalIP"), ""),
        "allocatable_cpu_cores": quantity(room.get("cpu")),
        "allocatable_memory_bytes": whole(room.get("memory")),
        "allocatable_storage_bytes": whole(room.get("ephemeral-storage")),
        "allocatable_pods": whole(room.get("pods")),
    }


@source(
    columns={
        "name": Column("str", "name of the namespace"),
        "created_at": Column(UTC, "it was created"),
        "phase": Column("str", "`Active` or `Terminating`"),
        "deletion_requested_at": Column(UTC, "deletion was requested", absent="it is not being deleted"),
        "labels": Column("str", "labels"),
        "why": Column("str", "messages of the conditions that block its deletion; empty if none"),
    },
    covers="now",
    needs=Permission(kubernetes="list namespaces"),
    guide=("C126",),
)
def k8s_namespaces(kubernetes, incident, platform):
    """One row per namespace of the cluster, in scope or not."""
    found = yield from listed(kubernetes, NAMESPACES, incident, platform)
    for one in found:
        metadata, status = one["metadata"], one.get("status") or {}
        stuck = (c.get("message", "") for c in status.get("conditions") or [] if c.get("status") == "True")
        yield {
            "name": metadata["name"],
            "created_at": metadata["creationTimestamp"],
            "phase": status.get("phase", ""),
            "deletion_requested_at": metadata.get("deletionTimestamp"),
            "labels": pairs(metadata.get("labels")),
            "why": joined(filter(None, stuck), "; "),
        }

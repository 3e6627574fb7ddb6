"""Nodes: whether they are well, and how much room they have. And namespaces."""

from collections import defaultdict

from nl_forensics.errors import SourceError
from nl_forensics.sources import UTC, Partial, Permission, source
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
ROOM = ("cpu", "memory", "ephemeral-storage", "pods")
OVER = ("Succeeded", "Failed")  # phases of pods that take no room any more


@source(
    columns={
        "name": "str",
        "created_at": UTC,
        **condition_columns("ready"),
        "heartbeat_at": UTC,
        **{f"{name}{suffix}": dtype for name in PRESSURES for suffix, dtype in (("", "boolean"), ("_at", UTC))},
        "unschedulable": "boolean",
        "taints": "str",
        "roles": "str",
        "zone": "str",
        "labels": "str",
        "kubelet_version": "str",
        "runtime": "str",
        "kernel": "str",
        "os_image": "str",
        "internal_ip": "str",
        "allocatable_cpu_cores": "float64",
        "allocatable_memory_bytes": "Int64",
        "allocatable_storage_bytes": "Int64",
        "allocatable_pods": "Int64",
        "requested_cpu_cores": "float64",
        "requested_memory_bytes": "Int64",
        "limit_cpu_cores": "float64",
        "limit_memory_bytes": "Int64",
        "pods": "Int64",
    },
    nullable=(
        "ready",
        "ready_at",
        "heartbeat_at",
        *(f"{name}{suffix}" for name in PRESSURES for suffix in ("", "_at")),
        "allocatable_storage_bytes",
        "requested_cpu_cores",
        "requested_memory_bytes",
        "limit_cpu_cores",
        "limit_memory_bytes",
        "pods",
    ),
    covers="now",
    needs=Permission(kubernetes="list nodes pods"),
    guide=("C016", "C082", "C086"),
)
def k8s_nodes(kubernetes, incident, platform):
    """One row per node, of the whole cluster.

    ready      true, false, or null when the node no longer reports (`NodeStatusUnknown`); _reason, _message, _at: since when
    heartbeat_at   when the kubelet last wrote its conditions: every 5 minutes, its lease every 10 s (see k8s_leases)
    memory_pressure, disk_pressure, pid_pressure   null when not known; _at: since when
    unschedulable  cordoned; taints: `key=value:effect`
    allocatable_…  what pods may have: cores, bytes, number of pods
    requested_…, limit_…, pods   the sum over all pods on it, of every namespace, that are not over; null when not all could be listed
    """
    found = yield from listed(kubernetes, NODES, incident, platform)
    try:
        listing = kubernetes.objects(PODS)
        everything = listing.everywhere and not listing.unseen
        missing = Partial("what pods request: those of all namespaces could not be listed", "allow us to list pods")
    except SourceError as refused:
        listing, everything, missing = None, False, Partial(f"what pods request: {refused}", refused.closes)
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
        "name": "str",
        "created_at": UTC,
        "phase": "str",
        "deletion_requested_at": UTC,
        "labels": "str",
        "why": "str",
    },
    nullable=("deletion_requested_at",),
    covers="now",
    needs=Permission(kubernetes="list namespaces"),
    guide=("C126",),
)
def k8s_namespaces(kubernetes, incident, platform):
    """One row per namespace of the cluster, in scope or not.

    phase   `Active` or `Terminating`; why: what its conditions say of a deletion that does not end, "" otherwise
    """
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

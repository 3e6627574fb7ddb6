"""Volumes: what is claimed, bound, and attached where."""

from nl_forensics.sources import Permission, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import ATTACHMENTS, CLAIMS, STORAGE_CLASSES, VOLUMES
from nl_forensics.sources.kubernetes.reading import condition, joined, listed, named, whole
from nl_forensics.sources.kubernetes.workloads import NAMED


@source(
    columns={
        **NAMED,
        "phase": Column("str", "`Pending`, `Bound` or `Lost`"),
        "volume": Column("str", "volume that it is bound to; empty while pending"),
        "storage_class": Column("str", "storage class; empty if none (the default is set when the claim is created)"),
        "access_modes": Column("str", "`ReadWriteOnce`, `ReadOnlyMany`, …"),
        "requested_bytes": Column("Int64", "requested size", unknown="the claim requests no storage"),
        "capacity_bytes": Column("Int64", "size of its volume", absent="it is not bound"),
        "resizing": Column("str", "message of an ongoing resize; empty if none"),
        "deletion_requested_at": Column(UTC, "deletion was requested", absent="it is not being deleted"),
        "selected_node": Column(
            "str", "node for which the volume is provisioned; empty unless its class waits for one"
        ),
    },
    covers="now",
    needs=Permission(kubernetes="list persistentvolumeclaims"),
    guide=("C130",),
)
def k8s_claims(kubernetes, incident, platform):
    """One row per persistent volume claim in scope."""
    found = yield from listed(kubernetes, CLAIMS, incident, platform)
    for one in found:
        spec, status = one["spec"], one.get("status") or {}
        annotations = one["metadata"].get("annotations") or {}
        resizing = condition(one, "Resizing") or condition(one, "FileSystemResizePending")
        yield named(one) | {
            "phase": status.get("phase", ""),
            "volume": spec.get("volumeName", ""),
            "storage_class": spec.get("storageClassName", ""),
            "access_modes": joined(spec.get("accessModes") or []),
            "requested_bytes": whole(((spec.get("resources") or {}).get("requests") or {}).get("storage")),
            "capacity_bytes": whole((status.get("capacity") or {}).get("storage")),
            "resizing": resizing.get("message") or resizing.get("type", ""),
            "deletion_requested_at": one["metadata"].get("deletionTimestamp"),
            "selected_node": annotations.get("volume.kubernetes.io/selected-node", ""),
        }


@source(
    columns={
        "name": Column("str", "name of the volume"),
        "created_at": Column(UTC, "it was created"),
        "phase": Column("str", "`Available`, `Bound`, `Released`, `Failed` or `Pending`"),
        "phase_at": Column(UTC, "the phase last changed", unknown="Kubernetes records it only since 1.28"),
        "reason": Column("str", "reason for the phase"),
        "message": Column("str", "message for the phase"),
        "claim_namespace": Column("str", "namespace of its claim; empty if none"),
        "claim": Column("str", "name of its claim; empty if none"),
        "storage_class": Column("str", "storage class; empty if none"),
        "reclaim_policy": Column("str", "`Retain` or `Delete` its data when the claim is deleted"),
        "access_modes": Column("str", "`ReadWriteOnce`, `ReadOnlyMany`, …"),
        "capacity_bytes": Column("Int64", "size", unknown="the volume declares no size"),
        "driver": Column("str", "CSI driver, or the kind of volume (`hostPath`, `local`, `nfs`)"),
        "zones": Column("str", "zones where it can be used; empty for any"),
        "deletion_requested_at": Column(UTC, "deletion was requested", absent="it is not being deleted"),
    },
    covers="now",
    needs=Permission(kubernetes="list persistentvolumes"),
    guide=("C130",),
)
def k8s_volumes(kubernetes, incident, platform):
    """One row per persistent volume of the cluster."""
    found = yield from listed(kubernetes, VOLUMES, incident, platform)
    for one in found:
        spec, status, claim = one["spec"], one.get("status") or {}, one["spec"].get("claimRef") or {}
        plugins = ("csi", "hostPath", "local", "nfs", "awsElasticBlockStore", "gcePersistentDisk", "azureDisk", "rbd")
        kind = next((plugin for plugin in plugins if spec.get(plugin)), "")
        yield {
            "name": one["metadata"]["name"],
            "created_at": one["metadata"]["creationTimestamp"],
            "phase": status.get("phase", ""),
            "phase_at": status.get("lastPhaseTransitionTime"),
            "reason": status.get("reason", ""),
            "message": status.get("message", ""),
            "claim_namespace": claim.get("namespace", ""),
            "claim": claim.get("name", ""),
            "storage_class": spec.get("storageClassName", ""),
            "reclaim_policy": spec.get("persistentVolumeReclaimPolicy", ""),
            "access_modes": joined(spec.get("accessModes") or []),
            "capacity_bytes": whole((spec.get("capacity") or {}).get("storage")),
            "driver": (spec.get("csi") or {}).get("driver", "") or kind,
            "zones": joined(_zones(spec)),
            "deletion_requested_at": one["metadata"].get("deletionTimestamp"),
        }


def _zones(spec: dict) -> list[str]:
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or []
    rules = [rule for term in terms for rule in term.get("matchExpressions") or []]
    return sorted({value for rule in rules if rule["key"].endswith("/zone") for value in rule.get("values") or []})


@source(
    columns={
        "name": Column("str", "name of the class"),
        "created_at": Column(UTC, "it was created"),
        "provisioner": Column("str", "driver that provisions its volumes"),
        "is_default": Column("boolean", "it is used where a claim names no class"),
        "binding": Column("str", "`Immediate`, or `WaitForFirstConsumer`: a claim stays pending until a pod uses it"),
        "reclaim_policy": Column("str", "`Retain` or `Delete` the data when the claim is deleted"),
        "can_grow": Column("boolean", "claims can be enlarged"),
    },
    covers="now",
    needs=Permission(kubernetes="list storageclasses.storage.k8s.io"),
    guide=("C130",),
)
def k8s_storage_classes(kubernetes, incident, platform):
    """One row per storage class of the cluster."""
    found = yield from listed(kubernetes, STORAGE_CLASSES, incident, platform)
    for one in found:
        annotations = one["metadata"].get("annotations") or {}
        yield {
            "name": one["metadata"]["name"],
            "created_at": one["metadata"]["creationTimestamp"],
            "provisioner": one.get("provisioner", ""),
            "is_default": annotations.get("storageclass.kubernetes.io/is-default-class") == "true",
            "binding": one.get("volumeBindingMode", ""),
            "reclaim_policy": one.get("reclaimPolicy", ""),
            "can_grow": bool(one.get("allowVolumeExpansion")),
        }


@source(
    columns={
        "name": Column("str", "name of the attachment"),
        "created_at": Column(UTC, "it was created"),
        "volume": Column("str", "name of the volume"),
        "node": Column("str", "node that it is attached to"),
        "driver": Column("str", "CSI driver"),
        "attached": Column("boolean", "the volume is attached"),
        "error": Column("str", "last failure to attach or detach; empty if none"),
        "error_at": Column(UTC, "last failure to attach or detach", absent="no attempt failed"),
        "deletion_requested_at": Column(UTC, "deletion was requested", absent="it is not being deleted"),
    },
    covers="now",
    needs=Permission(kubernetes="list volumeattachments.storage.k8s.io"),
    guide=("C130",),
)
def k8s_attachments(kubernetes, incident, platform):
    """One row per volume that is attached to a node, or is to be."""
    found = yield from listed(kubernetes, ATTACHMENTS, incident, platform)
    for one in found:
        spec, status = one["spec"], one.get("status") or {}
        error = status.get("attachError") or status.get("detachError") or {}
        yield {
            "name": one["metadata"]["name"],
            "created_at": one["metadata"]["creationTimestamp"],
            "volume": (spec.get("source") or {}).get("persistentVolumeName", ""),
            "node": spec.get("nodeName", ""),
            "driver": spec.get("attacher", ""),
            "attached": bool(status.get("attached")),
            "error": error.get("message", ""),
            "error_at": error.get("time"),
            "deletion_requested_at": one["metadata"].get("deletionTimestamp"),
        }

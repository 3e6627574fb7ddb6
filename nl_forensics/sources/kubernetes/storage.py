"""Volumes: what is claimed, bound, and attached where."""

from nl_forensics.sources import UTC, Permission, source
from nl_forensics.sources.kubernetes.kinds import ATTACHMENTS, CLAIMS, STORAGE_CLASSES, VOLUMES
from nl_forensics.sources.kubernetes.reading import condition, joined, listed, named, whole
from nl_forensics.sources.kubernetes.workloads import NAMED


@source(
    columns={
        **NAMED,
        "phase": "str",
        "volume": "str",
        "storage_class": "str",
        "access_modes": "str",
        "requested_bytes": "Int64",
        "capacity_bytes": "Int64",
        "resizing": "str",
        "deletion_requested_at": UTC,
        "selected_node": "str",
    },
    nullable=("requested_bytes", "capacity_bytes", "deletion_requested_at"),
    covers="now",
    needs=Permission(kubernetes="list persistentvolumeclaims"),
    guide=("C130",),
)
def k8s_claims(kubernetes, incident, platform):
    """One row per persistent volume claim in scope.

    phase         `Pending`, `Bound` or `Lost`; volume: the one that it is bound to, "" while pending
    storage_class "" for none (the default one is filled in when the claim is made)
    requested_bytes, capacity_bytes   what was asked for; what it got, null while pending
    resizing      message of a resize that goes on, "" for none
    selected_node the node for which the volume is to be made, "" where the class does not wait for that
    """
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
        "name": "str",
        "created_at": UTC,
        "phase": "str",
        "phase_at": UTC,
        "reason": "str",
        "message": "str",
        "claim_namespace": "str",
        "claim": "str",
        "storage_class": "str",
        "reclaim_policy": "str",
        "access_modes": "str",
        "capacity_bytes": "Int64",
        "driver": "str",
        "zones": "str",
        "deletion_requested_at": UTC,
    },
    nullable=("phase_at", "capacity_bytes", "deletion_requested_at"),
    covers="now",
    needs=Permission(kubernetes="list persistentvolumes"),
    guide=("C130",),
)
def k8s_volumes(kubernetes, incident, platform):
    """One row per persistent volume of the cluster.

    phase           `Available`, `Bound`, `Released`, `Failed`, `Pending`; phase_at: since when, null on old servers; reason, message: why
    reclaim_policy  `Retain` or `Delete`: what happens to the data when the claim is gone
    driver          of the CSI plugin, or the kind of volume (`hostPath`, `local`, `nfs`); zones: where it can be used, "" for anywhere
    """
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
        "name": "str",
        "created_at": UTC,
        "provisioner": "str",
        "is_default": "boolean",
        "binding": "str",
        "reclaim_policy": "str",
        "can_grow": "boolean",
    },
    covers="now",
    needs=Permission(kubernetes="list storageclasses.storage.k8s.io"),
    guide=("C130",),
)
def k8s_storage_classes(kubernetes, incident, platform):
    """One row per storage class of the cluster.

    binding   `Immediate`, or `WaitForFirstConsumer`: a claim stays pending until a pod uses it
    can_grow  whether claims may be made larger
    """
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
        "name": "str",
        "created_at": UTC,
        "volume": "str",
        "node": "str",
        "driver": "str",
        "attached": "boolean",
        "error": "str",
        "error_at": UTC,
        "deletion_requested_at": UTC,
    },
    nullable=("error_at", "deletion_requested_at"),
    covers="now",
    needs=Permission(kubernetes="list volumeattachments.storage.k8s.io"),
    guide=("C130",),
)
def k8s_attachments(kubernetes, incident, platform):
    """One row per volume that is attached to a node, or shall be.

    error   the last failure to attach or detach, "" for none; error_at: when
    """
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

"""Volumes that are not there, or elsewhere. No driver runs in the cluster of the tests: drivers' words are written by hand."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.record.kubernetes.objects import SYSTEM, home, thing
from tests.record.specimens import specimen

MINUTE = timedelta(minutes=1)
DRIVER = "csi.neurallog.example"
GIGABYTE = {"storage": "1Gi"}


def _class(name, default=False, **parts):
    made = thing("storage.k8s.io/v1", "StorageClass", name, provisioner=DRIVER, **parts)
    made["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
    return made


def _claim(name, class_name, **parts):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": GIGABYTE}, "storageClassName": class_name}
    return thing("v1", "PersistentVolumeClaim", name, SYSTEM, spec=spec | parts)


def _volume(name, policy="Retain", claim=None):
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": GIGABYTE,
        "persistentVolumeReclaimPolicy": policy,
        "storageClassName": "",
        "csi": {"driver": DRIVER, "volumeHandle": name},
    }
    reference = {"claimRef": {"namespace": SYSTEM, "name": claim}} if claim else {}
    return thing("v1", "PersistentVolume", name, spec=spec | reference)


@specimen("every_volume_claim_is_bound", sources=("k8s_claims", "k8s_storage_classes"), later=10 * MINUTE)
@contextmanager
def claim_without_class(server):
    home(server)
    server.apply(_claim("data", "fast"))
    server.wait("PersistentVolumeClaim", "data", SYSTEM, until=lambda seen: seen["status"].get("phase") == "Pending")
    yield


@specimen("every_volume_claim_is_bound", sources=("k8s_claims", "k8s_storage_classes"))
@contextmanager
def claim_lost(server):
    """Its volume was removed while it was bound."""
    home(server)
    server.apply([_volume("pv-1", claim="data"), _claim("data", "", volumeName="pv-1")])
    server.wait("PersistentVolumeClaim", "data", SYSTEM, until=lambda seen: seen["status"].get("phase") == "Bound")
    server.patch("PersistentVolume", "pv-1", {"metadata": {"finalizers": None}})
    server.delete("PersistentVolume", "pv-1")
    server.patch("PersistentVolume", "pv-1", {"metadata": {"finalizers": None}})
    server.wait("PersistentVolumeClaim", "data", SYSTEM, until=lambda seen: seen["status"].get("phase") == "Lost")
    yield


@specimen("no_volume_is_orphaned", sources=("k8s_volumes",))
@contextmanager
def volume_kept(server):
    home(server)
    server.apply([_volume("pv-1", claim="data"), _claim("data", "", volumeName="pv-1")])
    server.wait("PersistentVolumeClaim", "data", SYSTEM, until=lambda seen: seen["status"].get("phase") == "Bound")
    server.delete("PersistentVolumeClaim", "data", SYSTEM)
    server.wait("PersistentVolume", "pv-1", until=lambda seen: seen["status"].get("phase") == "Released")
    yield


def _attachment(name, node, **parts):
    spec = {"attacher": DRIVER, "nodeName": node, "source": {"persistentVolumeName": "pv-1"}}
    return thing("storage.k8s.io/v1", "VolumeAttachment", name, spec=spec | parts)


@specimen("no_volume_is_attached_elsewhere", sources=("k8s_attachments", "k8s_volumes"), later=10 * MINUTE)
@contextmanager
def volume_on_another_node(server):
    server.freeze("kube-controller-manager")  # it would detach what no pod uses
    server.apply([_volume("pv-1"), _attachment("old", "node-0"), _attachment("new", "worker-1")])
    server.patch("VolumeAttachment", "old", {"status": {"attached": True}}, subresource="/status")
    yield
    server.thaw("kube-controller-manager")


@specimen("every_volume_can_be_attached", sources=("k8s_attachments",))
@contextmanager
def volume_that_fails_to_attach(server):
    server.freeze("kube-controller-manager")
    message = "rpc error: code = FailedPrecondition desc = disk pv-1 is in zone-b, node worker-1 is in zone-a"
    error = {"attachError": {"message": message, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}, "attached": False}
    server.apply([_volume("pv-1"), _attachment("new", "worker-1")])
    server.patch("VolumeAttachment", "new", {"status": error}, subresource="/status")
    yield
    server.thaw("kube-controller-manager")


@specimen("one_storage_class_is_the_default", sources=("k8s_storage_classes",))
@contextmanager
def two_default_classes(server):
    server.apply([_class("standard", default=True), _class("fast", default=True)])
    yield

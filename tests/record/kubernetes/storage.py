"""Volumes that are not there, or elsewhere. No driver runs in the cluster of the tests: drivers' words are written by hand."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.record.kubernetes.objects import SYSTEM, container, deployment, home, thing, wait_for_event
from tests.record.specimens import specimen
from tests.stack.kubernetes.api import rolled_out
from tests.stack.kubernetes.fake_nodes import ON_FAKE_NODE
from tests.stack.kubernetes.real_node import NAME, ON_REAL_NODE

MINUTE = timedelta(minutes=1)
DRIVER = "csi.neurallog.example"
GIGABYTE = {"storage": "1Gi"}


def _class(name, default=False, **parts):
    made = thing("storage.k8s.io/v1", "StorageClass", name, provisioner=DRIVER, **parts)
    made["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
    return made


def claim(name, class_name, **parts):
    """Somebody's wish for such a volume."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": GIGABYTE}, "storageClassName": class_name}
    return thing("v1", "PersistentVolumeClaim", name, SYSTEM, spec=spec | parts)


def volume(name, policy="Retain", bound_to=None):
    """A volume of 1 GiB that one node may use at a time."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": GIGABYTE,
        "persistentVolumeReclaimPolicy": policy,
        "storageClassName": "",
        "csi": {"driver": DRIVER, "volumeHandle": name},
    }
    reference = {"claimRef": {"namespace": SYSTEM, "name": bound_to}} if bound_to else {}
    return thing("v1", "PersistentVolume", name, spec=spec | reference)


@specimen("every_volume_claim_is_bound", sources=("k8s_claims", "k8s_storage_classes"), later=10 * MINUTE)
@contextmanager
def claim_without_class(server):
    home(server)
    server.apply(claim("data", "fast"))
    server.wait("PersistentVolumeClaim", "data", SYSTEM, until=lambda seen: seen["status"].get("phase") == "Pending")
    yield


@specimen("every_volume_claim_is_bound", sources=("k8s_claims", "k8s_storage_classes"))
@contextmanager
def claim_lost(server):
    """Its volume was removed while it was bound."""
    home(server)
    server.apply([volume("pv-1", bound_to="data"), claim("data", "", volumeName="pv-1")])
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
    server.apply([volume("pv-1", bound_to="data"), claim("data", "", volumeName="pv-1")])
    server.wait("PersistentVolumeClaim", "data", SYSTEM, until=lambda seen: seen["status"].get("phase") == "Bound")
    server.delete("PersistentVolumeClaim", "data", SYSTEM)
    server.wait("PersistentVolume", "pv-1", until=lambda seen: seen["status"].get("phase") == "Released")
    yield


ATTACHED_BY_CONTROLLER = "volumes.kubernetes.io/controller-managed-attach-detach"  # a kubelet says so of its node


def archiver(**place):
    """A deployment whose pod mounts the volume pv-archive."""
    volumes = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "archive"}}]}
    mounts = [{"name": "data", "mountPath": "/var/archive"}]
    return deployment("log-archiver", container(volumeMounts=mounts), pod_parts=place | volumes)


def attach_to_fake_node(server):
    """The archiver runs on the fake node, with its volume. No driver is there: what it would say is written by hand."""
    server.kubectl("annotate", "node", "node-0", f"{ATTACHED_BY_CONTROLLER}=true")
    server.apply([volume("pv-archive", bound_to="archive"), claim("archive", "", volumeName="pv-archive")])
    server.apply(archiver(**ON_FAKE_NODE, nodeName="node-0"))
    (made,) = server.wait("VolumeAttachment", until=bool)
    name = made["metadata"]["name"]
    server.patch("VolumeAttachment", name, {"status": {"attached": True}}, subresource="/status")
    server.wait("Deployment", "log-archiver", SYSTEM, until=rolled_out)


def move_to_real_node(server):
    """The next revision is to run on the real node. The old pod goes when the new one is ready, which waits for the old one's volume."""
    server.apply(archiver(**ON_REAL_NODE))
    wait_for_event(server, "FailedAttachVolume")


@specimen("no_volume_is_attached_elsewhere", sources=("k8s_attachments", "k8s_volumes", "k8s_pods"), later=10 * MINUTE)
@contextmanager
def volume_on_another_node(server):
    home(server)
    attach_to_fake_node(server)
    move_to_real_node(server)
    yield


@specimen("every_volume_can_be_attached", sources=("k8s_attachments",))
@contextmanager
def volume_that_fails_to_attach(server):
    server.freeze("kube-controller-manager")
    message = "rpc error: code = FailedPrecondition desc = disk pv-1 is in zone-b, node worker-1 is in zone-a"
    error = {"attachError": {"message": message, "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}, "attached": False}
    spec = {"attacher": DRIVER, "nodeName": NAME, "source": {"persistentVolumeName": "pv-1"}}
    server.apply([volume("pv-1"), thing("storage.k8s.io/v1", "VolumeAttachment", "new", spec=spec)])
    server.patch("VolumeAttachment", "new", {"status": error}, subresource="/status")
    yield
    server.thaw("kube-controller-manager")


@specimen("one_storage_class_is_the_default", sources=("k8s_storage_classes",))
@contextmanager
def two_default_classes(server):
    server.apply([_class("standard", default=True), _class("fast", default=True)])
    yield

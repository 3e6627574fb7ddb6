"""What the tests of the cluster itself put there, and what they look at."""

import time
from contextlib import suppress

from tests.stack import process
from tests.stack.kubernetes import cgroups, images, real_node
from tests.stack.kubernetes.api import Refused


def pod(name, script="exec sleep 1000", namespace="default", **container):
    """The manifest of a pod on the real node that runs a shell script."""
    command = {"name": "main", "image": images.BUSYBOX, "imagePullPolicy": "Never", "command": ["sh", "-c", script]}
    spec = {**real_node.ON_REAL_NODE, "terminationGracePeriodSeconds": 1, "containers": [command | container]}
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def deployment(name, replicas, template, namespace="default", **spec):
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template},
            **spec,
        },
    }


def service(name, port, selector=None, **annotations):
    metadata = {"name": name, "namespace": "default", "annotations": annotations}
    spec = {"ports": [{"port": port}], **({"selector": {"app": selector}} if selector else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def state_of(pod):
    """Reason of the state that a pod's only container is in, or last was in."""
    (status,) = pod["status"].get("containerStatuses") or [{"state": {"waiting": {}}}]
    (state,) = status["state"].values()
    return state.get("reason")


def containers_of(running):
    """Ids of the processes in the containers of the real node."""
    group = running.processes["containerd"].cgroup
    root = next(root for root in cgroups.hierarchies() if (root / group).exists())
    return [pid for file in (root / group).rglob("cgroup.procs") for pid in file.read_text().split()]


def eventually(condition, within_s=10):
    """Wait until `condition()` is true; that what it asks fails meanwhile is no harm."""
    deadline = time.monotonic() + within_s
    while True:
        with suppress(OSError, Refused, process.ServerFailed):
            if condition():
                return
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.1)

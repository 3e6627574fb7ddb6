"""Manifests of what the faults need, and how to wait for it."""

import time

from tests.stack.kubernetes.fake_nodes import ON_FAKE_NODE
from tests.stack.kubernetes.images import BUSYBOX
from tests.stack.kubernetes.real_node import ON_REAL_NODE
from tests.stack.neurallog.manifests import SYSTEM, namespace, thing

SLEEP = "exec sleep 1000"
RESOURCES = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
UNREADY = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}


def home(server):
    """Make the namespace."""
    server.apply(namespace(SYSTEM))


def container(script=SLEEP, name="main", **parts):
    """A container that runs a shell script."""
    made = {"name": name, "image": BUSYBOX, "imagePullPolicy": "Never", "resources": RESOURCES}
    return made | {"command": ["sh", "-c", script]} | parts


def spec(*containers, real=True, **parts):
    """The spec of a pod: on the real node, or on the fake one."""
    place = ON_REAL_NODE if real else ON_FAKE_NODE
    return {**place, "terminationGracePeriodSeconds": 1, "containers": list(containers)} | parts


def pod(name, *containers, real=True, metadata=None, **parts):
    made = thing("v1", "Pod", name, SYSTEM, spec=spec(*containers, real=real, **parts))
    made["metadata"] |= {"labels": {"app": name}} | (metadata or {})
    return made


def workload(kind, name, *containers, real=True, version="apps/v1", pod_parts=None, **parts):
    """A deployment, stateful set or daemon set of that pod."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": spec(*containers, real=real, **(pod_parts or {}))}
    return thing(version, kind, name, SYSTEM, spec={"selector": {"matchLabels": labels}, "template": template} | parts)


def deployment(name, *containers, replicas=1, **parts):
    return workload("Deployment", name, *containers, replicas=replicas, **parts)


def service(name, port=8080, target=8080, selector=None):
    ports = [{"name": "http", "port": port, "targetPort": target}]
    return thing("v1", "Service", name, SYSTEM, spec={"selector": selector or {"app": name}, "ports": ports})


def state(pod, kind="containerStatuses"):
    """The state of a pod's first container, and how it ended before: ({"reason": …}, {"reason": …})."""
    statuses = pod.get("status", {}).get(kind) or [{}]
    now = next(iter((statuses[0].get("state") or {"": {}}).values()))
    return now, (statuses[0].get("lastState") or {}).get("terminated") or {}


def wait_for_reason(server, name, *reasons, within_s=60):
    """Until a container waits, or lies there, for one of these reasons."""
    return server.wait(
        "Pod", name, SYSTEM, until=lambda seen: state(seen)[0].get("reason") in reasons, within_s=within_s
    )


def wait_for_event(server, reason, within_s=60, holds=bool):
    """Until there is such an event: a controller or kubelet writes it a moment after the deed."""

    def seen(events):
        return any(event["reason"] == reason and holds(event) for event in events)

    return server.wait("Event", None, SYSTEM, until=seen, within_s=within_s)


def wait_for_pods(server, holds, within_s=60):
    """Until the list of all pods of the namespace is as wanted."""
    return server.wait("Pod", None, SYSTEM, until=holds, within_s=within_s)


def eventually(holds, within_s=60):
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.1)

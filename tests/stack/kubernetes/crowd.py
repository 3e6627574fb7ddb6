"""500 pods in 20 namespaces on fake nodes, of which 40 have crashed: `with crowd() as c:`, a cluster."""

import time
from contextlib import contextmanager

from tests.stack.kubernetes.cluster import cluster
from tests.stack.process import new_folder

NAMESPACES, PODS_OF_EACH, UNHEALTHY = 20, 25, 40
LINES = 60  # of the log of each container, and of the run before
NODES = 4


@contextmanager
def crowd(lines=LINES, text="line {number}", audit=False):
    """Every log has the same `lines`."""
    with cluster(nodes=NODES, audit=audit) as running:
        log = str(_log(lines, text))
        running.apply(_logs_of_everybody({"logsFile": log, "previousLogsFile": log}))
        for number in range(NAMESPACES):
            running.apply([_namespace(number), _crowd_in(number)])
        running.wait("Deployment", until=_all_are_available, within_s=120)
        pods = running.get("Pod")
        for pod in pods[:: len(pods) // UNHEALTHY][:UNHEALTHY]:
            _crash(running, pod)
        yield running


def _log(lines, text):
    written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    file = new_folder("crowd") / "log"
    file.write_text("".join(f"{written} stdout F {text.format(number=number)}\n" for number in range(lines)))
    return file


def _all_are_available(deployments):
    return all(one["status"].get("availableReplicas") == PODS_OF_EACH for one in deployments)


def _logs_of_everybody(logs):
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": {"name": "all"},
        "spec": {"logs": [logs]},
    }


def _namespace(number):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"tenant-{number}"}}


def _crowd_in(number):
    container = {"name": "main", "image": "example/main:1", "resources": {"requests": {"cpu": "10m"}}}
    template = {
        "metadata": {"labels": {"app": "main"}},
        "spec": {"nodeName": f"node-{number % NODES}", "containers": [container]},
    }
    spec = {"replicas": PODS_OF_EACH, "selector": {"matchLabels": {"app": "main"}}, "template": template}
    where = {"name": "main", "namespace": f"tenant-{number}"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": where, "spec": spec}


def _crash(running, pod):
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    statuses = pod["status"]["containerStatuses"]
    ended = {"reason": "Error", "exitCode": 1, "startedAt": now, "finishedAt": now, "containerID": "fake://1"}
    statuses[0] |= {"restartCount": 3, "lastState": {"terminated": ended}}
    running.patch("Pod", name, {"status": {"containerStatuses": statuses}}, namespace, "/status")

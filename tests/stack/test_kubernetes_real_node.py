"""The real node of tests/stack/kubernetes: it runs containers, and they fail on demand."""

import re
import socket
import time

import pytest
import requests

from tests.stack import process
from tests.stack.kubernetes import fake_nodes, real_node, services
from tests.stack.kubernetes.api import is_true, rolled_out
from tests.stack.kubernetes.manifests import deployment, eventually, pod, service, state_of

GROWS = "echo about to grow; x=$(head -c 100m /dev/zero | tr '\\0' x); echo never"
HELLO = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"
NOT_TIRED = {"exec": {"command": ["test", "!", "-e", "/tmp/tired"]}, "periodSeconds": 1, "failureThreshold": 1}
NEVER_WELL = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}

# Pods that cannot run: what is peculiar to their container, and the reason that Kubernetes gives.
FAILING = {
    "greedy": ({"command": ["sh", "-c", GROWS], "resources": {"limits": {"memory": "32Mi"}}}, "CrashLoopBackOff"),
    "crashes": ({"command": ["sh", "-c", "exit 3"]}, "CrashLoopBackOff"),
    "no-program": ({"command": ["/no/such/program"]}, "CrashLoopBackOff"),
    "unhealthy": ({"livenessProbe": NEVER_WELL}, "CrashLoopBackOff"),
    "unknown-image": ({"image": "registry.example/none:1", "imagePullPolicy": "IfNotPresent"}, "ImagePullBackOff"),
    "never-pulled": ({"image": "registry.example/none:1"}, "ErrImageNeverPull"),
}


@pytest.fixture(scope="module")
def real(real_cluster):
    """The pods that fail are there from the start: all fail at once."""
    failing = [pod(name, **container) for name, (container, _) in FAILING.items()]
    real_cluster.apply(failing)
    yield real_cluster
    for one in failing:
        real_cluster.delete("Pod", one["metadata"]["name"], "default", grace_s=0)


@pytest.mark.parametrize(("name", "reason"), [(name, reason) for name, (_, reason) in FAILING.items()])
def test_pod_that_cannot_run(real, name, reason):
    real.wait("Pod", name, "default", until=lambda pod: state_of(pod) == reason, within_s=60)


def test_container_is_killed_for_memory_and_its_last_log_is_kept(real):
    seen = real.wait("Pod", "greedy", "default", until=lambda pod: state_of(pod) == "CrashLoopBackOff")
    (status,) = seen["status"]["containerStatuses"]
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert status["lastState"]["terminated"]["exitCode"] == 137
    eventually(lambda: "about to grow" in real.kubectl("logs", "greedy", "--previous"))


def test_liveness_probe_kills(real):
    eventually(lambda: "Liveness probe failed" in real.kubectl("events", "--for=pod/unhealthy"))


def test_service_leads_to_ready_pods_only(real):
    real.apply([pod("web", HELLO, readinessProbe=NOT_TIRED), service("web", 8080, selector="web")])
    address = real.get("Service", "web", "default")["spec"]["clusterIP"]
    real.wait("Pod", "web", "default", until=lambda pod: is_true(pod, "Ready"))
    eventually(lambda: requests.get(f"http://{address}:8080/", timeout=2).text == "hello\n")
    # From a pod, too, and by name.
    fetch = ["exec", "web", "--", "wget", "-qO-"]
    eventually(lambda: real.kubectl(*fetch, f"http://{address}:8080/") == "hello\n")
    eventually(lambda: real.kubectl(*fetch, "http://web.default:8080/") == "hello\n")
    real.kubectl("exec", "web", "--", "touch", "/tmp/tired")
    real.wait("Pod", "web", "default", until=lambda pod: not is_true(pod, "Ready"))

    with pytest.raises(ConnectionRefusedError):
        eventually_refused(address, 8080)


def eventually_refused(address, port, within_s=10):
    """Connect until that raises."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        socket.create_connection((address, port), timeout=1).close()
        time.sleep(0.1)


def test_service_leads_to_a_server_of_the_tests(real):
    with socket.create_server((process.HOST, 0)) as listener:
        target = f"{process.HOST}:{listener.getsockname()[1]}"
        real.apply(service("outside", 5432, **{services.FORWARD: target}))
        address = real.get("Service", "outside", "default")["spec"]["clusterIP"]
        eventually(lambda: socket.create_connection((address, 5432), timeout=1).close() is None)
        listener.accept()[0].close()


def test_address_of_a_pod_that_is_gone_leads_nowhere(real):
    way = process.run(["ip", "route", "get", real.addresses.pods.replace(".0/24", ".250")])
    assert f"dev {real.addresses.interface}" in way


def test_metrics_server_knows_what_containers_use(real):
    real.apply(pod("busy"))
    path = "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/busy"
    eventually(lambda: real.api.request("GET", path)["containers"], within_s=60)
    (container,) = real.api.request("GET", path)["containers"]
    assert re.fullmatch(r"\d+\w+", container["usage"]["memory"])


def test_fake_and_real_pods_keep_apart(real):
    template = {**fake_nodes.ON_FAKE_NODE, "containers": [{"name": "main", "image": "any"}]}
    real.apply(deployment("many", 20, template))
    real.wait("Deployment", "many", "default", until=rolled_out)
    where = {each["spec"]["nodeName"] for each in real.get("Pod", namespace="default", labelSelector="app=many")}
    assert where
    assert all(node.startswith("node-") for node in where)


def test_frozen_kubelet_loses_the_node(real):
    real.freeze("kubelet")
    try:
        real.wait("Node", real_node.NAME, until=lambda node: not is_true(node, "Ready"), within_s=60)
        real.wait("Node", real_node.NAME, until=is_tainted_as_unreachable)
    finally:
        real.thaw("kubelet")
    real.wait("Node", real_node.NAME, until=lambda node: is_true(node, "Ready") and not node["spec"].get("taints"))


def is_tainted_as_unreachable(node):
    return "node.kubernetes.io/unreachable" in {taint["key"] for taint in node["spec"].get("taints", [])}

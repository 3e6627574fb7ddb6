"""Nodes, and the API server itself."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.record.kubernetes.objects import container, home, pod
from tests.record.specimens import specimen
from tests.stack.kubernetes import fake_nodes, metrics_server
from tests.stack.kubernetes.api import Refused, is_true
from tests.stack.kubernetes.real_node import NAME
from tests.stack.neurallog import manifests

NODES = ("k8s_nodes",)


@specimen("every_node_is_ready", sources=NODES)
@contextmanager
def node_lost(server):
    """Its kubelet hangs; the controllers notice after the grace period."""
    server.freeze("kubelet")
    server.wait("Node", NAME, until=lambda seen: not is_true(seen, "Ready"), within_s=60)
    yield
    server.thaw("kubelet")


@specimen("every_lease_is_renewed", sources=("k8s_leases", "k8s_nodes"))
@contextmanager
def kubelet_hangs(server):
    server.freeze("kubelet")
    time.sleep(18)  # its lease holds for 8 s
    yield
    server.thaw("kubelet")


@specimen("no_node_is_under_pressure", sources=NODES)
@contextmanager
def node_without_memory(server):
    """The machine that runs the tests is not for filling: the fake node is given the condition that a kubelet writes."""
    node = server.get("Node", "node-0")
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    pressure = {"type": "MemoryPressure", "status": "True", "reason": "KubeletHasInsufficientMemory"}
    pressure |= {
        "message": "kubelet has insufficient memory available",
        "lastTransitionTime": now,
        "lastHeartbeatTime": now,
    }
    others = [each for each in node["status"]["conditions"] if each["type"] != "MemoryPressure"]
    server.patch("Node", "node-0", {"status": {"conditions": [*others, pressure]}}, subresource="/status")
    yield


@specimen("no_node_is_cordoned", sources=NODES)
@contextmanager
def node_cordoned(server):
    server.kubectl("cordon", "node-0")
    yield


@specimen("nodes_have_room", sources=NODES)
@contextmanager
def node_given_away(server):
    home(server)
    server.apply(pod("report", container(resources={"requests": {"cpu": "31", "memory": "1Gi"}}), real=False))
    server.wait("Pod", "report", "neurallog-system", until=lambda seen: is_true(seen, "Ready"))
    yield


@specimen("nodes_have_one_version", sources=NODES)
@contextmanager
def node_not_upgraded(server):
    for number, version in ((1, "v1.36.2"), (2, "v1.34.1")):
        made = fake_nodes.node(number, tainted=True)
        made["status"]["nodeInfo"] = {"kubeletVersion": version}
        server.apply(made)
        server.wait("Node", f"node-{number}", until=lambda seen: is_true(seen, "Ready"))
        server.patch(
            "Node", f"node-{number}", {"status": {"nodeInfo": {"kubeletVersion": version}}}, subresource="/status"
        )
    yield


@specimen("no_node_is_used_up", sources=("k8s_node_metrics", "k8s_nodes"))
@contextmanager
def node_used_up(server):
    """The machine is not for filling: the node says that it has little more memory than it uses."""
    server.processes["metrics-server"] = metrics_server.start(server.api, server.keys)
    used = _memory_used(server)
    server.freeze("kubelet")  # it would write what it really has
    server.patch("Node", NAME, {"status": {"allocatable": {"memory": f"{int(used * 1.05)}Ki"}}}, subresource="/status")
    yield
    server.thaw("kubelet")
    server.processes.pop("metrics-server").close()


def _memory_used(server, within_s=90):
    """KiB, as the metrics server measured it."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            seen = server.api.request("GET", f"/apis/metrics.k8s.io/v1beta1/nodes/{NAME}")
            return int(seen["usage"]["memory"].removesuffix("Ki"))
        except Refused:
            assert time.monotonic() < deadline
            time.sleep(0.5)


# --- The API server ---------------------------------------------------------------------------------------------------


@specimen("the_api_server_is_ready", sources=("k8s_api_checks",))
@contextmanager
def api_server_without_etcd(server):
    server.processes["etcd"].kill()
    time.sleep(3)
    yield


@specimen("every_part_of_the_api_is_served", sources=("k8s_api_services",))
@contextmanager
def metrics_api_without_server(server):
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": "metrics-server", "namespace": "kube-system"},
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    name = "v1beta1.metrics.k8s.io"
    service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name},
        "spec": spec,
    }
    server.apply(service)
    server.wait("APIService", name, until=lambda seen: seen.get("status", {}).get("conditions"))
    yield


# --- What operators look after, and namespaces ------------------------------------------------------------------------


@specimen("every_object_of_an_operator_is_ready", sources=("k8s_custom",), later=timedelta(minutes=10))
@contextmanager
def tenant_not_provisioned(server):
    """The status is the one that an operator writes; none runs here."""
    server.apply(manifests.tenant_definition())
    server.apply(manifests.tenant("acme", 1))
    condition = {"type": "Ready", "status": "False", "reason": "QuotaExceeded", "message": "log-server has no pod"}
    condition |= {"lastTransitionTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    status = {"phase": "Provisioning", "conditions": [condition]}
    server.patch("Tenant", "acme", {"status": status}, subresource="/status")
    yield


@specimen("no_namespace_hangs_in_deletion", sources=("k8s_namespaces",), later=timedelta(minutes=10))
@contextmanager
def namespace_with_a_finalizer(server):
    """A config map in it waits for somebody."""
    server.apply(manifests.namespace("tenant-acme"))
    kept = manifests.thing("v1", "ConfigMap", "archive", "tenant-acme")
    kept["metadata"]["finalizers"] = ["neurallog.io/archive"]
    server.apply(kept)
    server.delete("Namespace", "tenant-acme")
    server.wait("Namespace", "tenant-acme", until=lambda seen: seen["status"].get("conditions"))
    yield
    server.patch("ConfigMap", "archive", {"metadata": {"finalizers": None}}, "tenant-acme")

"""The cluster of tests/stack/kubernetes: nodes that run nothing, users, and faults of the cluster itself."""

import time

import pytest
import requests

from tests.stack.kubernetes import fake_nodes
from tests.stack.kubernetes.api import Api, Refused, is_true, rolled_out
from tests.stack.kubernetes.api_faults import EXPIRED, Answer, Cut, misbehaving
from tests.stack.kubernetes.cluster import user_name
from tests.stack.kubernetes.manifests import deployment, eventually, state_of

READ_PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]


# --- nodes that run nothing ------------------------------------------------------------------------------------------


def test_versions_and_nodes(real_cluster):
    assert real_cluster.api.request("GET", "/version")["gitVersion"] == "v1.36.2"
    assert [node["metadata"]["name"] for node in real_cluster.get("Node")] == ["node-0", "node-1", "node-2", "worker-1"]
    assert "node-2" in real_cluster.kubectl("get", "nodes")


def test_rollout_with_history(real_cluster):
    template = {**fake_nodes.ON_FAKE_NODE, "containers": [{"name": "web", "image": "shop/web:1.0"}]}
    real_cluster.apply(deployment("rolled", 3, template))
    real_cluster.wait("Deployment", "rolled", "default", until=rolled_out)
    template["containers"][0]["image"] = "shop/web:1.1"
    real_cluster.apply(deployment("rolled", 3, template))
    real_cluster.wait("Deployment", "rolled", "default", until=rolled_out)
    revisions = {
        each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: each["spec"]["replicas"]
        for each in real_cluster.get("ReplicaSet", namespace="default", labelSelector="app=rolled")
    }
    assert revisions == {"1": 0, "2": 3}


def test_fake_pod_has_the_state_and_the_log_that_a_test_gives_it(real_cluster, tmp_path):
    real_cluster.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "given"}}])
    log = tmp_path / "log"
    log.write_text("".join(f"2026-11-23T10:00:0{n}.000000000Z stdout F line {n}\n" for n in range(5)))
    real_cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "given", "namespace": "given"},
            "spec": {**fake_nodes.ON_FAKE_NODE, "containers": [{"name": "main", "image": "any"}]},
        }
    )
    real_cluster.wait("Pod", "given", "given", until=lambda each: is_true(each, "Ready"))
    real_cluster.apply(fake_nodes.logs("given", "given", "main", log))
    state = {
        "name": "main",
        "image": "any",
        "imageID": "",
        "ready": False,
        "restartCount": 5,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    }
    real_cluster.patch("Pod", "given", {"status": {"containerStatuses": [state]}}, "given", subresource="/status")
    time.sleep(0.5)  # kwok might set it back
    assert state_of(real_cluster.get("Pod", "given", "given")) == "CrashLoopBackOff"
    # kwok reads the object a moment later.
    eventually(lambda: real_cluster.kubectl("logs", "given", "-n", "given", "--tail=2") == "line 3\nline 4\n")


# --- users -----------------------------------------------------------------------------------------------------------


def test_user_may_do_what_the_rules_say_and_the_audit_log_tells(real_cluster):
    reader = Api.of_kubeconfig(real_cluster.kubeconfig("pod-reader", READ_PODS, namespace="default"))
    assert reader.get("Pod", namespace="default") is not None
    with pytest.raises(Refused, match="403"):
        reader.get("Pod", namespace="kube-system")
    asked = [event for event in real_cluster.audit_log("pod-reader") if "/pods" in event["requestURI"]]
    assert [(event["verb"], event["responseStatus"]["code"]) for event in asked] == [("list", 200), ("list", 403)]
    assert {event["user"]["username"] for event in asked} == {user_name("pod-reader")}


def test_user_without_rules_may_not_read(real_cluster):
    nobody = Api.of_kubeconfig(real_cluster.kubeconfig("may-nothing"))
    with pytest.raises(Refused, match="403"):
        nobody.get("Namespace")


def test_revoked_user_is_unknown(real_cluster):
    leaver = Api.of_kubeconfig(real_cluster.kubeconfig("pod-leaver", READ_PODS))
    leaver.get("Pod")
    real_cluster.revoke("pod-leaver")
    deadline = time.monotonic() + 20
    with pytest.raises(Refused, match="401"):
        while time.monotonic() < deadline:
            leaver.get("Pod")
            time.sleep(0.2)


# --- faults of the cluster itself ------------------------------------------------------------------------------------


def test_frozen_etcd_lets_writes_hang(real_cluster):
    real_cluster.freeze("etcd")
    with pytest.raises(requests.Timeout):
        requests.get(real_cluster.url + "/readyz", verify=str(real_cluster.api.authority), timeout=1)
    real_cluster.thaw("etcd")
    real_cluster.wait("Node", "node-0", until=bool)


def test_frozen_api_server_accepts_and_says_nothing(real_cluster):
    real_cluster.freeze("kube-apiserver")
    with pytest.raises(requests.Timeout):
        requests.get(real_cluster.url + "/livez", verify=str(real_cluster.api.authority), timeout=1)
    real_cluster.thaw("kube-apiserver")
    assert real_cluster.get("Node", "node-0")


def test_groups_without_a_server(real_cluster):
    with pytest.raises(Refused, match="404"):
        real_cluster.api.request("GET", "/apis/custom.metrics.k8s.io/v1beta1/pods")
    spec = {
        "group": "custom.metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": "nobody", "namespace": "default"},
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    name = "v1beta1.custom.metrics.k8s.io"
    metadata = {"name": name}
    real_cluster.apply(
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec}
    )

    def unavailable():
        with pytest.raises(Refused) as refused:
            real_cluster.api.request("GET", "/apis/custom.metrics.k8s.io/v1beta1/pods")
        return refused.value.status == 503

    eventually(unavailable)
    real_cluster.delete("APIService", name)


def test_requests_that_are_made_to_fail(real_cluster):
    faults = {
        "/api/v1/services": Answer(429, {"Retry-After": "7"}),
        "/api/v1/namespaces": EXPIRED,
        "/api/v1/nodes": Cut(after_bytes=100),
        "/api/v1/namespaces/default/pods/*": Answer(200, text="unable to retrieve container logs for containerd://1"),
    }
    with misbehaving(real_cluster, faults) as kubeconfig:
        api = Api.of_kubeconfig(kubeconfig)
        with pytest.raises(Refused, match=r"429.*TooManyRequests"):
            api.get("Service")
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="100 bytes read"):
            api.get("Node")
        first = api.request("GET", "/api/v1/namespaces", limit=1)
        assert len(first["items"]) == 1
        with pytest.raises(Refused, match=r"410.*Expired"):
            api.request("GET", "/api/v1/namespaces", **{"limit": 1, "continue": first["metadata"]["continue"]})
        log = real_cluster.kubectl(
            "--kubeconfig", str(kubeconfig), "get", "--raw", "/api/v1/namespaces/default/pods/x/log"
        )
        assert log.startswith("unable to retrieve")
        assert api.get("ConfigMap", namespace="kube-system")  # all else goes through

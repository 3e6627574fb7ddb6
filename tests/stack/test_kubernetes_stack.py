"""The cluster of tests/stack/kubernetes: it starts, runs real containers, fails on demand, and leaves nothing behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.stack import guard, process
from tests.stack.kubernetes import build, cgroups, fake_nodes, images, real_node, services
from tests.stack.kubernetes.api import Api, Refused, is_true, rolled_out
from tests.stack.kubernetes.api_faults import EXPIRED, Answer, Cut, misbehaving
from tests.stack.kubernetes.cluster import cluster, user_name
from tests.stack.process import MissingServer

TOP = Path(__file__).parents[2]
READ_PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]


@pytest.fixture(scope="module")
def fake():
    """Three nodes that run nothing, and an audit log."""
    with cluster(nodes=3, audit=True) as running:
        yield running


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
def real():
    """A node that runs containers, and one that does not. The pods that fail are there from the start: all fail at once."""
    with cluster(nodes=1, real_node=True, metrics=True) as running:
        running.apply([pod(name, **container) for name, (container, _) in FAILING.items()])
        yield running


def eventually(condition, within_s=10):
    """Wait until `condition()` is true; that what it asks fails meanwhile is no harm."""
    deadline = time.monotonic() + within_s
    while True:
        with suppress(OSError, Refused, process.ServerFailed):
            if condition():
                return
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.1)


# --- nodes that run nothing ------------------------------------------------------------------------------------------


def test_versions_and_nodes(fake):
    assert fake.api.request("GET", "/version")["gitVersion"] == "v1.36.2"
    assert [node["metadata"]["name"] for node in fake.get("Node")] == ["node-0", "node-1", "node-2"]
    assert "node-2" in fake.kubectl("get", "nodes")


def test_rollout_with_history(fake):
    template = {"containers": [{"name": "web", "image": "shop/web:1.0"}]}
    fake.apply(deployment("web", 3, template))
    fake.wait("Deployment", "web", "default", until=rolled_out)
    template["containers"][0]["image"] = "shop/web:1.1"
    fake.apply(deployment("web", 3, template))
    fake.wait("Deployment", "web", "default", until=rolled_out)
    revisions = {
        each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]: each["spec"]["replicas"]
        for each in fake.get("ReplicaSet", namespace="default")
    }
    assert revisions == {"1": 0, "2": 3}


def test_fake_pod_has_the_state_and_the_log_that_a_test_gives_it(fake, tmp_path):
    fake.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}])
    log = tmp_path / "log"
    log.write_text("".join(f"2026-11-23T10:00:0{n}.000000000Z stdout F line {n}\n" for n in range(5)))
    fake.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "given", "namespace": "shop"},
            "spec": {"containers": [{"name": "main", "image": "any"}]},
        }
    )
    fake.wait("Pod", "given", "shop", until=lambda each: is_true(each, "Ready"))
    fake.apply(fake_nodes.logs("given", "shop", "main", log))
    state = {
        "name": "main",
        "image": "any",
        "imageID": "",
        "ready": False,
        "restartCount": 5,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    }
    fake.patch("Pod", "given", {"status": {"containerStatuses": [state]}}, "shop", subresource="/status")
    time.sleep(0.5)  # kwok might set it back
    assert state_of(fake.get("Pod", "given", "shop")) == "CrashLoopBackOff"
    # kwok reads the object a moment later.
    eventually(lambda: fake.kubectl("logs", "given", "-n", "shop", "--tail=2") == "line 3\nline 4\n")


# --- users -----------------------------------------------------------------------------------------------------------


def test_user_may_do_what_the_rules_say_and_the_audit_log_tells(fake):
    reader = Api.of_kubeconfig(fake.kubeconfig("reader", READ_PODS, namespace="default"))
    assert reader.get("Pod", namespace="default") is not None
    with pytest.raises(Refused, match="403"):
        reader.get("Pod", namespace="kube-system")
    asked = [event for event in fake.audit_log("reader") if "/pods" in event["requestURI"]]
    assert [(event["verb"], event["responseStatus"]["code"]) for event in asked] == [("list", 200), ("list", 403)]
    assert {event["user"]["username"] for event in asked} == {user_name("reader")}


def test_user_without_rules_may_not_read(fake):
    nobody = Api.of_kubeconfig(fake.kubeconfig("nobody"))
    with pytest.raises(Refused, match="403"):
        nobody.get("Namespace")


def test_revoked_user_is_unknown(fake):
    leaver = Api.of_kubeconfig(fake.kubeconfig("leaver", READ_PODS))
    leaver.get("Pod")
    fake.revoke("leaver")
    deadline = time.monotonic() + 20
    with pytest.raises(Refused, match="401"):
        while time.monotonic() < deadline:
            leaver.get("Pod")
            time.sleep(0.2)


# --- faults of the cluster itself ------------------------------------------------------------------------------------


def test_frozen_etcd_lets_writes_hang(fake):
    fake.freeze("etcd")
    with pytest.raises(requests.Timeout):
        requests.get(fake.url + "/readyz", verify=str(fake.api.authority), timeout=1)
    fake.thaw("etcd")
    fake.wait("Node", "node-0", until=bool)


def test_frozen_api_server_accepts_and_says_nothing(fake):
    fake.freeze("kube-apiserver")
    with pytest.raises(requests.Timeout):
        requests.get(fake.url + "/livez", verify=str(fake.api.authority), timeout=1)
    fake.thaw("kube-apiserver")
    assert fake.get("Node", "node-0")


def test_frozen_kubelet_loses_the_node():
    with cluster(real_node=True) as lost:
        lost.freeze("kubelet")
        lost.wait("Node", real_node.NAME, until=lambda node: not is_true(node, "Ready"), within_s=60)
        lost.wait("Node", real_node.NAME, until=is_tainted_as_unreachable)
        lost.thaw("kubelet")
        lost.wait("Node", real_node.NAME, until=lambda node: is_true(node, "Ready"), within_s=30)


def is_tainted_as_unreachable(node):
    return "node.kubernetes.io/unreachable" in {taint["key"] for taint in node["spec"].get("taints", [])}


def test_groups_without_a_server(fake):
    with pytest.raises(Refused, match="404"):
        fake.api.request("GET", "/apis/metrics.k8s.io/v1beta1/pods")
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "service": {"name": "nobody", "namespace": "default"},
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    name = "v1beta1.metrics.k8s.io"
    metadata = {"name": name}
    fake.apply({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": metadata, "spec": spec})

    def unavailable():
        with pytest.raises(Refused) as refused:
            fake.api.request("GET", "/apis/metrics.k8s.io/v1beta1/pods")
        return refused.value.status == 503

    eventually(unavailable)
    fake.delete("APIService", name)


def test_requests_that_are_made_to_fail(fake):
    faults = {
        "/api/v1/services": Answer(429, {"Retry-After": "7"}),
        "/api/v1/namespaces": EXPIRED,
        "/api/v1/nodes": Cut(after_bytes=100),
        "/api/v1/namespaces/default/pods/*": Answer(200, text="unable to retrieve container logs for containerd://1"),
    }
    with misbehaving(fake, faults) as kubeconfig:
        api = Api.of_kubeconfig(kubeconfig)
        with pytest.raises(Refused, match=r"429.*TooManyRequests"):
            api.get("Service")
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="100 bytes read"):
            api.get("Node")
        first = api.request("GET", "/api/v1/namespaces", limit=1)
        assert len(first["items"]) == 1
        with pytest.raises(Refused, match=r"410.*Expired"):
            api.request("GET", "/api/v1/namespaces", **{"limit": 1, "continue": first["metadata"]["continue"]})
        log = fake.kubectl("--kubeconfig", str(kubeconfig), "get", "--raw", "/api/v1/namespaces/default/pods/x/log")
        assert log.startswith("unable to retrieve")
        assert api.get("ConfigMap", namespace="kube-system")  # all else goes through


# --- the real node ---------------------------------------------------------------------------------------------------


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
    assert where == {"node-0"}


# --- nothing is left, nothing clashes --------------------------------------------------------------------------------


def traces_of(running):
    """What of a cluster is still there: processes, interface, control groups, folders."""
    folders = [each.folder for each in running.processes.values()]
    found = [str(folder) for folder in folders if folder.exists()]
    found += [str(pid) for folder in folders for pid in guard.processes_in(folder)]
    links = process.run(["ip", "-brief", "link"])
    if re.search(rf"^{running.addresses.interface}\b", links, re.MULTILINE):
        found.append(running.addresses.interface)
    group = f"*-{running.addresses.interface}"
    found += [str(folder) for root in cgroups.hierarchies() for folder in root.glob(f"{cgroups.PREFIX}{group}")]
    return found


def test_two_clusters_at_once_and_nothing_left():
    with cluster(real_node=True) as one, cluster(real_node=True) as other:
        for each in (one, other):
            each.apply(pod("same-name", "echo I am $HOSTNAME; exec sleep 1000"))
        addresses = set()
        for each in (one, other):
            seen = each.wait("Pod", "same-name", "default", until=lambda pod: is_true(pod, "Ready"))
            addresses.add(seen["status"]["podIP"])
            assert "I am same-name" in each.kubectl("logs", "same-name")
        assert len(addresses) == 2
        sleeping = containers_of(one) + containers_of(other)
        assert len(sleeping) >= 4
        assert traces_of(one)
    assert traces_of(one) == traces_of(other) == []
    assert not any(Path(f"/proc/{pid}").exists() for pid in sleeping)


def containers_of(running):
    """Ids of the processes in the containers of the real node."""
    group = running.processes["containerd"].cgroup
    root = next(root for root in cgroups.hierarchies() if (root / group).exists())
    return [pid for file in (root / group).rglob("cgroup.procs") for pid in file.read_text().split()]


KILLED = """
import json, signal
from tests.stack.kubernetes.api_faults import EXPIRED, Answer, Cut, misbehaving
from tests.stack.kubernetes.cluster import cluster
from tests.stack.test_kubernetes_stack import containers_of, pod
with cluster(nodes=1, real_node=True) as c:
    c.apply(pod("left"))
    c.wait("Pod", "left", "default", until=lambda pod: pod["status"]["phase"] == "Running")
    folders = [str(each.folder) for each in c.processes.values()]
    print(json.dumps([c.addresses.interface, containers_of(c), folders]), flush=True)
    signal.pause()
"""


def test_killed_test_run_leaves_no_process_and_no_interface():
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True) as running:
        interface, containers, folders = json.loads(running.stdout.readline())
        assert containers
        running.send_signal(signal.SIGKILL)
    eventually(lambda: interface not in process.run(["ip", "-brief", "link"]))
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in containers))
    eventually(lambda: not any(Path(folder).exists() for folder in folders))
    # Control groups stay until the next cluster is started.
    with cluster(real_node=True):
        assert not [folder for root in cgroups.hierarchies() for folder in root.glob(f"*-{interface}")]


# --- what is missing is said -----------------------------------------------------------------------------------------


def test_real_node_needs_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with (
        pytest.raises(MissingServer, match="A real Kubernetes node is not installed: it needs root"),
        cluster(real_node=True),
    ):
        pass


def test_missing_program_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("NL_FORENSICS_STACK_CACHE", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    with pytest.raises(MissingServer, match=r"etcd is not installed: run tests/stack/kubernetes/install.sh"), cluster():
        pass


def test_assets_of_envtest_are_taken(monkeypatch, tmp_path):
    (tmp_path / "etcd").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert build.program("etcd") == tmp_path / "etcd"
    assert build.program("kwok").parent == build.built_folder()


def test_programs_are_those_of_the_pinned_modules(monkeypatch, tmp_path):
    before = build.built_folder()
    (tmp_path / "kubernetes").mkdir()
    (tmp_path / "kubernetes/go.sum").write_text("another")
    monkeypatch.setattr(build, "MODULES", tmp_path)
    assert build.built_folder() != before

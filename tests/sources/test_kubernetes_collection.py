"""Kubernetes: containers that really run, and whole collections."""

import time
from datetime import datetime, timedelta

import pandas as pd
import pytest

from nl_forensics import permissions
from nl_forensics.collection.collect import collect
from nl_forensics.inputs import parameters
from tests.asking import ask, incident, link, platform
from tests.sources.shop import READER, is_ready
from tests.stack.kubernetes import crowd, images, real_node
from tests.stack.kubernetes.api_faults import Answer, misbehaving

# --- Containers that really run ---------------------------------------------------------------------------------------

RUNNING = "running"
ONE_WAIT_S = 4
PATIENCE = {"question_s": 2, "deadline_s": 60}  # every question alone: longer than the deadline
PROGRAMS = {
    "steady": ('echo \'{"level":"info","msg":"serving 3 requests"}\'; exec sleep 600', images.BUSYBOX),
    "crashing": ("echo level=error msg='no such host'; exit 3", images.BUSYBOX),
    "greedy": ("exec dd if=/dev/zero of=/dev/null bs=200M count=1", images.BUSYBOX),
    "unpulled": ("exec sleep 600", "registry.example/missing:1"),
}


@pytest.fixture(scope="module")
def real(real_cluster):
    """A namespace with one container that is well, and three that fail in ways of their own."""
    real_cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": RUNNING}})
    real_cluster.apply([_real_pod(name, *program) for name, program in PROGRAMS.items()])
    real_cluster.wait("Pod", "steady", RUNNING, until=is_ready)
    for name in ("crashing", "greedy"):
        real_cluster.wait("Pod", name, RUNNING, until=lambda pod: _status(pod).get("restartCount", 0) > 0)
    real_cluster.wait("Pod", "unpulled", RUNNING, until=lambda pod: "waiting" in _status(pod).get("state", {}))
    yield real_cluster
    real_cluster.delete("Namespace", RUNNING)


def there(opened, name):
    return ask(opened, name, platform_=platform(namespaces=(RUNNING,)))


def _status(pod):
    return next(iter(pod.get("status", {}).get("containerStatuses", [])), {})


def _real_pod(name, script, image):
    container = {
        "name": "main",
        "image": image,
        "command": ["/bin/sh", "-c", script],
        "resources": {"limits": {"memory": "32Mi"}},
    }
    spec = {**real_node.ON_REAL_NODE, "containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": RUNNING}, "spec": spec}


def test_how_containers_end(real):
    opened = link("kubernetes", str(real.kubeconfig(READER, permissions.kubernetes_rules())))
    containers = there(opened, "k8s_containers").table.set_index("pod")
    assert containers.last_reason["greedy"] == "OOMKilled"
    assert (containers.last_reason["crashing"], containers.last_exit_code["crashing"]) == ("Error", 3)
    assert containers.state_reason["unpulled"] in ("ErrImagePull", "ImagePullBackOff")
    assert containers.ready["steady"]
    logs = there(opened, "k8s_unhealthy_logs")
    assert set(logs.table.pod) == {"crashing"}  # the greedy one says nothing, the unpulled one never ran
    assert set(logs.table.level) == {"error"}
    sampled = there(opened, "k8s_logs").table
    assert list(sampled.message) == ["serving 3 requests"]
    assert sampled["at"].iloc[0].microsecond
    opened.close()


def test_a_node_that_hangs(real):
    """Its logs are missing, and only they; it is not waited for with every log."""
    opened = link("kubernetes", str(real.kubeconfig(READER)), budget={"connect_s": ONE_WAIT_S})
    real.freeze("kubelet")
    try:
        began = time.monotonic()
        heard = there(opened, "k8s_unhealthy_logs")
        assert time.monotonic() - began < 3 * ONE_WAIT_S  # there are five logs
        assert there(opened, "k8s_pods").unseen == []
    finally:
        real.thaw("kubelet")
    assert heard.table.empty
    assert any("logs on node" in unseen for unseen in heard.unseen)
    opened.close()


# --- A whole collection -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    with crowd.crowd(audit=True) as running:
        running.kubeconfig(READER, permissions.kubernetes_rules())
        yield running


def collected(folder, kubeconfig, monkeypatch, on_answer=None, **budget):
    """A case of this cluster alone."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    absent = dict.fromkeys(("postgres", "pgbouncer", "redis", "prometheus"), "absent")
    systems = absent | {"kubernetes": {"main": {}}}
    values = {
        "incident": {"id": "test", "start": incident(30).start.isoformat(), "end": "now"},
        "platform": {"name": "test", "systems": systems, "budget": budget},
    }
    return collect(folder / "case", parameters.resolve(values), on_answer=on_answer)


def errors(case):
    """{source: kind of error}, of what was refused."""
    return {name: one.error for name, answers in case.answers.items() for one in answers.values() if one.error}


def test_a_collection_of_an_api_server_that_hangs(shop, tmp_path, monkeypatch):
    """It froze after it had let us in; no table is taken for a healthy one, and the deadline is held."""
    frozen = []

    def on_answer(name, _):
        if name == "k8s_pods" and not frozen:
            frozen.append(shop.freeze("kube-apiserver"))

    began = time.monotonic()
    try:
        case = collected(tmp_path, shop.folder / f"{READER}.kubeconfig", monkeypatch, on_answer=on_answer, **PATIENCE)
    finally:
        shop.thaw("kube-apiserver")
    assert time.monotonic() - began < PATIENCE["deadline_s"]
    assert len(case.read("k8s_pods").rows) == 4
    assert errors(case)["k8s_bindings"] == "NotReachable"  # one of the last, which the pace keeps for seconds later
    assert set(errors(case).values()) == {"NotReachable"}


def test_a_collection_that_is_let_in_nowhere(shop, tmp_path, monkeypatch):
    with misbehaving(shop, {"/*": Answer(401)}, READER) as kubeconfig:
        case = collected(tmp_path, kubeconfig, monkeypatch)
    assert set(errors(case).values()) == {"NotAllowed"}
    assert case.read("systems_reached").rows.answered.all()  # "you may not log in" is an answer


def test_all_logs_are_read_when_asked_for(many, tmp_path, monkeypatch):
    kubeconfig = many.kubeconfig("eager", permissions.kubernetes_rules())
    unhurried = {"kubernetes_per_s": 100, "deadline_s": 300}
    case = collected(tmp_path, kubeconfig, monkeypatch, kubernetes_all_logs=True, **unhurried)
    names = ["namespace", "pod", "container", "previous"]
    read = pd.concat([case.read("k8s_logs").rows, case.read("k8s_unhealthy_logs").rows])
    every = crowd.NAMESPACES * crowd.PODS_OF_EACH + crowd.UNHEALTHY
    assert (read.groupby(names).size() == crowd.LINES).sum() == every
    assert [gap.unseen for gap in case.gaps("k8s_logs")] == []


def test_a_whole_collection_of_500_pods(many, tmp_path, monkeypatch):
    """≤ 45 s, ≤ 10 requests in any second, about 200 in all; every unhealthy container's current and previous log is there."""
    began = time.monotonic()
    case = collected(tmp_path, many.folder / f"{READER}.kubeconfig", monkeypatch)
    took = time.monotonic() - began
    logs = case.read("k8s_unhealthy_logs").rows
    assert len(logs.groupby(["namespace", "pod", "previous"])) == 2 * crowd.UNHEALTHY
    assert len(case.read("k8s_logs").rows.groupby("namespace")) == crowd.NAMESPACES
    assert len(case.read("k8s_pods").rows) == crowd.NAMESPACES * crowd.PODS_OF_EACH
    assert case.read("k8s_nodes").rows.pods.sum() == crowd.NAMESPACES * crowd.PODS_OF_EACH
    assert errors(case) == {}
    moments = sorted(
        datetime.fromisoformat(one["requestReceivedTimestamp"])
        for one in many.audit_log(READER)
        if one["stage"] == "ResponseComplete"
    )
    assert took < 45
    assert len(moments) < 220
    # Sent at most 10 a second; on a busy machine some are received late, and near to those after them.
    assert all(later - earlier > timedelta(seconds=4) for earlier, later in zip(moments, moments[50:], strict=False))

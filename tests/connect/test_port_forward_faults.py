"""Systems that are reached through the API server: every fault is told."""

import time

import pytest
import yaml

from nl_forensics import permissions
from nl_forensics.errors import NotAllowed, NotConfigured, NotReachable
from nl_forensics.permissions import kubernetes as cluster_permissions
from tests.collection.test_collect import outages, timed_collect
from tests.connect.forwarding import (
    ANALYST,
    ASKED,
    INSIDE,
    NAMESPACE,
    NOBODY,
    PATIENT,
    POD,
    PORTS,
    PORTS_INSIDE,
    SOMEBODY,
    errors,
    forward,
    is_known,
    leads_to_pod,
    linked,
    remedy,
    start_pod,
    through,
)
from tests.investigation import QUICK, SYSTEMS
from tests.stack.kubernetes.api import is_true


def test_without_the_permission(inside, addresses, tmp_path):
    """Nothing was heard of the systems: that they answer is unknown, and what is to be granted is said once."""
    inside.kubeconfig(SOMEBODY, permissions.kubernetes_rules())
    asked = through(tmp_path, inside, {"postgres": addresses["postgres"]}, SOMEBODY, redis={"main": addresses["redis"]})
    case, _ = timed_collect(asked, again=ASKED)
    assert errors(case) == {"NotAllowed"}
    assert not is_known(case, "postgres")
    assert outages(case) == {}
    assert remedy(case, "postgres") == {f"allow us to get and create pods/portforward in namespace {NAMESPACE}"}
    assert errors(case, "redis") == set()


def test_a_port_where_nothing_listens(inside, addresses):
    for system in SYSTEMS:
        with pytest.raises(
            NotReachable, match=f"nothing listens on port {NOBODY + INSIDE} of pod data/stores-0"
        ) as caught:
            linked(inside, system, addresses[system], NOBODY)
        assert not caught.value.on_the_way
        assert caught.value.remedy


def test_a_service_without_a_ready_pod(inside, addresses, tmp_path):
    """For its clients the system is down, so this is an outage."""
    inside.kubectl("exec", "-n", NAMESPACE, POD, "--", "touch", "/tmp/tired")
    try:
        inside.wait("Pod", POD, NAMESPACE, until=lambda pod: not is_true(pod, "Ready"))
        inside.wait(
            "EndpointSlice", namespace=NAMESPACE, until=lambda slices: not any(leads_to_pod(one) for one in slices)
        )
        asked = through(tmp_path, inside, addresses)
        case, took = timed_collect(asked, again=ASKED)
        # What runs in a pod that is not ready can be asked by its name.
        link = linked(inside, "redis", addresses["redis"], PORTS_INSIDE["redis"], kind="pod", name=POD)
        link.close()
    finally:
        inside.kubectl("exec", "-n", NAMESPACE, POD, "--", "rm", "/tmp/tired")
        start_pod(inside)
    assert took < PATIENT["deadline_s"]
    assert outages(case).keys() == {f"{name}-main" for name in SYSTEMS}
    assert all("no pod behind service data/stores is ready" in because for because in outages(case).values())


@pytest.mark.parametrize(("kind", "name", "said"), [("pod", "gone", "not found"), ("service", "gone", "no service")])
def test_what_is_not_there(inside, kind, name, said):
    with pytest.raises(NotReachable, match=said) as caught:
        forward(inside, 5432, kind=kind, name=name)
    assert not caught.value.on_the_way


def test_a_revoked_token(inside, addresses, tmp_path):
    inside.kubeconfig("leaver", cluster_permissions.port_forward_rules(), NAMESPACE)
    forward(inside, PORTS["redis"], "leaver").close()  # a Role in that namespace is enough
    inside.revoke("leaver")
    deadline = time.monotonic() + 20
    with pytest.raises(NotAllowed, match="401") as caught:
        while time.monotonic() < deadline:
            forward(inside, PORTS["redis"], "leaver").close()
            time.sleep(0.5)
    assert caught.value.on_the_way
    assert "log in again" in caught.value.remedy
    case, _ = timed_collect(through(tmp_path, inside, {"redis": addresses["redis"]}, "leaver"), again=ASKED)
    assert errors(case, "redis") == {"NotAllowed"}
    assert not is_known(case, "redis")


def test_a_frozen_api_server(inside, addresses, tmp_path, redis_server):
    """It says nothing about the systems behind it; others are asked meanwhile."""
    asked = through(tmp_path, inside, {"postgres": addresses["postgres"]}, redis={"main": redis_server.url()})
    inside.freeze("kube-apiserver")
    try:
        case, took = timed_collect(asked, again=ASKED)
    finally:
        inside.thaw("kube-apiserver")
    assert took < PATIENT["deadline_s"]
    assert errors(case) == {"NotReachable"}
    assert not is_known(case, "postgres")
    assert errors(case, "redis") == set()


def test_an_api_server_that_freezes_meanwhile(inside, addresses, tmp_path, redis_server):
    asked = through(tmp_path, inside, {"postgres": addresses["postgres"]}, redis={"main": redis_server.url()})
    frozen = []

    def freeze(source, instance):
        if (source, instance) == ("pg_activity", "main") and not frozen:
            inside.freeze("kube-apiserver")
            frozen.append(True)

    try:
        case, took = timed_collect(asked, again=ASKED, on_answer=freeze)
    finally:
        inside.thaw("kube-apiserver")
    assert frozen
    assert took < PATIENT["deadline_s"] + 10
    assert errors(case) == {"NotReachable"}
    assert is_known(case, "postgres")
    assert not case.answers["pg_activity"]["main"].error
    assert errors(case, "redis") == set()


def test_a_pod_that_is_killed_meanwhile(inside, addresses, tmp_path, redis_server):
    """What came before is kept; that the system is gone is an outage."""
    asked = through(tmp_path, inside, {"postgres": addresses["postgres"]}, redis={"main": redis_server.url()})
    killed = []

    def kill(source, instance):
        if (source, instance) == ("pg_activity", "main") and not killed:
            killed.append(inside.delete("Pod", POD, NAMESPACE))
            inside.wait("EndpointSlice", namespace=NAMESPACE, until=lambda all_: not any(map(leads_to_pod, all_)))

    try:
        case, took = timed_collect(asked, again=ASKED, on_answer=kill)
    finally:
        start_pod(inside)
    assert killed
    assert took < PATIENT["deadline_s"] + 10
    assert not case.answers["pg_activity"]["main"].error
    assert errors(case) == {"NotReachable"}
    assert outages(case).keys() == {"postgres-main"}
    assert errors(case, "redis") == set()


def test_without_a_kubeconfig(inside, addresses, tmp_path):
    asked = through(tmp_path, inside, {"redis": addresses["redis"]})
    asked.systems["kubernetes"]["main"] = str(tmp_path / "none")
    case = asked.collect(again=ASKED)
    assert errors(case, "redis") == {"NotConfigured"}
    asked = through(tmp_path / "unset", inside, {"redis": addresses["redis"]})
    asked.systems["kubernetes"]["main"] = ""
    case = asked.collect(again=ASKED)
    assert remedy(case, "redis") == {"set TEST_KUBERNETES_MAIN: redis is reached through cluster main"}


def test_a_credential_plugin_that_hangs(inside, addresses, tmp_path):
    """It can only be killed, with the worker: that tells nothing about the system either."""
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["60"]}
    plugin["interactiveMode"] = "Never"
    values = yaml.safe_load((inside.folder / f"{ANALYST}.kubeconfig").read_text())
    values["users"][0]["user"] = {"exec": plugin}
    (tmp_path / "config").write_text(yaml.safe_dump(values))
    asked = through(tmp_path, inside, {"redis": addresses["redis"]}, budget=QUICK)
    asked.systems["kubernetes"]["main"] = str(tmp_path / "config")
    case, took = timed_collect(asked, again=ASKED)
    assert took < 60  # the plugin would sleep that long
    assert errors(case, "redis") == {"NotReachable"}
    assert not is_known(case, "redis")


def test_an_address_with_several_hosts_is_refused(inside):
    with pytest.raises(NotConfigured, match="several hosts"):
        linked(inside, "postgres", "postgresql://u:p@a:1,b:1/db", PORTS["postgres"])
    with pytest.raises(NotConfigured):
        linked(inside, "redis", "unix:///run/redis.sock", PORTS["redis"])

"""The way to a system as the platform file declares it: `via: {port_forward: …}`. That it works: test_port_forward.py."""

import pytest

from nl_forensics.connect.forward import ready_pod
from nl_forensics.errors import NotReachable, ParameterError
from nl_forensics.inputs.parameters import resolve
from tests.investigation import SYSTEMS


def declared(via, **clusters):
    absent = dict.fromkeys(SYSTEMS, "absent")
    systems = absent | {"redis": {"main": {"endpoint": "X", "via": via}}, "kubernetes": clusters or "absent"}
    values = {"incident": {"id": "test", "start": "2026-01-01T00:00Z"}, "platform": {"name": "t", "systems": systems}}
    return resolve(values).platform.systems


def test_a_service_and_a_pod_are_understood():
    systems = declared({"port_forward": "data/pod/redis-0:6379"}, one={})
    endpoint = systems.instances("redis")["main"]
    assert endpoint.via.target == ("data", "pod", "redis-0", 6379)
    assert systems.cluster_of(endpoint).name == "one"
    systems = declared({"port_forward": "data/service/redis:6379", "cluster": "b"}, a={}, b={"endpoint": "OTHER"})
    assert systems.cluster_of(systems.instances("redis")["main"]).endpoint.endpoint == "OTHER"


@pytest.mark.parametrize(
    "target", ["redis:6379", "data/redis:6379", "data/deployment/redis:6379", "data/pod/redis", "data/pod/redis:65536"]
)
def test_another_target_is_refused(target):
    with pytest.raises(ParameterError, match=r"via\.port_forward: write namespace/service/name:port"):
        declared({"port_forward": target}, one={})


@pytest.mark.parametrize(
    ("cluster", "clusters"), [("", {}), ("", {"a": {}, "b": {}}), ("c", {"a": {}}), ("a", {})], ids=str
)
def test_the_cluster_must_be_one_that_is_declared(cluster, clusters):
    with pytest.raises(ParameterError, match="`cluster` must name an instance of kubernetes"):
        declared({"port_forward": "data/pod/redis-0:6379", "cluster": cluster}, **clusters)


def test_a_cluster_itself_is_reached_directly():
    with pytest.raises(ParameterError, match=r"kubernetes\.one\.via"):
        declared({"port_forward": "data/pod/redis-0:6379"}, one={"via": {"port_forward": "data/pod/x:1"}})


# --- Which pod ----------------------------------------------------------------------------------------------------------

SERVICES = [{"spec": {"ports": [{"name": "sql", "port": 5432}, {"port": 80}]}}]


def endpoint(pod, ready=True, kind="Pod"):
    return {"targetRef": {"kind": kind, "name": pod}, "conditions": {} if ready is None else {"ready": ready}}


def slice_of(*endpoints, name="sql", port=15432):
    return {"ports": [{"name": name, "port": port}], "endpoints": list(endpoints)}


def test_the_first_ready_pod_is_taken():
    slices = [slice_of(endpoint("c"), endpoint("a", ready=False)), slice_of(endpoint("b", ready=None))]
    assert ready_pod("data/db", 5432, SERVICES, slices) == ("b", 15432)
    assert ready_pod("data/db", 80, SERVICES, [slice_of(endpoint("x"), name="", port=8080)]) == ("x", 8080)


@pytest.mark.parametrize(
    ("services", "port", "slices", "said"),
    [
        ([], 5432, [], "there is no service data/db"),
        (SERVICES, 9999, [slice_of(endpoint("a"))], r"has no port 9999 \(there: 5432, 80\)"),
        (SERVICES, 5432, [slice_of(endpoint("a", ready=False))], "no pod behind service data/db is ready"),
        (SERVICES, 5432, [slice_of(endpoint("n", kind="Node"))], "no pod behind service data/db is ready"),
        (SERVICES, 5432, [{"ports": None, "endpoints": None}], "no pod behind service data/db is ready"),
    ],
)
def test_a_service_that_leads_to_no_pod(services, port, slices, said):
    with pytest.raises(NotReachable, match=said):
        ready_pod("data/db", port, services, slices)

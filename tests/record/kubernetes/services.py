"""Services, ingresses and network policies that lead nowhere."""

from contextlib import contextmanager
from datetime import timedelta

from tests.record.kubernetes.objects import SYSTEM, container, deployment, home, pod, service, thing
from tests.record.specimens import specimen
from tests.stack.kubernetes.api import is_true, rolled_out

MINUTE = timedelta(minutes=1)
SERVICES = ("k8s_services",)
HTTP = {"ports": [{"name": "http", "containerPort": 8080}]}


@contextmanager
def _api(server, *manifests, replicas=2):
    """A deployment that is well, and what leads to it, or does not."""
    home(server)
    server.apply([deployment("api-gateway", container(**HTTP), replicas=replicas), *manifests])
    server.wait("Deployment", "api-gateway", SYSTEM, until=rolled_out)
    yield


def _wait_for_endpoints(server, number):
    def counted(slices):
        ready = [one for each in slices for one in each["endpoints"] or [] if one["conditions"].get("ready")]
        return bool(slices) and len(ready) == number

    server.wait("EndpointSlice", None, SYSTEM, until=counted)


@specimen("every_service_has_a_ready_endpoint", sources=("k8s_services", "k8s_deployments"), later=5 * MINUTE)
@contextmanager
def service_without_endpoints(server):
    """A typing error in its selector."""
    with _api(server, service("api-gateway", selector={"app": "api-gatway"})):
        yield


@specimen("every_service_leads_to_a_port", sources=SERVICES)
@contextmanager
def service_to_no_port(server):
    with _api(server, service("api-gateway", target="web")):
        yield


@specimen("no_service_rests_on_one_pod", sources=SERVICES)
@contextmanager
def service_of_one_pod(server):
    with _api(server, service("api-gateway"), replicas=1):
        _wait_for_endpoints(server, 1)
        yield


def ingress(to, port, class_name="public"):
    """One for the API, that leads there."""
    backend = {"service": {"name": to, "port": {"number": port}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    rules = [{"host": "api.neurallog.example", "http": {"paths": [path]}}]
    return thing(
        "networking.k8s.io/v1", "Ingress", "api", SYSTEM, spec={"ingressClassName": class_name, "rules": rules}
    )


def ingress_class(name, controller="neurallog.example/controller"):
    return thing("networking.k8s.io/v1", "IngressClass", name, spec={"controller": controller})


@specimen("every_ingress_leads_to_a_service", sources=("k8s_ingresses", "k8s_services"))
@contextmanager
def ingress_to_no_service(server):
    with _api(server, service("api-gateway"), ingress_class("public"), ingress("gateway", 8080)):
        yield


@specimen("every_ingress_leads_to_a_service", sources=("k8s_ingresses", "k8s_services"))
@contextmanager
def ingress_to_no_port(server):
    with _api(server, service("api-gateway"), ingress_class("public"), ingress("api-gateway", 80)):
        _wait_for_endpoints(server, 2)
        yield


@specimen("every_ingress_has_a_controller", sources=("k8s_ingresses", "k8s_ingress_classes"))
@contextmanager
def ingress_of_no_class(server):
    with _api(server, service("api-gateway"), ingress_class("public"), ingress("api-gateway", 8080, "internal")):
        yield


@specimen("no_ingress_controller_is_retired", sources=("k8s_ingress_classes",))
@contextmanager
def ingress_controller_retired(server):
    server.apply(ingress_class("nginx", "k8s.io/ingress-nginx"))
    yield


def _policy(**spec):
    return thing("networking.k8s.io/v1", "NetworkPolicy", "api-gateway", SYSTEM, spec=spec)


@specimen("every_network_policy_finds_pods", sources=("k8s_network_policies",))
@contextmanager
def policy_for_nobody(server):
    home(server)
    server.apply(_policy(podSelector={"matchLabels": {"app": "api-gatway"}}, policyTypes=["Ingress"]))
    yield


@specimen("network_policies_allow_dns", sources=("k8s_network_policies",))
@contextmanager
def policy_without_dns(server):
    home(server)
    egress = [{"ports": [{"port": 5432, "protocol": "TCP"}]}]
    server.apply([pod("api-gateway", container()), _policy(podSelector={}, policyTypes=["Egress"], egress=egress)])
    server.wait("Pod", "api-gateway", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
    yield


FLOWS = ("k8s_flows", "k8s_policy_rules")


def _gateway_and_auth_service(server):
    """Both ends of a flow, on the node that only says it runs them."""
    home(server)
    ends = [pod(name, container(**HTTP), real=False) for name in ("api-gateway", "auth-service")]
    server.apply([*ends, service("auth-service")])
    for name in ("api-gateway", "auth-service"):
        server.wait("Pod", name, SYSTEM, until=lambda seen: is_true(seen, "Ready"))


@specimen("no_policy_blocks_a_needed_flow", sources=FLOWS)
@contextmanager
def policy_blocks_the_gateway(server):
    """Only the billing service may ask the auth service."""
    _gateway_and_auth_service(server)
    peers = [{"podSelector": {"matchLabels": {"app": "billing-service"}}}]
    selector = {"matchLabels": {"app": "auth-service"}}
    server.apply(_policy(podSelector=selector, policyTypes=["Ingress"], ingress=[{"from": peers}]))
    yield


@specimen("no_policy_blocks_a_needed_flow", sources=FLOWS)
@contextmanager
def policy_lets_nothing_out_but_dns(server):
    _gateway_and_auth_service(server)
    egress = [{"ports": [{"port": 53, "protocol": "UDP"}]}]
    server.apply(_policy(podSelector={}, policyTypes=["Egress"], egress=egress))
    yield

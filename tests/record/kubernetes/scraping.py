"""What asks to be scraped, and is not. There is no operator of Prometheus here: only the kinds of its objects."""

import time
from contextlib import contextmanager

from tests.record.kubernetes.objects import SYSTEM, container, deployment, home, service, thing
from tests.record.specimens import specimen
from tests.stack.kubernetes.api import Refused, rolled_out

GROUP = "monitoring.coreos.com"
HTTP = {"ports": [{"name": "http", "containerPort": 8080}]}


def define_monitors(server):
    """The kinds ServiceMonitor and PodMonitor, of any content."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for kind in ("ServiceMonitor", "PodMonitor"):
        plural = f"{kind.lower()}s"
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
        names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
        spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]}
        name = f"{plural}.{GROUP}"
        server.apply(thing("apiextensions.k8s.io/v1", "CustomResourceDefinition", name, spec=spec))
        _wait_until_served(server, plural)


def _wait_until_served(server, plural, within_s=30):
    deadline = time.monotonic() + within_s
    while True:
        try:
            return server.api.request("GET", f"/apis/{GROUP}/v1/{plural}")
        except Refused:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def monitor(name, port="http", **labels):
    """A ServiceMonitor of the services with these labels."""
    spec = {"selector": {"matchLabels": labels}, "endpoints": [{"port": port}]}
    return thing(f"{GROUP}/v1", "ServiceMonitor", name, SYSTEM, spec=spec)


@contextmanager
def _monitored(server, *manifests, annotations=None):
    home(server)
    define_monitors(server)
    made = deployment("api-gateway", container(**HTTP), replicas=1)
    made["spec"]["template"]["metadata"]["annotations"] = annotations or {}
    front = service("api-gateway")
    front["metadata"]["labels"] = {"app": "api-gateway"}
    server.apply([made, front, *manifests])
    server.wait("Deployment", "api-gateway", SYSTEM, until=rolled_out)
    yield


@specimen("every_monitor_selects_something", sources=("k8s_scrape_requests",))
@contextmanager
def monitor_of_nothing(server):
    """A typing error in its selector."""
    with _monitored(server, monitor("api-gateway", app="api-gatway")):
        yield


@specimen("every_monitor_selects_something", sources=("k8s_scrape_requests",))
@contextmanager
def monitor_of_no_port(server):
    """The port of the service was renamed."""
    with _monitored(server, monitor("api-gateway", "metrics", app="api-gateway")):
        yield


@specimen("what_asks_to_be_scraped_is", sources=("k8s_scrape_requests",))
@contextmanager
def pod_that_nobody_scrapes(server):
    with _monitored(server, annotations={"prometheus.io/scrape": "true"}):
        yield

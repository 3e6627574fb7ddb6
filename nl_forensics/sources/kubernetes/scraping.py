"""Requests for scraping: annotated pods and services, and the selection of the monitors of a Prometheus operator."""

from collections import defaultdict
from collections.abc import Iterator

from nl_forensics.errors import NotServed
from nl_forensics.sources import Permission, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.kubernetes.kinds import ENDPOINT_SLICES, MONITORS, PODS, SERVICES
from nl_forensics.sources.kubernetes.reading import all_containers, joined, listed, matches

ASKS = "prometheus.io/scrape"
OF_SERVICE = "kubernetes.io/service-name"


@source(
    columns={
        "kind": Column("str", "`Pod`, `Service`, `ServiceMonitor` or `PodMonitor`"),
        "namespace": Column("str", "namespace of the object"),
        "name": Column("str", "name of the object"),
        "selected": Column(
            "Int64",
            "services (of a ServiceMonitor) or pods (of a PodMonitor) that match its selector; 1 for a pod or service itself",
        ),
        "missing_ports": Column("str", "names of requested ports that no selected object has, separated by commas"),
        "ready_pods": Column("str", "`namespace/name` of its ready pods, separated by blanks"),
        "ready_addresses": Column("str", "addresses of its ready pods, separated by blanks"),
    },
    covers="now",
    needs=Permission(
        kubernetes="get /apis; list pods services endpointslices.discovery.k8s.io"
        " servicemonitors.monitoring.coreos.com podmonitors.monitoring.coreos.com"
    ),
    guide=("C120",),
)
def k8s_scrape_requests(kubernetes, incident, platform):
    """One row per pod or service that requests scraping by the annotation prometheus.io/scrape, and per ServiceMonitor or PodMonitor.

    Whether a Prometheus uses a monitor depends on its own configuration: the targets that it scrapes are in prom_targets.
    """
    pods = yield from listed(kubernetes, PODS, incident, platform)
    services = yield from listed(kubernetes, SERVICES, incident, platform)
    behind = defaultdict(list)
    for one in (yield from listed(kubernetes, ENDPOINT_SLICES, incident, platform)):
        service = (one["metadata"].get("labels") or {}).get(OF_SERVICE, "")
        behind[one["metadata"]["namespace"], service] += one.get("endpoints") or []
    for kind, found in (("Pod", pods), ("Service", services)):
        for one in found:
            if (one["metadata"].get("annotations") or {}).get(ASKS) == "true":
                yield _row(kind, one, [one], behind, set())
    for kind, candidates in (("servicemonitors", services), ("podmonitors", pods)):
        yield from _monitors(kubernetes, kind, candidates, behind, incident.scope(platform))
    yield Proof(
        f"{len(pods)} pods and {len(services)} services were inspected, and monitors if this cluster serves them"
    )


def _monitors(kubernetes, plural: str, candidates: list[dict], behind: dict, inside: tuple[str, ...]) -> Iterator:
    kind = MONITORS[plural]
    version = kubernetes.groups().get(kind.group)
    if not version:
        return
    try:
        listing = kubernetes.objects(kind._replace(version=version), inside)
    except NotServed:
        return
    yield from listing.unseen
    for one in listing.items:
        spec = one["spec"]
        found = [each for each in candidates if _selects(one, each)]
        asked = {str(endpoint["port"]) for endpoint in spec.get("endpoints") or [] if endpoint.get("port")}
        missing = asked - {name for each in found for name in _ports(each)}
        yield _row("ServiceMonitor" if plural == "servicemonitors" else "PodMonitor", one, found, behind, missing)


def _selects(monitor: dict, one: dict) -> bool:
    spec, namespace = monitor["spec"], one["metadata"]["namespace"]
    where = spec.get("namespaceSelector") or {}
    names = where.get("matchNames") or [monitor["metadata"]["namespace"]]
    inside = where.get("any") or namespace in names
    return bool(inside) and matches(spec.get("selector") or {}, one["metadata"].get("labels"))


def _ports(one: dict) -> Iterator[str]:
    """Names of the ports of a service, or of a pod's containers."""
    spec = one["spec"]
    for _, container in all_containers(spec):
        yield from (port.get("name", "") for port in container.get("ports") or [])
    yield from (port.get("name", "") for port in spec.get("ports") or [])


def _row(kind: str, one: dict, found: list[dict], behind: dict, missing: set[str]) -> dict:
    ready = sorted({place for each in found for place in _ready(each, behind)})
    return {
        "kind": kind,
        "namespace": one["metadata"]["namespace"],
        "name": one["metadata"]["name"],
        "selected": len(found),
        "missing_ports": joined(sorted(missing)),
        "ready_pods": " ".join(pod for pod, _ in ready),
        "ready_addresses": " ".join(address for _, address in ready),
    }


def _ready(one: dict, behind: dict) -> Iterator[tuple[str, str]]:
    """(namespace/pod, address) of a pod that is ready, or of those behind a service."""
    namespace = one["metadata"]["namespace"]
    status = one.get("status") or {}
    if status.get("podIP"):
        conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
        if conditions.get("Ready") == "True":
            yield f"{namespace}/{one['metadata']['name']}", status["podIP"]
    for endpoint in behind.get((namespace, one["metadata"]["name"]), []) if "podIP" not in status else []:
        if (endpoint.get("conditions") or {}).get("ready", True):
            pod = (endpoint.get("targetRef") or {}).get("name", "")
            yield from ((f"{namespace}/{pod}", address) for address in endpoint["addresses"])

"""How requests get to pods: services with their endpoints, ingresses, network policies."""

from collections import defaultdict

from nl_forensics.errors import SourceError
from nl_forensics.sources import Partial, Permission, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import (
    ENDPOINT_SLICES,
    INGRESS_CLASSES,
    INGRESSES,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
)
from nl_forensics.sources.kubernetes.reading import joined, listed, matches, named, pairs
from nl_forensics.sources.kubernetes.workloads import NAMED

OF_SERVICE = "kubernetes.io/service-name"


@source(
    columns={
        **NAMED,
        "type": Column("str", "`ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`"),
        "cluster_ip": Column("str", "its IP address; `None` for a headless service"),
        "external_name": Column("str", "DNS name that it refers to"),
        "load_balancer": Column("str", "addresses assigned by the load balancer; empty if none yet"),
        "selector": Column("str", "labels of its pods; empty if its endpoints are managed separately"),
        "ports": Column("str", "port, target port and protocol: `http:80→8080/TCP`"),
        "slices": Column("Int64", "endpoint slices"),
        "endpoints": Column("Int64", "addresses in its endpoint slices"),
        "endpoints_ready": Column("Int64", "addresses that receive requests"),
        "endpoints_terminating": Column("Int64", "addresses of terminating pods"),
        "pods_selected": Column(
            "Int64", "pods that match its selector, in any state", unknown="pods could not be listed"
        ),
        "named_ports_missing": Column("str", "names of target ports that no selected pod declares"),
        "container_ports_unlike": Column("str", "numbers of target ports that no selected pod declares"),
    },
    covers="now",
    needs=Permission(kubernetes="list services endpointslices.discovery.k8s.io pods"),
    guide=("C019", "C022", "C051"),
)
def k8s_services(kubernetes, incident, platform):
    """One row per service in scope.

    A number in `container_ports_unlike` is no fault in itself: a container may listen on a port that it does not declare.
    """
    found = yield from listed(kubernetes, SERVICES, incident, platform)
    slices = yield from listed(kubernetes, ENDPOINT_SLICES, incident, platform)
    try:
        pods = kubernetes.objects(PODS, incident.scope(platform)).items
    except SourceError as refused:
        pods = None
        yield Partial(f"pods that services select: {refused}", refused.remedy)
    by_service = defaultdict(list)
    for one in slices:
        by_service[_service_of(one)].append(one)
    for one in found:
        counts = _endpoint_counts(by_service[one["metadata"]["namespace"], one["metadata"]["name"]])
        yield named(one) | _service(one) | counts | _selected(one, pods)


def _service_of(one: dict) -> tuple[str, str]:
    labels = one["metadata"].get("labels") or {}
    return one["metadata"]["namespace"], labels.get(OF_SERVICE, "")


def _service(one: dict) -> dict:
    spec, status = one["spec"], one.get("status") or {}
    given = (status.get("loadBalancer") or {}).get("ingress") or []
    return {
        "type": spec.get("type", ""),
        "cluster_ip": spec.get("clusterIP", ""),
        "external_name": spec.get("externalName", ""),
        "load_balancer": joined(each.get("ip") or each.get("hostname", "") for each in given),
        "selector": pairs(spec.get("selector")),
        "ports": joined(
            f"{port.get('name', '')}:{port['port']}→{port.get('targetPort', port['port'])}/{port.get('protocol', 'TCP')}"
            for port in spec.get("ports") or []
        ),
    }


def _endpoint_counts(slices: list[dict]) -> dict:
    conditions = [each.get("conditions") or {} for one in slices for each in one.get("endpoints") or []]
    return {
        "slices": len(slices),
        "endpoints": len(conditions),
        "endpoints_ready": sum(one.get("ready") is not False for one in conditions),  # null: to be taken as ready
        "endpoints_terminating": sum(bool(one.get("terminating")) for one in conditions),
    }


def _selected(service: dict, pods: list[dict] | None) -> dict:
    """Which pods the service is for, and whether they have the ports that it leads to."""
    selector, ports = service["spec"].get("selector"), service["spec"].get("ports") or []
    if pods is None or not selector:
        return {"pods_selected": None if pods is None else 0, "named_ports_missing": "", "container_ports_unlike": ""}
    namespace = service["metadata"]["namespace"]
    mine = [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == namespace
        and matches({"matchLabels": selector}, pod["metadata"].get("labels"))
    ]
    declared = {
        known
        for pod in mine
        for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
        for port in container.get("ports") or []
        for known in (port.get("name"), port["containerPort"])
    }
    missing = (
        [target for port in ports if (target := port.get("targetPort", port["port"])) not in declared] if mine else []
    )
    return {
        "pods_selected": len(mine),
        "named_ports_missing": joined(target for target in missing if isinstance(target, str)),
        "container_ports_unlike": joined(target for target in missing if isinstance(target, int)),
    }


@source(
    columns={
        "namespace": Column("str", "namespace of the service"),
        "service": Column("str", "name of the service"),
        "address": Column("str", "IP address"),
        "ready": Column("boolean", "it receives requests"),
        "serving": Column("boolean", "it passes its readiness probe, though it may be terminating"),
        "terminating": Column("boolean", "its pod is terminating"),
        "pod": Column("str", "name of the pod; empty if the address belongs to no pod"),
        "node": Column("str", "node of the pod; empty if unset"),
        "zone": Column("str", "zone of the pod; empty if unset"),
        "ports": Column("str", "names and numbers of its ports"),
    },
    covers="now",
    needs=Permission(kubernetes="list endpointslices.discovery.k8s.io"),
    guide=("C019", "C051"),
)
def k8s_endpoints(kubernetes, incident, platform):
    """One row per address of a service in scope."""
    found = yield from listed(kubernetes, ENDPOINT_SLICES, incident, platform)
    for one in found:
        namespace, service = _service_of(one)
        ports = joined(f"{port.get('name') or ''}:{port.get('port') or ''}" for port in one.get("ports") or [])
        for each in one.get("endpoints") or []:
            conditions, target = each.get("conditions") or {}, each.get("targetRef") or {}
            ready = conditions.get("ready") is not False
            yield {
                "namespace": namespace,
                "service": service,
                "address": joined(each.get("addresses") or []),
                "ready": ready,
                "serving": conditions["serving"] if conditions.get("serving") is not None else ready,
                "terminating": bool(conditions.get("terminating")),
                "pod": target.get("name", "") if target.get("kind") == "Pod" else "",
                "node": each.get("nodeName") or "",
                "zone": each.get("zone") or "",
                "ports": ports,
            }


@source(
    columns={
        **NAMED,
        "class_name": Column("str", "ingress class, which selects the controller; empty for the default class"),
        "host": Column("str", "host of the rule; empty for any"),
        "path": Column("str", "path of the rule; empty for any"),
        "service": Column("str", "service that receives the requests"),
        "port": Column("str", "name or number of the port of the service"),
        "certificate": Column("str", "secret with the certificate of the host; empty if none"),
        "address": Column("str", "addresses assigned by the controller; empty if none yet"),
    },
    covers="now",
    needs=Permission(kubernetes="list ingresses.networking.k8s.io"),
    guide=("C058", "C059"),
)
def k8s_ingresses(kubernetes, incident, platform):
    """One row per rule (host and path) of each ingress in scope; its default backend has an empty host and path."""
    found = yield from listed(kubernetes, INGRESSES, incident, platform)
    for one in found:
        spec = one["spec"]
        given = ((one.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        common = named(one) | {
            "class_name": spec.get("ingressClassName")
            or (one["metadata"].get("annotations") or {}).get("kubernetes.io/ingress.class", ""),
            "address": joined(each.get("ip") or each.get("hostname", "") for each in given),
        }
        certificates = {
            host: each.get("secretName", "") for each in spec.get("tls") or [] for host in each.get("hosts") or []
        }
        if spec.get("defaultBackend"):
            yield common | {"host": "", "path": "", "certificate": ""} | _backend(spec["defaultBackend"])
        for rule in spec.get("rules") or []:
            host = rule.get("host", "")
            for path in (rule.get("http") or {}).get("paths") or []:
                place = {"host": host, "path": path.get("path", ""), "certificate": certificates.get(host, "")}
                yield common | place | _backend(path["backend"])


def _backend(backend: dict) -> dict:
    service = backend.get("service") or {}
    port = service.get("port") or {}
    return {"service": service.get("name", ""), "port": str(port.get("name") or port.get("number") or "")}


@source(
    columns={
        "name": Column("str", "name of the class"),
        "created_at": Column(UTC, "it was created"),
        "controller": Column("str", "controller that implements it"),
        "is_default": Column("boolean", "it is used where an ingress names no class"),
    },
    covers="now",
    needs=Permission(kubernetes="list ingressclasses.networking.k8s.io"),
    guide=("C056", "C058"),
)
def k8s_ingress_classes(kubernetes, incident, platform):
    """One row per ingress class of the cluster: the names that k8s_ingresses.class_name may have."""
    found = yield from listed(kubernetes, INGRESS_CLASSES, incident, platform)
    for one in found:
        annotations = one["metadata"].get("annotations") or {}
        yield {
            "name": one["metadata"]["name"],
            "created_at": one["metadata"]["creationTimestamp"],
            "controller": one["spec"].get("controller", ""),
            "is_default": annotations.get("ingressclass.kubernetes.io/is-default-class") == "true",
        }


@source(
    columns={
        **NAMED,
        "selector": Column("str", "labels of the pods that it limits; empty for every pod of the namespace"),
        "pods_selected": Column("Int64", "pods that it limits", unknown="pods could not be listed"),
        "limits_ingress": Column("boolean", "it limits incoming connections; without ingress rules, none is allowed"),
        "limits_egress": Column("boolean", "it limits outgoing connections; without egress rules, none is allowed"),
        "ingress_rules": Column("Int64", "rules for incoming connections"),
        "egress_rules": Column("Int64", "rules for outgoing connections"),
        "egress_ports": Column(
            "str", "ports of its egress rules, `53/UDP, 5432/TCP`; empty where a rule names none, which allows all"
        ),
    },
    covers="now",
    needs=Permission(kubernetes="list networkpolicies.networking.k8s.io pods"),
    guide=("C054", "C055"),
)
def k8s_network_policies(kubernetes, incident, platform):
    """One row per network policy in scope.

    Whether it is enforced depends on the network plugin, which the API does not show.
    """
    found = yield from listed(kubernetes, NETWORK_POLICIES, incident, platform)
    try:
        pods = kubernetes.objects(PODS, incident.scope(platform)).items
    except SourceError as refused:
        pods = None
        yield Partial(f"pods that policies select: {refused}", refused.remedy)
    for one in found:
        spec = one["spec"]
        namespace, about = one["metadata"]["namespace"], policy_directions(spec)
        mine = (pod for pod in pods or [] if pod["metadata"]["namespace"] == namespace)
        taken = sum(matches(spec.get("podSelector") or {}, pod["metadata"].get("labels")) for pod in mine)
        ports = [port for rule in spec.get("egress") or [] for port in rule.get("ports") or []]
        yield named(one) | {
            "selector": pairs((spec.get("podSelector") or {}).get("matchLabels")),
            "pods_selected": None if pods is None else taken,
            "limits_ingress": "ingress" in about,
            "limits_egress": "egress" in about,
            "ingress_rules": len(spec.get("ingress") or []),
            "egress_rules": len(spec.get("egress") or []),
            "egress_ports": joined(f"{port.get('port', '*')}/{port.get('protocol', 'TCP')}" for port in ports),
        }


def policy_directions(spec: dict) -> list[str]:
    """What a policy is about. Where it doesn't say so: what comes in, and what goes out if it has a rule for that."""
    named = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return [one for one in ("ingress", "egress") if one.capitalize() in named]

"""The API server itself: its own checks, aggregated API groups, leases, and current usage of pods and nodes."""

import re

from nl_forensics.errors import SourceError
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import API_SERVICES, LEASES, NODE_METRICS, POD_METRICS, is_inside
from nl_forensics.sources.kubernetes.reading import condition_columns, conditions_of, listed, quantity, whole
from nl_forensics.sources.kubernetes.workloads import NAMED

READYZ_LINE = re.compile(r"\[(?P<mark>[+-])\](?P<check>\S+) (?P<said>.*)")
FAILING = (200, 500)  # 500: some check fails; the list of checks is in the body all the same
OF_NODES, OF_SYSTEM = "kube-node-lease", "kube-system"
METRICS = "metrics.k8s.io"


@source(
    columns={
        "check": Column("str", "name of the health check"),
        "passed": Column("boolean", "the health check passes"),
        "said": Column("str", "`ok`, or the reason of the failure; most servers withhold it"),
    },
    covers="now",
    needs=Permission(kubernetes="get /readyz"),
    guide=("C017",),
)
def k8s_api_checks(kubernetes):
    """One row per health check that the API server runs on itself: etcd, its informers, its start-up."""
    text = kubernetes.text("/readyz", FAILING, verbose="")
    for line in filter(None, map(READYZ_LINE.match, text.splitlines())):
        yield {"check": line["check"], "passed": line["mark"] == "+", "said": line["said"]}


@source(
    columns={
        "name": Column("str", "version and group, such as `v1beta1.metrics.k8s.io`"),
        "created_at": Column(UTC, "it was registered"),
        "service": Column("str", "`namespace/name` of the service that serves it; empty if the API server itself does"),
        **condition_columns("available", "Available", "its server answers"),
    },
    covers="now",
    needs=Permission(kubernetes="list apiservices.apiregistration.k8s.io"),
    guide=("C017",),
)
def k8s_api_services(kubernetes, incident, platform):
    """One row per group and version of the API."""
    found = yield from listed(kubernetes, API_SERVICES, incident, platform)
    for one in found:
        service = one["spec"].get("service") or {}
        yield {
            "name": one["metadata"]["name"],
            "created_at": one["metadata"]["creationTimestamp"],
            "service": f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "",
            **conditions_of(one, "Available", "available"),
        }


@source(
    columns={
        **NAMED,
        "holder": Column("str", "identity that holds the lease; empty if none"),
        "renewed_at": Column(
            UTC,
            "last renewal; if older than `duration_s`, its holder is gone or hangs",
            unknown="its holder has not set it",
        ),
        "duration_s": Column("Int64", "time for which a renewal is valid", unknown="its holder has not set it"),
        "transitions": Column("Int64", "number of times that the holder changed"),
    },
    covers="now",
    needs=Permission(kubernetes="list leases.coordination.k8s.io", also_in=f"{OF_NODES} {OF_SYSTEM}"),
    guide=("C016", "C017"),
)
def k8s_leases(kubernetes, incident, platform):
    """One row per lease of a node (namespace kube-node-lease), of the control plane (kube-system), or in scope."""
    wanted = incident.scope(platform)
    everywhere = (*wanted, OF_NODES, OF_SYSTEM) if wanted else ()
    listing = kubernetes.objects(LEASES, everywhere)
    yield from listing.unseen
    for one in listing.items:
        if not is_inside(one["metadata"]["namespace"], everywhere):
            continue
        spec = one.get("spec") or {}
        yield {
            "namespace": one["metadata"]["namespace"],
            "name": one["metadata"]["name"],
            "created_at": one["metadata"]["creationTimestamp"],
            "holder": spec.get("holderIdentity") or "",
            "renewed_at": spec.get("renewTime"),
            "duration_s": spec.get("leaseDurationSeconds"),
            "transitions": spec.get("leaseTransitions") or 0,
        }
    yield Proof(f"the list of leases was answered: {len(listing.items)}")


def _measured(kubernetes, kind, within=()):
    """(objects, gaps): there may be no metrics server, or it may be down."""
    if METRICS not in kubernetes.groups():
        return [], [
            Partial("current usage: this cluster has no metrics API", "install metrics-server, or use Prometheus")
        ]
    try:
        listing = kubernetes.objects(kind, within)
    except SourceError as refused:
        return [], [Partial(f"current usage: {refused}", refused.remedy)]
    return listing.items, listing.unseen


@source(
    columns={
        "name": Column("str", "name of the node"),
        "at": Column(UTC, "end of the measurement"),
        "cpu_cores": Column("float64", "CPU used"),
        "memory_bytes": Column("Int64", "memory used"),
    },
    covers="now",
    needs=Permission(kubernetes="get /apis; list nodes.metrics.k8s.io"),
    guide=("C023", "C127"),
)
def k8s_node_metrics(kubernetes):
    """One row per node: last measured usage, as `kubectl top nodes` shows it."""
    items, unseen = _measured(kubernetes, NODE_METRICS)
    yield from unseen
    for one in items:
        yield {"name": one["metadata"]["name"], "at": one["timestamp"], **_used(one)}


@source(
    columns={
        "namespace": Column("str", "namespace of the pod"),
        "pod": Column("str", "name of the pod"),
        "container": Column("str", "name of the container"),
        "at": Column(UTC, "end of the measurement"),
        "cpu_cores": Column("float64", "CPU used"),
        "memory_bytes": Column("Int64", "working set"),
    },
    covers="now",
    needs=Permission(kubernetes="get /apis; list pods.metrics.k8s.io"),
    guide=("C024", "C128"),
)
def k8s_pod_metrics(kubernetes, incident, platform):
    """One row per container in scope: last measured usage, as `kubectl top pods --containers` shows it."""
    items, unseen = _measured(kubernetes, POD_METRICS, incident.scope(platform))
    yield from unseen
    for one in items:
        place = {"namespace": one["metadata"]["namespace"], "pod": one["metadata"]["name"], "at": one["timestamp"]}
        for container in one.get("containers") or []:
            yield place | {"container": container["name"]} | _used(container)


def _used(one: dict) -> dict:
    usage = one.get("usage") or {}
    return {"cpu_cores": quantity(usage.get("cpu")), "memory_bytes": whole(usage.get("memory"))}

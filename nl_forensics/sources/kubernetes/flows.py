"""Connections that the platform needs, and the network policies that allow or deny them."""

import json
import re
from collections.abc import Generator, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

import pandas as pd

from nl_forensics.sources import Partial, Permission, Proof, as_rows, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.kubernetes.kinds import (
    ENDPOINT_SLICES,
    NAMESPACES,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Kind,
    is_inside,
)
from nl_forensics.sources.kubernetes.network import OF_SERVICE, policy_directions
from nl_forensics.sources.kubernetes.reading import all_containers, joined, matches, named, pairs, workload
from nl_forensics.sources.kubernetes.shapes import RULES, SELECTOR
from nl_forensics.sources.kubernetes.workloads import NAMED

CLOSES = "correct `flows` in the platform file"
PSEUDONYM = re.compile(r"ip~\w+(?:/(\d+))?")  # of a public address or block
LONG_ENOUGH = 16  # bits: a public block this small contains no private address
PORTS = r"([^:/,]*:[0-9]{1,5}/[A-Z]+(, [^:/,]*:[0-9]{1,5}/[A-Z]+)*)?"
LABELS = r"([^=,]+=[^=,]*(,[^=,]+=[^=,]*)*)?"
ENDED = ("Succeeded", "Failed")
PSEUDONYMISED = "a public address is pseudonymised, so that it can't be compared with a CIDR block"


def _wanted(incident, platform) -> tuple[str, ...]:
    """The namespaces in scope, and those at the other ends of their flows; empty: all."""
    inside = incident.scope(platform)
    ends = (end.partition("/")[0] for flow in _flows(incident, platform) for end in (flow.client, flow.service))
    return tuple(dict.fromkeys([*inside, *ends])) if inside else ()


def _flows(incident, platform) -> list:
    """Flows with an end in scope."""
    inside = incident.scope(platform)
    return [
        flow
        for flow in platform.flows
        if not inside or any(_touches(end.partition("/")[0], inside) for end in (flow.client, flow.service))
    ]


def _touches(namespace: str, inside: tuple[str, ...]) -> bool:
    """A name that is in scope, or a pattern of which names are."""
    return is_inside(namespace, inside) or any(fnmatchcase(one, namespace) for one in inside)


def _seen(kubernetes, kind: Kind, incident, platform) -> Generator[Partial, None, list[dict]]:
    """Return the objects of all wanted namespaces, and yield a gap for namespaces that can't be read."""
    listing = kubernetes.objects(kind, _wanted(incident, platform))
    yield from listing.unseen
    outside = [one for one in _wanted(incident, platform) if not _touches(one, incident.scope(platform))]
    if kind.namespaced and outside and not listing.everywhere:
        yield Partial(f"{kind.plural} of {joined(outside)}", f"allow us to list {kind.resource} of the whole cluster")
    return listing.items


# --- Rules ------------------------------------------------------------------------------------------------------------


def _rules(records: list[dict]) -> pd.DataFrame:
    """A policy with a pseudonymised block large enough to contain private addresses can't be judged: its rules are a gap."""
    rows = as_rows(records)
    if rows.empty:
        return rows
    for selector, rules in zip(rows.selector, rows.rules, strict=True):
        SELECTOR.validate_json(selector)
        RULES.validate_json(rules)
    blurred = [any(int(bits or 0) < LONG_ENOUGH for bits in PSEUDONYM.findall(rules)) for rules in rows.rules]
    return rows.assign(rules=rows.rules.mask(pd.Series(blurred, index=rows.index, dtype=bool)))


@source(
    columns={
        **NAMED,
        "direction": Column("str", "`ingress` or `egress`"),
        "selector": Column("str", "pods of its namespace that it limits, as JSON of the API: `{}` selects every pod"),
        "rules": Column(
            "str", "connections that it allows, as JSON of the API: `[]` allows none, a rule `{}` allows all"
        ),
    },
    covers="now",
    needs=Permission(kubernetes="list networkpolicies.networking.k8s.io"),
    parse=_rules,
    guide=("C054", "C055", "C100"),
    of_all_tenants=True,
    hole=PSEUDONYMISED,
)
def k8s_policy_rules(kubernetes, incident, platform):
    """One row per network policy and direction that it limits, in scope and at the other ends of the platform's `flows`."""
    found = yield from _seen(kubernetes, NETWORK_POLICIES, incident, platform)
    yield Proof(f"the list of networkpolicies was answered: {len(found)}")
    for one in found:
        yield from rules_of(one)


def rules_of(policy: dict) -> Iterator[dict]:
    """A record for each direction."""
    spec = policy["spec"]
    for direction in policy_directions(spec):
        yield named(policy) | {
            "direction": direction,
            "selector": json.dumps(spec.get("podSelector") or {}),
            "rules": json.dumps(spec.get(direction) or []),
        }


# --- Flows ------------------------------------------------------------------------------------------------------------

END = {
    "namespace": Column("str", "namespace of the pod; empty if the address belongs to no pod"),
    "pod": Column("str", "name of the pod; empty if the address belongs to no pod"),
    "address": Column("str", "IP address"),
    "labels": Column("str", "labels of the pod, `app=api,tier=front`", form=LABELS),
    "namespace_labels": Column("str", "labels of the namespace", form=LABELS),
    "host_network": Column("boolean", "the pod uses the network, and the address, of its node"),
}
ENDS = {
    f"{side}_{name}": replace(column, meaning=f"{side}: {column.meaning}")
    for side in ("client", "server")
    for name, column in END.items()
}


def _comparable(records: list[dict]) -> pd.DataFrame:
    """A pseudonymised public address is a gap."""
    rows = as_rows(records)
    addresses = [name for name in ("client_address", "server_address") if name in rows]
    return rows.assign(**{name: rows[name].mask(rows[name].str.match(PSEUDONYM)) for name in addresses})


@source(
    columns={
        "flow": Column("str", "the declared flow: `neurallog-system/api-gateway → neurallog-system/auth-service:8080`"),
        **ENDS,
        "server_ports": Column("str", "named ports of the containers of the server: `http:8080/TCP`", form=PORTS),
        "port": Column("Int64", "port on which the pod listens, not that of the service"),
        "protocol": Column("str", "`TCP`, `UDP` or `SCTP`"),
    },
    covers="now",
    needs=Permission(
        kubernetes="list pods services endpointslices.discovery.k8s.io namespaces networkpolicies.networking.k8s.io"
    ),
    parse=_comparable,
    guide=("C051", "C054"),
    hole=PSEUDONYMISED,
)
def k8s_flows(kubernetes, incident, platform):
    """One row per connection that the platform needs, from each pod of the client to each address of the service.

    Flows are declared in the platform file, under that key.
    """
    pods = yield from _seen(kubernetes, PODS, incident, platform)
    services = yield from _seen(kubernetes, SERVICES, incident, platform)
    slices = yield from _seen(kubernetes, ENDPOINT_SLICES, incident, platform)
    spaces = yield from _seen(kubernetes, NAMESPACES, incident, platform)
    labels = {one["metadata"]["name"]: pairs(one["metadata"].get("labels")) for one in spaces}
    alive = [pod for pod in pods if is_alive(pod)]
    flows = _flows(incident, platform)
    yield Proof(f"{len(flows)} flows of the platform file were resolved among {len(alive)} pods with an address")
    for flow in flows:
        yield from _ends_of(flow, alive, services, slices, labels)


def is_alive(pod: dict) -> bool:
    status = pod.get("status") or {}
    going = pod["metadata"].get("deletionTimestamp") or status.get("phase") in ENDED
    return bool(status.get("podIP")) and not going


def _ends_of(flow, pods: list[dict], services: list[dict], slices: list[dict], labels: dict[str, str]) -> Iterator:
    """Every pair of ends. An end that is named without a pattern and does not exist is a gap."""
    name = f"{flow.client} → {flow.service}:{flow.port}"
    clients = [pod for pod in pods if _is_called(flow.client, pod["metadata"]["namespace"], workload(pod)[1])]
    targets = [
        one for one in services if _is_called(flow.service, one["metadata"]["namespace"], one["metadata"]["name"])
    ]
    if not clients and "*" not in flow.client:
        yield Partial(f"{name}: no pod of {flow.client} has an address", CLOSES)
    if not targets and "*" not in flow.service:
        yield Partial(f"{name}: there is no service {flow.service}", CLOSES)
    for service in targets:
        servers = list(_behind(service, flow.port, pods, slices, labels))
        if not servers:
            yield Partial(f"{name}: {_name(service)} has no port {flow.port} with an endpoint", CLOSES)
        for client in clients:
            yield from ({"flow": name, **_end("client", client, labels), **server} for server in servers)


def _is_called(pattern: str, namespace: str, name: str) -> bool:
    return fnmatchcase(f"{namespace}/{name}", pattern)


def _name(one: dict) -> str:
    return f"{one['metadata']['namespace']}/{one['metadata']['name']}"


def _end(side: str, pod: dict, labels: dict[str, str]) -> dict:
    metadata = pod["metadata"]
    values = {
        "namespace": metadata["namespace"],
        "pod": metadata["name"],
        "address": pod["status"]["podIP"],
        "labels": pairs(metadata.get("labels")),
        "namespace_labels": labels.get(metadata["namespace"], ""),
        "host_network": bool(pod["spec"].get("hostNetwork")),
    }
    return {f"{side}_{name}": value for name, value in values.items()}


def _behind(service: dict, number: int, pods: list[dict], slices: list[dict], labels: dict[str, str]) -> Iterator[dict]:
    """The ends behind one port of a service: the pods that it selects, or the addresses in its endpoint slices."""
    spec, namespace = service["spec"], service["metadata"]["namespace"]
    port = next((one for one in spec.get("ports") or [] if one["port"] == number), None)
    if not port:
        return
    protocol = port.get("protocol", "TCP")
    if not spec.get("selector"):
        yield from _written(service, port, slices)
        return
    for pod in pods:
        mine = matches({"matchLabels": spec["selector"]}, pod["metadata"].get("labels"))
        if pod["metadata"]["namespace"] == namespace and mine:
            declared, target = declared_ports(pod), port.get("targetPort", number)
            numbers = {(name, kind): value for name, value, kind in declared}
            listens = numbers.get((target, protocol)) if isinstance(target, str) else target
            if listens:
                words = joined(f"{name}:{value}/{kind}" for name, value, kind in declared)
                yield _end("server", pod, labels) | {"server_ports": words, "port": listens, "protocol": protocol}


def declared_ports(pod: dict) -> list[tuple[str, int, str]]:
    """(name, number, protocol) of the ports of its containers that have a name."""
    return [
        (port["name"], port["containerPort"], port.get("protocol", "TCP"))
        for _, container in all_containers(pod["spec"])
        for port in container.get("ports") or []
        if port.get("name")
    ]


def _written(service: dict, port: dict, slices: list[dict]) -> Iterator[dict]:
    nowhere = {f"server_{name}": "" for name in END} | {"server_host_network": False, "server_ports": ""}
    for one in slices:
        labels = one["metadata"].get("labels") or {}
        if (one["metadata"]["namespace"], labels.get(OF_SERVICE)) != tuple(_name(service).split("/")):
            continue
        numbers = [each["port"] for each in one.get("ports") or [] if (each.get("name") or "") == port.get("name", "")]
        for address in (each for end in one.get("endpoints") or [] for each in end.get("addresses") or []):
            found = {"server_address": address, "protocol": port.get("protocol", "TCP")}
            yield from (nowhere | found | {"port": number} for number in numbers)

"""Whether network policies allow a connection, by the semantics of the Kubernetes API, and which rule decides.

Pure: policies and the two ends go in, a verdict with its reasons comes out. Policies are additive: a pod that no policy
selects for a direction is open in it; a selected pod allows what any rule of its policies allows. Both ends must allow it.

Not judged: whether the network plugin enforces policies at all, and kinds of policies that only a plugin knows.
"""

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import pandas as pd

from nl_forensics.sources.kubernetes.reading import matches

Direction = Literal["ingress", "egress"]
MAX_MISSES = 3  # of rules that are explained in one sentence
DOES = {"ingress": "receives", "egress": "sends"}
OTHERS = {"ingress": "is for other senders", "egress": "is for other receivers"}


class End(NamedTuple):
    """One end of a connection: a pod, or, without a namespace, an address outside of the cluster.

    ports         numbers by name and protocol of what its containers declare: {("http", "TCP"): 8080}
    host_network  it has the address of its node, so that no selector finds it and no policy limits it
    """

    name: str
    address: str
    namespace: str = ""
    labels: Mapping[str, str] = {}
    namespace_labels: Mapping[str, str] = {}
    ports: Mapping[tuple[str, str], int] = {}
    host_network: bool = False

    @property
    def is_selectable(self) -> bool:
        return bool(self.namespace) and not self.host_network


class Policy(NamedTuple):
    """A network policy in one of the directions that it is about; selector and rules as the API has them."""

    namespace: str
    name: str
    direction: Direction
    selector: dict[str, Any]
    rules: list[dict[str, Any]]

    def limits(self, pod: End) -> bool:
        return pod.is_selectable and pod.namespace == self.namespace and matches(self.selector, dict(pod.labels))


class Ruling(NamedTuple):
    """What one direction says, and why."""

    allowed: bool
    why: str


class Verdict(NamedTuple):
    """A connection passes if both directions allow it."""

    egress: Ruling
    ingress: Ruling

    @property
    def allowed(self) -> bool:
        return self.egress.allowed and self.ingress.allowed

    @property
    def why(self) -> str:
        """Of the directions that deny it; of both if it is allowed."""
        against = [ruling.why for ruling in self if not ruling.allowed]
        return "; ".join(against or (ruling.why for ruling in self))


def verdict(policies: Iterable[Policy], client: End, server: End, port: int, protocol: str = "TCP") -> Verdict:
    """Judge a connection from `client` to a port of `server`, which is the pod's own, not that of a service."""
    policies = list(policies)
    if client.namespace and (client.namespace, client.name) == (server.namespace, server.name):
        itself = Ruling(True, f"{client.name} can always reach itself")
        return Verdict(itself, itself)
    return Verdict(
        _ruling("egress", policies, client, server, (server, port, protocol)),
        _ruling("ingress", policies, server, client, (server, port, protocol)),
    )


Wanted = tuple[End, int, str]  # the end that listens, its port, the protocol


def _ruling(direction: Direction, policies: list[Policy], pod: End, peer: End, wanted: Wanted) -> Ruling:
    """What the policies that select `pod` say about `peer`."""
    limiting = [one for one in policies if one.direction == direction and one.limits(pod)]
    if not limiting:
        return Ruling(True, f"no policy limits what {pod.name} {DOES[direction]}")
    for policy in limiting:
        for number, rule in enumerate(policy.rules, 1):
            if not _misses(policy, rule, peer, wanted):
                return Ruling(True, f"{direction} rule {number} of {policy.namespace}/{policy.name} allows it")
    return Ruling(False, _refusal(direction, limiting, pod, peer, wanted))


def _refusal(direction: Direction, limiting: list[Policy], pod: End, peer: End, wanted: Wanted) -> str:
    """Which policies limit the pod, and what each of their rules lacks."""
    named = ", ".join(f"{one.namespace}/{one.name}" for one in limiting)
    missed = [
        f"{direction} rule {number} of {policy.name} {' and '.join(_misses(policy, rule, peer, wanted))}"
        for policy in limiting
        for number, rule in enumerate(policy.rules, 1)
    ]
    shown = missed[:MAX_MISSES] + ([f"{len(missed) - MAX_MISSES} more rules don't fit"] if missed[MAX_MISSES:] else [])
    return (
        f"{named} limits what {pod.name} {DOES[direction]}, and {', '.join(shown) or 'has no rule: nothing is allowed'}"
    )


def _misses(policy: Policy, rule: Mapping[str, Any], peer: End, wanted: Wanted) -> list[str]:
    """Parts of a rule that do not match: peers, ports; empty if it allows the connection."""
    peers = rule.get("from" if policy.direction == "ingress" else "to") or []
    ports = rule.get("ports") or []
    misses = []
    if peers and not any(_is_peer(one, policy.namespace, peer) for one in peers):
        misses.append(OTHERS[policy.direction])
    if ports and not any(_is_port(one, *wanted) for one in ports):
        misses.append(f"is for other ports ({', '.join(map(_port_in_words, ports))})")
    return misses


def _is_peer(one: Mapping[str, Any], home: str, peer: End) -> bool:
    """An IP block, or selectors: of pods in the policy's own namespace, of namespaces, or of both at once."""
    if block := one.get("ipBlock"):
        return _is_inside(block["cidr"], peer) and not any(_is_inside(hole, peer) for hole in block.get("except") or [])
    if not peer.is_selectable:
        return False
    spaces, pods = one.get("namespaceSelector"), one.get("podSelector")
    at_home = peer.namespace == home if spaces is None else matches(spaces, dict(peer.namespace_labels))
    return at_home and (pods is None or matches(pods, dict(peer.labels)))


def _is_inside(cidr: str, peer: End) -> bool:
    """A block that can't be parsed is a pseudonymised public one: it contains no private address."""
    try:
        return ipaddress.ip_address(peer.address) in ipaddress.ip_network(cidr, strict=False)
    except ValueError:
        return False


def _is_port(one: Mapping[str, Any], server: End, port: int, protocol: str) -> bool:
    """A number, a range, the name of a port that the listening pod declares; without a port all of the protocol."""
    if one.get("protocol", "TCP") != protocol:
        return False
    first = one.get("port")
    if isinstance(first, str):
        first = server.ports.get((first, protocol))
        return first == port
    return first is None or first <= port <= one.get("endPort", first)


def _port_in_words(one: Mapping[str, Any]) -> str:
    """`8080/TCP`, `30000-32767/TCP`, `all/UDP`."""
    last = f"-{one['endPort']}" if "endPort" in one else ""
    return f"{one.get('port', 'all')}{last}/{one.get('protocol', 'TCP')}"


# --- As recorded ------------------------------------------------------------------------------------------------------


def judged(flows: pd.DataFrame, rules: pd.DataFrame) -> list[Verdict]:
    """A verdict for each row of k8s_flows, by those of k8s_policy_rules."""
    policies = {instance: list(policies_of(rules, instance)) for instance in flows.instance.unique()}
    return [
        verdict(policies[row.instance], _end(row, "client"), _end(row, "server"), row.port, row.protocol)
        for row in flows.itertuples()
    ]


def policies_of(rules: pd.DataFrame, instance: str) -> Iterator[Policy]:
    """The policies of one cluster, by the rows of k8s_policy_rules."""
    for row in rules[rules.instance == instance].itertuples():
        yield Policy(row.namespace, row.name, row.direction, json.loads(row.selector), json.loads(row.rules))


def _end(row, side: str) -> End:
    """One of the two ends of a row of k8s_flows."""
    value = {name: getattr(row, f"{side}_{name}") for name in ("pod", "address", "namespace", "host_network")}
    return End(
        value["pod"] or value["address"],
        value["address"],
        value["namespace"],
        labels_of(getattr(row, f"{side}_labels")),
        labels_of(getattr(row, f"{side}_namespace_labels")),
        ports_of(row.server_ports) if side == "server" else {},
        value["host_network"],
    )


def labels_of(words: str) -> dict[str, str]:
    """`app=api,tier=front`: neither a name nor a value can hold `=` or `,`."""
    return dict(pair.split("=") for pair in words.split(",")) if words else {}


def ports_of(words: str) -> dict[tuple[str, str], int]:
    """`http:8080/TCP, dns:53/UDP`."""
    parts = (one.replace("/", ":").split(":") for one in words.split(", ")) if words else ()
    return {(name, protocol): int(number) for name, number, protocol in parts}

"""What network policies let one tenant reach in another, for as many tenants as there are.

Each pair of ten thousand tenants would be a hundred million questions. Tenants that differ in nothing but their own name
answer them alike: one of each kind is asked, against one of each kind.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from nl_forensics.facts.network_policy import End, Policy, Verdict, labels_of, policies_of, ports_of, verdict

MAX_KINDS = 200
OWN = "\0own\0"  # in place of a tenant's own name


class Kind(NamedTuple):
    """Tenants that are alike; `ends` and `policies` are those of `tenant`, `other` is a second one of them, "" if there is none."""

    tenant: str
    tenants: tuple[str, ...]
    ends: list[tuple[End, str, int, str]]
    policies: list[Policy]


class Reach(NamedTuple):
    """What pods of one kind of tenants can do to those of another. `verdict`: of the first connection that is allowed, else of any."""

    client: Kind
    server: Kind
    what: str
    verdict: Verdict


class TooMany(Exception):
    """More kinds than can be held against each other; `number`: how many."""

    def __init__(self, number: int):
        super().__init__(f"{number} kinds of tenants")
        self.number = number


def matrix(ends: pd.DataFrame, rules: pd.DataFrame) -> list[Reach]:
    """Every kind of tenants as a client of every kind, itself included where it has a second tenant.

    Raises TooMany.
    """
    found = []
    for instance, rows in ends.groupby("instance", sort=False):
        kinds, seconds = _kinds(_by_tenant(rows), list(policies_of(rules, str(instance))))
        if len(kinds) > MAX_KINDS:
            raise TooMany(len(kinds))
        for client in kinds:
            for server in kinds:
                other = seconds.get(server.tenant) if client is server else server
                if other:
                    found.append(_reach(client, server, other))
    return found


def _reach(client: Kind, server: Kind, asked: Kind) -> Reach:
    """The first connection that is allowed. `asked` stands for the servers."""
    policies = client.policies + asked.policies
    shown: tuple[str, Verdict] | None = None
    for one, name, _, _ in client.ends:
        for other, target, port, protocol in asked.ends:
            judged = verdict(policies, one, other, port, protocol)
            if judged.allowed or shown is None:
                shown = (f"{name} → {target}:{port}/{protocol}", judged)
            if judged.allowed:
                return Reach(client, server, *shown)
    assert shown is not None  # every kind has an end
    return Reach(client, server, *shown)


def _by_tenant(rows: pd.DataFrame) -> dict[str, list]:
    """The rows of each tenant, in the order of their names."""
    found: dict[str, list] = defaultdict(list)
    for row in rows.sort_values("tenant", kind="stable").itertuples(index=False):
        found[row.tenant].append(row)
    return found


def _kinds(parts: dict[str, list], policies: list[Policy]) -> tuple[list[Kind], dict[str, Kind]]:
    """Tenants by what decides a connection to or from them; and a second one of each kind that has several, by the first."""
    own: dict[str, list[Policy]] = defaultdict(list)
    for policy in policies:
        own[policy.namespace].append(policy)
    named, by_address, keys = _named_by_others(parts, own), _look_at_addresses(own), _keys(policies)
    kinds: dict[tuple, list[str]] = defaultdict(list)
    for tenant, part in parts.items():
        kinds[_signature(tenant, part, own, named, keys, by_address)].append(tenant)
    several = [tenants for tenants in kinds.values() if len(tenants) > 1]
    firsts = [_kind(tenants[0], tenants, parts, own) for tenants in kinds.values()]
    return firsts, {tenants[0]: _kind(tenants[1], tenants, parts, own) for tenants in several}


def _kind(tenant: str, tenants: list[str], parts: dict[str, list], own: dict[str, list[Policy]]) -> Kind:
    """A kind, as one of its tenants shows it."""
    return Kind(tenant, tuple(tenants), _ends(parts[tenant]), list(_policies(parts[tenant], own)))


def _policies(rows: list, own: dict[str, list[Policy]]) -> Iterator[Policy]:
    """Those of the namespaces of one tenant."""
    for namespace in dict.fromkeys(row.namespace for row in rows):
        yield from own.get(namespace, ())


def pods_of(rows: pd.DataFrame) -> list[End]:
    """The pods of k8s_tenant_ends."""
    return [end for end, *_ in _ends(rows.itertuples(index=False))]


def _ends(rows: Iterable) -> list[tuple[End, str, int, str]]:
    """(end, name of its workload, port, protocol). Without a declared port, port 80 stands for any."""
    return [
        (
            End(
                row.pod,
                row.address,
                row.namespace,
                labels_of(row.labels),
                labels_of(row.namespace_labels),
                ports_of(row.named_ports),
                row.host_network,
            ),
            f"{row.namespace}/{row.workload}",
            80 if pd.isna(row.port) else int(row.port),
            row.protocol,
        )
        for row in rows
    ]


def _signature(tenant: str, rows: list, own: dict, named: set[str], keys: set[str], by_address: bool) -> tuple:
    """Equal for tenants that are alike but for their own name; a tenant that another one's policies name is like no other."""
    ends = sorted(
        (
            row.workload,
            _selected(row.labels, keys),
            _selected(row.namespace_labels, keys),
            *(row.named_ports, str(row.port), row.protocol, row.host_network),
        )
        for row in rows
    )
    policies = sorted(
        (policy.name, policy.direction, str(policy.selector), str(policy.rules)) for policy in _policies(rows, own)
    )
    addresses = tuple(row.address for row in rows) if by_address else ()
    text = repr((ends, policies))
    return (_without(text, tenant), addresses, tenant if tenant in named else "")


def _keys(policies: list[Policy]) -> set[str]:
    """Labels that any policy looks at: no other (such as the hash of a pod template) decides anything."""
    found: set[str] = set()
    for policy in policies:
        found |= _keys_in(policy.selector) | _keys_in(policy.rules)
    return found


def _keys_in(value) -> set[str]:
    if isinstance(value, list):
        return {key for one in value for key in _keys_in(one)}
    if not isinstance(value, dict):
        return set()
    here = {*(value.get("matchLabels") or {}), *(one["key"] for one in value.get("matchExpressions") or [])}
    return here | {key for one in value.values() for key in _keys_in(one)}


def _selected(labels: str, keys: set[str]) -> tuple[str, ...]:
    return tuple(one for one in labels.split(",") if one.partition("=")[0] in keys)


def _without(text: str, tenant: str) -> str:
    return text.replace(tenant, OWN)


def _named_by_others(parts: dict[str, list], own: dict[str, list[Policy]]) -> set[str]:
    """Tenants of which the name or a namespace stands in the policies of another one."""
    words = {tenant: {tenant, *(row.namespace for row in rows)} for tenant, rows in parts.items()}
    known = {word: tenant for tenant, mine in words.items() for word in mine}
    found = set()
    for tenant, rows in parts.items():
        for policy in _policies(rows, own):
            mentioned = {known[word] for word in _words(policy.rules) if word in known}
            found |= mentioned - {tenant}
    return found


def _words(value) -> set[str]:
    """Every text in a JSON value."""
    if isinstance(value, dict):
        return {word for one in value.values() for word in _words(one)}
    if isinstance(value, list):
        return {word for one in value for word in _words(one)}
    return {value} if isinstance(value, str) else set()


def _look_at_addresses(own: dict[str, list[Policy]]) -> bool:
    return any("ipBlock" in str(policy.rules) for policies in own.values() for policy in policies)

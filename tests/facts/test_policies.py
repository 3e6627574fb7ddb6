"""Network policies: what the documentation of Kubernetes says of its examples, and a table of cases of our own.

Each case goes the way of a real policy: object → records of the source → table → verdict.
"""

import pandas as pd
import pytest
import yaml

from nl_forensics import sources
from nl_forensics.facts.network_policy import End, policies_of, verdict
from nl_forensics.sources.kubernetes.flows import rules_of
from tests.asking import as_table


def policies(*texts, namespace="default"):
    """Policies by the YAML of their specs, `p1`, `p2`, …, read from the table of their source."""
    objects = [
        {"metadata": {"namespace": namespace, "name": f"p{number}"}, "spec": yaml.safe_load(text)}
        for number, text in enumerate(texts, 1)
    ]
    table = sources.load()["k8s_policy_rules"].table([record for one in objects for record in rules_of(one)])
    return list(policies_of(table.assign(instance="main"), "main"))


def pod(name, address="10.1.0.1", namespace="default", spaces=None, ports=None, host_network=False, **labels):
    spaces = {"kubernetes.io/metadata.name": namespace} | (spaces or {})
    return End(name, address, namespace, labels, spaces, ports or {}, host_network)


DB = pod("db", "10.1.0.9", role="db", ports={("redis", "TCP"): 6379})
FRONTEND = pod("frontend", "10.1.0.2", role="frontend")
STRANGER = pod("stranger", "10.1.0.3")
MY_PROJECT = pod("mine", "10.1.0.4", "project", {"project": "myproject"}, role="anything")
FOREIGN_FRONTEND = pod("foreign", "10.1.0.5", "elsewhere", role="frontend")
NODE_POD = pod("agent", "192.168.0.1", "kube-system", host_network=True, role="frontend")


def outside(address):
    return End(address, address)


# --- The documentation's examples: concepts/services-networking/network-policies ------------------------------------

DOCUMENTED = """
podSelector: {matchLabels: {role: db}}
policyTypes: [Ingress, Egress]
ingress:
- from:
  - ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}
  - namespaceSelector: {matchLabels: {project: myproject}}
  - podSelector: {matchLabels: {role: frontend}}
  ports: [{protocol: TCP, port: 6379}]
egress:
- to:
  - ipBlock: {cidr: 10.0.0.0/24}
  ports: [{protocol: TCP, port: 5978}]
"""
ONE_PEER = """
podSelector: {}
ingress: [{from: [{namespaceSelector: {matchLabels: {user: alice}}, podSelector: {matchLabels: {role: client}}}]}]
"""
TWO_PEERS = """
podSelector: {}
ingress: [{from: [{namespaceSelector: {matchLabels: {user: alice}}}, {podSelector: {matchLabels: {role: client}}}]}]
"""
DENY_INGRESS = "{podSelector: {}, policyTypes: [Ingress]}"
ALLOW_INGRESS = "{podSelector: {}, ingress: [{}], policyTypes: [Ingress]}"
DENY_EGRESS = "{podSelector: {}, policyTypes: [Egress]}"
ALLOW_EGRESS = "{podSelector: {}, egress: [{}], policyTypes: [Egress]}"
DENY_ALL = "{podSelector: {}, policyTypes: [Ingress, Egress]}"
PORT_RANGE = """
podSelector: {matchLabels: {role: db}}
policyTypes: [Egress]
egress: [{to: [{ipBlock: {cidr: 10.0.0.0/24}}], ports: [{protocol: TCP, port: 32000, endPort: 32768}]}]
"""
BY_NAMES = """
podSelector: {}
policyTypes: [Egress]
egress: [{to: [{namespaceSelector: {matchExpressions: [{key: namespace, operator: In, values: [frontend, backend]}]}}]}]
"""
ALICES_CLIENT = pod("a", "10.1.1.1", "alices", {"user": "alice"}, role="client")
ALICES_OTHER = pod("b", "10.1.1.2", "alices", {"user": "alice"}, role="other")
BOBS_CLIENT = pod("c", "10.1.1.3", "bobs", {"user": "bob"}, role="client")
LOCAL_CLIENT = pod("d", "10.1.1.4", role="client")
IN_BACKEND = pod("e", "10.1.1.5", "apps", {"namespace": "backend"})
IN_MIDDLE = pod("f", "10.1.1.6", "apps", {"namespace": "middle"})

# what it shows: (policies, client, server, port[/protocol], whether it passes)
DOCUMENTATION = {
    "frontend of the same namespace": ([DOCUMENTED], FRONTEND, DB, 6379, True),
    "frontend of another namespace": ([DOCUMENTED], FOREIGN_FRONTEND, DB, 6379, False),
    "any pod of a namespace of the project": ([DOCUMENTED], MY_PROJECT, DB, 6379, True),
    "another pod of the same namespace": ([DOCUMENTED], STRANGER, DB, 6379, False),
    "first address of the block": ([DOCUMENTED], outside("172.17.0.0"), DB, 6379, True),
    "last address before the exception": ([DOCUMENTED], outside("172.17.0.255"), DB, 6379, True),
    "first address of the exception": ([DOCUMENTED], outside("172.17.1.0"), DB, 6379, False),
    "last address of the exception": ([DOCUMENTED], outside("172.17.1.255"), DB, 6379, False),
    "first address after the exception": ([DOCUMENTED], outside("172.17.2.0"), DB, 6379, True),
    "last address of the block": ([DOCUMENTED], outside("172.17.255.255"), DB, 6379, True),
    "after the block": ([DOCUMENTED], outside("172.18.0.0"), DB, 6379, False),
    "another port": ([DOCUMENTED], FRONTEND, DB, 6380, False),
    "another protocol": ([DOCUMENTED], FRONTEND, DB, "6379/UDP", False),
    "what the database sends": ([DOCUMENTED], DB, outside("10.0.0.200"), 5978, True),
    "what it sends to another port": ([DOCUMENTED], DB, outside("10.0.0.200"), 5979, False),
    "what it sends elsewhere": ([DOCUMENTED], DB, outside("10.0.1.0"), 5978, False),
    "what others send": ([DOCUMENTED], STRANGER, outside("10.0.1.0"), 5978, True),
    "one peer, both fit": ([ONE_PEER], ALICES_CLIENT, DB, 80, True),
    "one peer, only the namespace fits": ([ONE_PEER], ALICES_OTHER, DB, 80, False),
    "one peer, only the pod fits": ([ONE_PEER], BOBS_CLIENT, DB, 80, False),
    "one peer, the pod of the own namespace": ([ONE_PEER], LOCAL_CLIENT, DB, 80, False),
    "two peers, both fit": ([TWO_PEERS], ALICES_CLIENT, DB, 80, True),
    "two peers, the namespace fits": ([TWO_PEERS], ALICES_OTHER, DB, 80, True),
    "two peers, the pod of another namespace": ([TWO_PEERS], BOBS_CLIENT, DB, 80, False),
    "two peers, the pod of the own namespace": ([TWO_PEERS], LOCAL_CLIENT, DB, 80, True),
    "default deny ingress": ([DENY_INGRESS], FRONTEND, DB, 6379, False),
    "default deny ingress, what goes out": ([DENY_INGRESS], DB, outside("8.8.8.8"), 443, True),
    "default allow ingress": ([DENY_INGRESS, ALLOW_INGRESS], FRONTEND, DB, 6379, True),
    "default deny egress": ([DENY_EGRESS], DB, outside("8.8.8.8"), 443, False),
    "default deny egress, what comes in": ([DENY_EGRESS], MY_PROJECT, DB, 6379, True),
    "default allow egress": ([DENY_EGRESS, ALLOW_EGRESS], DB, outside("8.8.8.8"), 443, True),
    "default deny all, in": ([DENY_ALL], MY_PROJECT, DB, 6379, False),
    "default deny all, out": ([DENY_ALL], DB, MY_PROJECT, 80, False),
    "first port of a range": ([PORT_RANGE], DB, outside("10.0.0.7"), 32000, True),
    "inside a range": ([PORT_RANGE], DB, outside("10.0.0.7"), 32500, True),
    "last port of a range": ([PORT_RANGE], DB, outside("10.0.0.7"), 32768, True),
    "before a range": ([PORT_RANGE], DB, outside("10.0.0.7"), 31999, False),
    "after a range": ([PORT_RANGE], DB, outside("10.0.0.7"), 32769, False),
    "one of several namespaces": ([BY_NAMES], DB, IN_BACKEND, 80, True),
    "none of several namespaces": ([BY_NAMES], DB, IN_MIDDLE, 80, False),
}

# --- Our own table ---------------------------------------------------------------------------------------------------

TO_DB = "podSelector: {matchLabels: {role: db}}\n"
ANYBODY = TO_DB + "ingress: [{}]"
NOBODY = TO_DB + "ingress: []"
RULE_WITHOUT_PEERS = TO_DB + "ingress: [{from: [], ports: [{port: 6379}]}]"
RULE_WITHOUT_PORTS = TO_DB + "ingress: [{from: [{podSelector: {matchLabels: {role: frontend}}}], ports: []}]"
EMPTY_PODS = TO_DB + "ingress: [{from: [{podSelector: {}}]}]"
EMPTY_NAMESPACES = TO_DB + "ingress: [{from: [{namespaceSelector: {}}]}]"
BOTH_EMPTY = TO_DB + "ingress: [{from: [{namespaceSelector: {}, podSelector: {}}]}]"
NO_TYPES_IN = TO_DB + "ingress: [{from: [{podSelector: {matchLabels: {role: frontend}}}]}]"
NO_TYPES_OUT = TO_DB + "egress: [{to: [{podSelector: {matchLabels: {role: frontend}}}]}]"
NO_TYPES_EMPTY_OUT = TO_DB + "egress: []"
NO_TYPES_NOTHING = TO_DB
ONLY_EGRESS = TO_DB + "policyTypes: [Egress]\ningress: []\negress: [{}]"
ONLY_INGRESS = TO_DB + "policyTypes: [Ingress]\ningress: [{}]\negress: [{ports: [{port: 1}]}]"
NAMED = TO_DB + "ingress: [{ports: [{port: redis}]}]"
NAMED_UDP = TO_DB + "ingress: [{ports: [{port: redis, protocol: UDP}]}]"
NAMED_UNKNOWN = TO_DB + "ingress: [{ports: [{port: postgres}]}]"
NAMED_OUT = "podSelector: {}\npolicyTypes: [Egress]\negress: [{ports: [{port: redis}]}]"
ANY_UDP = TO_DB + "ingress: [{ports: [{protocol: UDP}]}]"
SCTP = TO_DB + "ingress: [{ports: [{protocol: SCTP, port: 7777}]}]"
TWO_PORTS = TO_DB + "ingress: [{ports: [{port: 80}, {port: 443}]}]"
EVERYWHERE = TO_DB + "ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"
EVERYWHERE_BUT_PRIVATE = (
    TO_DB + "ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 192.168.0.0/16]}}]}]"
)
NODES = TO_DB + "ingress: [{from: [{ipBlock: {cidr: 192.168.0.0/24}}]}]"
SIX = TO_DB + 'ingress: [{from: [{ipBlock: {cidr: "fd00::/8", except: ["fd00:1::/32"]}}]}]'
BEHIND_A_PSEUDONYM = TO_DB + "ingress: [{from: [{ipBlock: {cidr: ip~rjfhlyy57poco/24}}]}]"
NOT_IN = (
    TO_DB + "ingress: [{from: [{podSelector: {matchExpressions: [{key: role, operator: NotIn, values: [frontend]}]}}]}]"
)
EXISTS = TO_DB + "ingress: [{from: [{podSelector: {matchExpressions: [{key: role, operator: Exists}]}}]}]"
LACKS = TO_DB + "ingress: [{from: [{podSelector: {matchExpressions: [{key: role, operator: DoesNotExist}]}}]}]"
BY_EXPRESSION = "podSelector: {matchExpressions: [{key: role, operator: In, values: [db, cache]}]}\ningress: []"
BY_METADATA_NAME = (
    TO_DB + "ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: elsewhere}}}]}]"
)
OTHER_PEER_OTHER_PORT = TO_DB + (
    "ingress: [{from: [{podSelector: {matchLabels: {role: frontend}}}], ports: [{port: 80}]}, {ports: [{port: 443}]}]"
)
LETS_FRONTEND_OUT = (
    "podSelector: {matchLabels: {role: frontend}}\npolicyTypes: [Egress]\negress: [{to: [{podSelector: {}}]}]"
)
DNS_ONLY = "podSelector: {}\npolicyTypes: [Egress]\negress: [{ports: [{port: 53, protocol: UDP}, {port: 53}]}]"
DNS = pod("dns", "10.1.9.9", "kube-system", k8s_app="dns")

OWN = {
    "no policy at all": ([], FRONTEND, DB, 6379, True),
    "no policy, from outside": ([], outside("8.8.8.8"), DB, 6379, True),
    "a rule that is empty allows everybody": ([ANYBODY], FOREIGN_FRONTEND, DB, 1, True),
    "a rule that is empty allows what is outside": ([ANYBODY], outside("8.8.8.8"), DB, 1, True),
    "no rule allows nobody": ([NOBODY], FRONTEND, DB, 6379, False),
    "a policy for others limits nothing": ([NOBODY], FRONTEND, STRANGER, 80, True),
    "an empty list of peers is everybody": ([RULE_WITHOUT_PEERS], outside("8.8.8.8"), DB, 6379, True),
    "an empty list of peers, another port": ([RULE_WITHOUT_PEERS], FRONTEND, DB, 80, False),
    "an empty list of ports is every port": ([RULE_WITHOUT_PORTS], FRONTEND, DB, 65535, True),
    "an empty list of ports is every protocol": ([RULE_WITHOUT_PORTS], FRONTEND, DB, "53/UDP", True),
    "an empty pod selector is the own namespace": ([EMPTY_PODS], STRANGER, DB, 80, True),
    "an empty pod selector, another namespace": ([EMPTY_PODS], FOREIGN_FRONTEND, DB, 80, False),
    "an empty pod selector, from outside": ([EMPTY_PODS], outside("10.1.0.3"), DB, 80, False),
    "an empty namespace selector is every namespace": ([EMPTY_NAMESPACES], FOREIGN_FRONTEND, DB, 80, True),
    "an empty namespace selector is the own one, too": ([EMPTY_NAMESPACES], STRANGER, DB, 80, True),
    "an empty namespace selector, from outside": ([EMPTY_NAMESPACES], outside("8.8.8.8"), DB, 80, False),
    "both empty are every pod": ([BOTH_EMPTY], FOREIGN_FRONTEND, DB, 80, True),
    "both empty, from outside": ([BOTH_EMPTY], outside("8.8.8.8"), DB, 80, False),
    "no types: what comes in is limited": ([NO_TYPES_IN], STRANGER, DB, 80, False),
    "no types: what goes out is not": ([NO_TYPES_IN], DB, STRANGER, 80, True),
    "no types, a rule for what goes out: limited": ([NO_TYPES_OUT], DB, STRANGER, 80, False),
    "no types, a rule for what goes out: allowed": ([NO_TYPES_OUT], DB, FRONTEND, 80, True),
    "no types, a rule for what goes out: nothing comes in": ([NO_TYPES_OUT], FRONTEND, DB, 80, False),
    "no types, an empty list for what goes out": ([NO_TYPES_EMPTY_OUT], DB, STRANGER, 80, True),
    "no types and no rules: nothing comes in": ([NO_TYPES_NOTHING], FRONTEND, DB, 80, False),
    "no types and no rules: all goes out": ([NO_TYPES_NOTHING], DB, FRONTEND, 80, True),
    "only Egress: what comes in is open": ([ONLY_EGRESS], FRONTEND, DB, 80, True),
    "only Ingress: rules for what goes out don't count": ([ONLY_INGRESS], DB, FRONTEND, 80, True),
    "a named port": ([NAMED], FRONTEND, DB, 6379, True),
    "a named port, another number": ([NAMED], FRONTEND, DB, 6380, False),
    "a named port of another protocol": ([NAMED_UDP], FRONTEND, DB, "6379/UDP", False),
    "a named port that the pod lacks": ([NAMED_UNKNOWN], FRONTEND, DB, 5432, False),
    "a named port is the receiver's, going out": ([NAMED_OUT], STRANGER, DB, 6379, True),
    "a named port, to a pod that lacks it": ([NAMED_OUT], DB, STRANGER, 6379, False),
    "a named port, to what is outside": ([NAMED_OUT], STRANGER, outside("10.9.9.9"), 6379, False),
    "a protocol without a port": ([ANY_UDP], FRONTEND, DB, "9999/UDP", True),
    "a protocol without a port is TCP by no means": ([ANY_UDP], FRONTEND, DB, 9999, False),
    "SCTP": ([SCTP], FRONTEND, DB, "7777/SCTP", True),
    "SCTP is not TCP": ([SCTP], FRONTEND, DB, 7777, False),
    "the second of two ports": ([TWO_PORTS], FRONTEND, DB, 443, True),
    "neither of two ports": ([TWO_PORTS], FRONTEND, DB, 8443, False),
    "every address": ([EVERYWHERE], outside("8.8.8.8"), DB, 80, True),
    "every address is every pod, too": ([EVERYWHERE], FOREIGN_FRONTEND, DB, 80, True),
    "every public address": ([EVERYWHERE_BUT_PRIVATE], outside("8.8.8.8"), DB, 80, True),
    "a pod at a private address": ([EVERYWHERE_BUT_PRIVATE], FRONTEND, DB, 80, False),
    "the second exception": ([EVERYWHERE_BUT_PRIVATE], outside("192.168.7.7"), DB, 80, False),
    "a pod with its node's network, by the node's address": ([NODES], NODE_POD, DB, 80, True),
    "a pod with its node's network has no labels": ([DOCUMENTED], NODE_POD, DB, 6379, False),
    "a pod with its node's network is of no namespace": ([EMPTY_NAMESPACES], NODE_POD, DB, 80, False),
    "a pod with its node's network is not limited": ([DENY_ALL], STRANGER._replace(namespace="x"), NODE_POD, 80, True),
    "an IPv6 block": ([SIX], outside("fd00:2::1"), DB, 80, True),
    "an IPv6 exception": ([SIX], outside("fd00:1::1"), DB, 80, False),
    "an IPv4 address in an IPv6 block": ([SIX], outside("10.0.0.1"), DB, 80, False),
    "a public block behind a pseudonym holds no private address": ([BEHIND_A_PSEUDONYM], FRONTEND, DB, 80, False),
    "NotIn, without the value": ([NOT_IN], pod("x", role="admin"), DB, 80, True),
    "NotIn, without the label": ([NOT_IN], STRANGER, DB, 80, True),
    "NotIn, with the value": ([NOT_IN], FRONTEND, DB, 80, False),
    "Exists": ([EXISTS], FRONTEND, DB, 80, True),
    "Exists, without the label": ([EXISTS], STRANGER, DB, 80, False),
    "DoesNotExist": ([LACKS], STRANGER, DB, 80, True),
    "DoesNotExist, with the label": ([LACKS], FRONTEND, DB, 80, False),
    "a policy may select by expression": ([BY_EXPRESSION], FRONTEND, DB, 80, False),
    "a policy that selects by expression, another pod": ([BY_EXPRESSION], FRONTEND, STRANGER, 80, True),
    "a namespace by its name": ([BY_METADATA_NAME], FOREIGN_FRONTEND, DB, 80, True),
    "a namespace by another name": ([BY_METADATA_NAME], STRANGER, DB, 80, False),
    "peers of one rule, ports of another": ([OTHER_PEER_OTHER_PORT], STRANGER, DB, 80, False),
    "the second rule": ([OTHER_PEER_OTHER_PORT], STRANGER, DB, 443, True),
    "policies add up": ([NOBODY, NAMED], FRONTEND, DB, 6379, True),
    "policies add up in any order": ([NAMED, NOBODY], FRONTEND, DB, 6379, True),
    "out is allowed, in is not": ([LETS_FRONTEND_OUT, NOBODY], FRONTEND, DB, 80, False),
    "in is allowed, out is not": ([DENY_EGRESS, ANYBODY], FRONTEND, DB, 80, False),
    "both are allowed": ([DENY_EGRESS, LETS_FRONTEND_OUT, ANYBODY], FRONTEND, DB, 80, True),
    "DNS by UDP": ([DNS_ONLY], STRANGER, DNS, "53/UDP", True),
    "DNS by TCP": ([DNS_ONLY], STRANGER, DNS, 53, True),
    "nothing but DNS": ([DNS_ONLY], STRANGER, DB, 6379, False),
    "a pod reaches itself whatever is denied": ([DENY_ALL], DB, DB, 6379, True),
    "another pod of the same labels does not": ([DENY_ALL], DB._replace(name="db-2"), DB, 6379, False),
}


def judged(texts, client, server, port):
    number, _, protocol = str(port).partition("/")
    return verdict(policies(*texts), client, server, int(number), protocol or "TCP")


def test_the_table_is_as_long_as_was_promised():
    assert len(OWN) >= 60


@pytest.mark.parametrize("case", [*DOCUMENTATION.values(), *OWN.values()], ids=[*DOCUMENTATION, *OWN])
def test_a_connection_passes_or_not(case):
    *how, allowed = case
    assert judged(*how).allowed is allowed, judged(*how).why


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("no policy at all", "no policy limits what frontend sends; no policy limits what db receives"),
        ("the second rule", "no policy limits what stranger sends; ingress rule 2 of default/p1 allows it"),
        ("no rule allows nobody", "default/p1 limits what db receives, and has no rule: nothing is allowed"),
        (
            "peers of one rule, ports of another",
            "default/p1 limits what db receives, and ingress rule 1 of p1 is for other senders, "
            "ingress rule 2 of p1 is for other ports (443/TCP)",
        ),
        ("nothing but DNS", "default/p1 limits what stranger sends, and egress rule 1 of p1 is for other ports (53/UDP, 53/TCP)"),
        ("a pod reaches itself whatever is denied", "db can always reach itself; db can always reach itself"),
    ],
)  # fmt: skip
def test_the_rule_that_decides_is_named(case, why):
    *how, _ = OWN[case]
    assert judged(*how).why == why


@pytest.mark.parametrize(("bits", "hole"), [(24, False), (16, False), (8, True)])
def test_a_large_public_block_behind_a_pseudonym_can_not_be_judged(bits, hole):
    spec = {"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": f"ip~rjfhlyy57poco/{bits}"}}]}]}
    rows = rules_of({"metadata": {"namespace": "a", "name": "b"}, "spec": spec})
    table = sources.load()["k8s_policy_rules"].table(list(rows)).assign(created_at=pd.Timestamp.now("UTC"))
    assert len(as_table("k8s_policy_rules", table).rows_with_holes) == hole

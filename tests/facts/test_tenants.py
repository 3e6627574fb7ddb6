"""What tenants reach of each other, asked of kinds of tenants, is what asking every pair gives."""

import json
import random

import pandas as pd
import pytest

from nl_forensics.facts import tenants as facts
from nl_forensics.facts.network_policy import policies_of, verdict
from nl_forensics.facts.tenants import TooMany, matrix

NAMES = ("acme", "globex", "initech", "hooli", "umbrella", "acme-eu")
PEERS = (
    [],
    [{"from": [{"namespaceSelector": {}}]}],
    [{"from": [{"podSelector": {}}]}],
    [{"from": [{"namespaceSelector": {"matchLabels": {"tenant": "{own}"}}}]}],
    [{"from": [{"namespaceSelector": {"matchLabels": {"tenant": "globex"}}}]}],
    [
        {
            "from": [
                {
                    "namespaceSelector": {
                        "matchExpressions": [{"key": "tenant", "operator": "NotIn", "values": ["acme"]}]
                    }
                }
            ]
        }
    ],
    [{"from": [{"ipBlock": {"cidr": "10.0.0.0/30"}}]}],
    [{"from": [{"namespaceSelector": {"matchLabels": {"plan": "free"}}}], "ports": [{"port": 9090}]}],
)


def ends_of(names, plans=("free",)):
    return pd.DataFrame(
        [
            {
                "instance": "main",
                "tenant": name,
                "namespace": f"tenant-{name}",
                "workload": "log-server",
                "pod": f"log-server-{number}",
                "address": f"10.0.0.{number}",
                "labels": f"app=log-server,pod-template-hash={number}",
                "namespace_labels": f"plan={plans[number % len(plans)]},tenant={name}",
                "host_network": False,
                "named_ports": "http:8080/TCP",
                "port": 8080,
                "protocol": "TCP",
            }
            for number, name in enumerate(names, 1)
        ]
    )


def rules_of(policies):
    """policies: (tenant, direction, rules)."""
    columns = ["instance", "namespace", "name", "direction", "selector", "rules"]
    rows = [
        ["main", f"tenant-{name}", "own", direction, "{}", json.dumps(rules)] for name, direction, rules in policies
    ]
    return pd.DataFrame(rows, columns=columns)


def of_every_pair(ends, rules):
    """{(client, server)} that is allowed."""
    policies = list(policies_of(rules, "main"))
    pods = dict(zip(ends.tenant, facts.pods_of(ends), strict=True))
    return {
        (one, other)
        for one, client in pods.items()
        for other, server in pods.items()
        if one != other and verdict(policies, client, server, 8080).allowed
    }


def of_kinds(ends, rules):
    return {
        (client, server)
        for one in matrix(ends, rules)
        if one.verdict.allowed
        for client in one.client.tenants
        for server in one.server.tenants
        if client != server
    }


@pytest.mark.parametrize("seed", range(40))
def test_kinds_answer_as_every_pair_does(seed):
    chance = random.Random(seed)
    ends = ends_of(NAMES, chance.choice((("free",), ("free", "team"))))
    policies = []
    for name in NAMES:
        if chance.random() < 0.8:
            rules = json.loads(json.dumps(chance.choice(PEERS)).replace("{own}", name))
            policies.append((name, "ingress", rules))
    rules = rules_of(policies)
    assert of_kinds(ends, rules) == of_every_pair(ends, rules)


def test_tenants_that_are_alike_are_asked_once():
    names = [f"t{number:04}x" for number in range(2_000)]
    own = [[{"from": [{"namespaceSelector": {"matchLabels": {"tenant": name}}}]}] for name in names]
    rules = rules_of([(name, "ingress", mine) for name, mine in zip(names, own, strict=True)])
    [only] = matrix(ends_of(names), rules)
    assert len(only.server.tenants) == 2_000
    assert not only.verdict.allowed


def test_more_kinds_than_can_be_compared_are_not_judged(monkeypatch):
    monkeypatch.setattr(facts, "MAX_KINDS", 1)
    rules = rules_of([("acme", "ingress", [])])
    with pytest.raises(TooMany):
        matrix(ends_of(NAMES), rules)


def test_one_tenant_reaches_no_other():
    assert matrix(ends_of(["acme"]), rules_of([])) == []

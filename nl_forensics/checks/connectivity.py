"""Rules about the way between services: network policies let pass what the platform needs."""

import json
from collections.abc import Iterator

import pandas as pd

from nl_forensics.checks import check
from nl_forensics.policies import End, Policy, verdict

SECTION = "04"


@check(
    severity="critical",
    subject="{instance}: {flow}",
    because="network policies don't let it pass, from {client_pod} to {server}: {why}",
    guide=("C051", "C054", "C055"),
)
def no_policy_blocks_a_needed_flow(k8s_flows, k8s_policy_rules):
    """Network policies let every connection pass that the platform file says is needed (`flows`).

    What a policy drops looks like a server that hangs: the client waits until it gives up. Judged by the semantics of the API, in
    both directions. Whether the network plugin enforces policies, and kinds of policies of its own, can't be seen here.
    """
    verdicts = [
        verdict(
            _policies(k8s_policy_rules, row.instance), _end(row, "client"), _end(row, "server"), row.port, row.protocol
        )
        for row in k8s_flows.itertuples()
    ]
    allowed = pd.Series([one.allowed for one in verdicts], index=k8s_flows.index, dtype=bool)
    rows = k8s_flows.assign(why=[one.why for one in verdicts])
    return rows.assign(server=rows.server_pod.where(rows.server_pod != "", rows.server_address))[~allowed]


def _policies(rules: pd.DataFrame, instance: str) -> Iterator[Policy]:
    for row in rules[rules.instance == instance].itertuples():
        yield Policy(row.namespace, row.name, row.direction, json.loads(row.selector), json.loads(row.rules))


def _end(row, side: str) -> End:
    """One of the two ends of a row of k8s_flows."""
    value = {name: getattr(row, f"{side}_{name}") for name in ("pod", "address", "namespace", "host_network")}
    return End(
        value["pod"] or value["address"],
        value["address"],
        value["namespace"],
        _labels(getattr(row, f"{side}_labels")),
        _labels(getattr(row, f"{side}_namespace_labels")),
        _ports(row.server_ports) if side == "server" else {},
        value["host_network"],
    )


def _labels(words: str) -> dict[str, str]:
    """`app=api,tier=front`: neither a name nor a value can hold `=` or `,`."""
    return dict(pair.split("=") for pair in words.split(",")) if words else {}


def _ports(words: str) -> dict[tuple[str, str], int]:
    """`http:8080/TCP, dns:53/UDP`."""
    parts = (one.replace("/", ":").split(":") for one in words.split(", ")) if words else ()
    return {(name, protocol): int(number) for name, number, protocol in parts}

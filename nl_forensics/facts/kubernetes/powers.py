"""Rights with which an identity gets more rights than it was given, or reads what belongs to others."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from nl_forensics.facts.kubernetes.rbac import ACCOUNTS, Access, Binding, Request, Rule

RBAC = "rbac.authorization.k8s.io"
MAX_RULE = 60  # characters of a rule in a sentence


class Power(NamedTuple):
    """means: in words; total: in the whole cluster it amounts to all rights; requests: any of which a rule must allow."""

    means: str
    total: bool
    requests: tuple[Request, ...]


POWERS = (
    Power("do anything", True, (Request("*", "*", "*"),)),
    Power(
        "impersonate others", True, tuple(Request("impersonate", one) for one in ("users", "groups", "serviceaccounts"))
    ),
    Power(
        "grant rights that it does not have",
        True,
        tuple(Request(verb, kind, RBAC) for verb in ("escalate", "bind") for kind in ("clusterroles", "roles")),
    ),
    Power("run commands on nodes", True, tuple(Request(verb, "nodes/proxy") for verb in ("create", "get"))),
    Power(
        "change admission",
        True,
        tuple(
            Request(verb, f"{kind}webhookconfigurations", "admissionregistration.k8s.io")
            for verb in ("create", "patch", "update")
            for kind in ("mutating", "validating")
        ),
    ),
    Power("read secrets", False, tuple(Request(verb, "secrets") for verb in ("get", "list", "watch"))),
    Power(
        "run commands in pods",
        False,
        tuple(Request(verb, f"pods/{kind}") for verb in ("create", "get") for kind in ("exec", "attach")),
    ),
    Power("issue tokens of service accounts", False, (Request("create", "serviceaccounts/token"),)),
    Power(
        "create pods",
        False,
        (
            Request("create", "pods"),
            *(Request("create", kind, "apps") for kind in ("deployments", "daemonsets", "statefulsets", "replicasets")),
            *(Request("create", kind, "batch") for kind in ("jobs", "cronjobs")),
        ),
    ),
)


def powers_of(rules: list[Rule]) -> list[Power]:
    """The powers that rules give, whatever the object: a rule that is restricted to names gives none. With the first, all are given."""
    found = [power for power in POWERS if any(rule.allows(asked) for rule in rules for asked in power.requests)]
    return found[:1] if found and found[0] is POWERS[0] else found


def powerful(access: Access) -> Iterator[tuple[Binding, list[Power]]]:
    """The bindings of service accounts, or of all of them in a namespace, that give such powers."""
    for binding in access.bindings:
        of_namespace = binding.subject_kind == "Group" and binding.subject.startswith(f"{ACCOUNTS}:")
        found = powers_of(access.roles.get(binding.of_role, []))
        if found and (binding.subject_kind == "ServiceAccount" or of_namespace):
            yield binding, found


def rules_in_words(access: Access, binding: pd.Series) -> str:
    """What the role of a binding allows first, and how many rules more there are, of a row of k8s_bindings."""
    one = Binding(*(binding[name] for name in Binding._fields))
    rules = [rule.shown for rule in access.roles.get(one.of_role, []) if rule.verbs]
    more = f"; rules beside it: {len(rules) - 1}" if rules[1:] else ""
    return rules[0][:MAX_RULE] + ("…" if len(rules[0]) > MAX_RULE else "") + more if rules else "nothing"

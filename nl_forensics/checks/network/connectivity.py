"""Rules about the way of a request: to an address, hop by hop from where we stand; and between services, past network policies."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.network_policy import judged

HOP_IN_WORDS = {"dns": "looking up the name", "tcp": "connecting", "tls": "the TLS handshake", "http": "the answer"}


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="{words} failed in {failures} of {attempts} attempts: {why} (asked from {asked_from})",
    guide=("C051", "C052", "C053", "C060"),
)
def every_address_is_reached(probe_hops):
    """Every address is reached in each attempt: its name is found, it accepts connections, speaks TLS, and answers.

    The hop that fails says where to look: the name servers; a firewall or nothing that listens; the certificate's server; the service
    itself. One that fails now and then is a problem, too: a name with one dead address, or a service at its limit.
    """
    counted = probe_hops.assign(attempts=probe_hops.groupby(["instance", "url"]).attempt.transform("nunique"))
    failed = counted[~counted.answered]
    failures = failed.groupby(["instance", "url"]).attempt.transform("nunique")
    severity = (failures < failed.attempts).map({True: "high", False: "critical"})
    return failed.assign(failures=failures, severity=severity, words=failed.hop.map(HOP_IN_WORDS))


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    because="answered with HTTP status {status}{where} (asked from {asked_from})",
    guide=("C060",),
)
def every_address_says_that_it_is_well(probe_answers):
    """Every address answers with a status of success (2xx).

    5xx is the service's own fault, or that of what it needs. Of medium weight: 4xx (the path is wrong, or it asks who we are), and
    3xx (it sends us on, where we don't follow).
    """
    rows = probe_answers[~probe_answers.status.between(200, 299)]
    where = (", which leads to " + rows.leads_to).where(rows.leads_to != "", "")
    severity = (rows.status >= 500).map({True: "critical", False: "medium"})
    return rows.assign(where=where, severity=severity).sort_values("status", ascending=False)


@check(
    section="04",
    severity="medium",
    subject="{instance}: {url}",
    because="{words} took {took_ms:,.0f} ms (median of {attempts} attempts; limit {limit_ms:,.0f} ms; asked from {asked_from})",
    guide=("C051", "C052", "C053", "C060"),
)
def every_hop_is_quick(probe_hops, probe_answers, *, max_dns_ms=100, max_ms=1000):
    """A name is found within {max_dns_ms:number} ms, and each other hop takes {max_ms:number} ms at most.

    100 ms for a name: Coroot's; one second: the alert on slow probes of awesome-prometheus-alerts. A hop over a long distance is slow by
    nature: what is judged is the way from where we stand, of requests that were answered.
    """
    keys = ["instance", "url", "hop", "asked_from"]
    rows = (
        probe_hops[probe_hops.answered]
        .groupby(keys, sort=False)
        .agg(took_ms=("took_ms", "median"), attempts=("attempt", "nunique"), asked_at=("asked_at", "max"))
    )
    rows = rows.reset_index()
    limit_ms = rows.hop.map({"dns": max_dns_ms}).fillna(max_ms)
    rows = rows.assign(limit_ms=limit_ms, words=rows.hop.map(HOP_IN_WORDS))
    return rows[rows.took_ms > rows.limit_ms].sort_values("took_ms", ascending=False)


@check(
    section="04",
    severity="medium",
    subject="{instance}: {url}",
    because="its clock is {seconds:seconds} {side} ours (limit {max_s:seconds})",
    guide=("C064",),
)
def clocks_agree(probe_clock, *, max_s=5):
    """The clock of every server differs from ours by {max_s:seconds} at most.

    One of the two is wrong. Certificates and tokens that are fresh are refused by who is behind, and those that have ended are accepted.
    The Date of an answer has whole seconds. 5 s: a choice of ours; a token's leeway is usually some seconds.
    """
    return _apart(probe_clock, max_s)


@check(
    section="04",
    severity="high",
    subject="{instance}",
    because="its clock is {seconds:seconds} {side} ours (limit {max_s:seconds})",
    guide=("C064",),
)
def every_system_has_our_time(systems_reached, *, max_s=5):
    """The clock of every system that tells its time differs from ours by {max_s:seconds} at most.

    One of the two is wrong. What a database dates by itself is dated wrongly then, for ever: lines that were just written are not among
    the newest, and what was to end at some time ends earlier or later. PgBouncer and DNS tell no time. 5 s: a choice of ours, as for
    addresses (`clocks_agree`).
    """
    return _apart(systems_reached, max_s)


def _apart(clocks: pd.DataFrame, max_s: float) -> pd.DataFrame:
    ahead = (clocks.clock_offset_s > 0).map({True: "ahead of", False: "behind"})
    rows = clocks.assign(seconds=clocks.clock_offset_s.abs(), side=ahead)
    return rows[rows.seconds > max_s].sort_values("seconds", ascending=False)


@check(
    section="04",
    severity="critical",
    subject="{instance}: {flow}",
    because="network policies don't let it pass, from {client_pod} to {server}: {why}",
    guide=("C051", "C054", "C055", "C131"),
)
def no_policy_blocks_a_needed_flow(k8s_flows, k8s_policy_rules):
    """Network policies let every connection pass that the platform file says is needed (`flows`).

    What a policy drops looks like a server that hangs: the client waits until it gives up. Judged by the semantics of the API, in
    both directions. Whether the network plugin enforces policies, and kinds of policies of its own, can't be seen here.
    """
    verdicts = judged(k8s_flows, k8s_policy_rules)
    allowed = pd.Series([one.allowed for one in verdicts], index=k8s_flows.index, dtype=bool)
    rows = k8s_flows.assign(why=[one.why for one in verdicts])
    return rows.assign(server=rows.server_pod.where(rows.server_pod != "", rows.server_address))[~allowed]

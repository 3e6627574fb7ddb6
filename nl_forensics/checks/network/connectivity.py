"""Rules about connectivity: to an address, hop by hop from here, and between services through network policies."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.network_policy import judged
from nl_forensics.sources.systems import WITHOUT_CLOCK

HOP_IN_WORDS = {"dns": "DNS lookup", "tcp": "TCP connect", "tls": "TLS handshake", "http": "HTTP request"}


@check(
    section="04",
    severity="critical",
    subject="{instance}: {url}",
    high="failures < attempts",
    because="{words} failed in {failures} of {attempts} attempts: {why}; checked from {asked_from}",
    guide=("C051", "C052", "C053", "C060"),
)
def every_address_is_reached(probe_hops):
    """Every attempt reaches every address: name lookup, connection, TLS handshake and request succeed.

    The failing hop shows where to search: DNS lookup, the name servers; TCP connect, a firewall or no listener; TLS, the server's
    certificate; HTTP, the service itself. Occasional failures count, too: a name with one dead address, or a service at its limit.
    """
    counted = probe_hops.assign(attempts=probe_hops.groupby(["instance", "url"]).attempt.transform("nunique"))
    failed = counted[~counted.answered]
    failures = failed.groupby(["instance", "url"]).attempt.transform("nunique")
    return failed.assign(failures=failures, words=failed.hop.map(HOP_IN_WORDS))


@check(
    section="04",
    severity="medium",
    critical="status >= 500",
    subject="{instance}: {url}",
    because="HTTP status {status}{where}; checked from {asked_from}",
    guide=("C060",),
)
def every_address_answers_with_success(probe_answers):
    """Every address answers with a success status (2xx).

    5xx, critical: the service or one of its dependencies fails. Medium: 4xx (wrong path, or authentication required) and 3xx (a redirect,
    which is not followed).
    """
    rows = probe_answers[~probe_answers.status.between(200, 299)]
    where = (", redirects to " + rows.leads_to).where(rows.leads_to != "", "")
    return rows.assign(where=where).sort_values("status", ascending=False)


@check(
    section="04",
    severity="medium",
    subject="{instance}: {url}",
    because="{words} took {took_ms:,.0f} ms (median of {attempts} attempts, limit {limit_ms:,.0f} ms); checked from {asked_from}",
    guide=("C051", "C052", "C053", "C060"),
)
def every_hop_is_quick(probe_hops, probe_answers, *, max_dns_ms=100, max_ms=1000):
    """Every DNS lookup takes at most {max_dns_ms:number} ms, and every other hop at most {max_ms:number} ms.

    100 ms for DNS: Coroot; one second: the alert on slow probes of awesome-prometheus-alerts. Long distances are slow by nature: the
    path from here is judged, and only answered requests.
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
    because="clock is {seconds:seconds} {side} ours (limit {max_s:seconds})",
    guide=("C064",),
)
def clocks_agree(probe_clock, *, max_s=5):
    """The clock of every server differs from ours by at most {max_s:seconds}.

    One of the two is wrong. A server with a slow clock rejects fresh certificates and tokens, and accepts expired ones.
    The Date header has whole seconds. 5 s: a choice of ours; the leeway of tokens is usually some seconds.
    """
    return _apart(probe_clock, max_s)


@check(
    section="04",
    severity="high",
    subject="{instance}",
    because="clock is {seconds:seconds} {side} ours (limit {max_s:seconds})",
    guide=("C064",),
)
def every_system_has_our_time(systems_reached, *, max_s=5):
    """The clock of every system that reports its time differs from ours by at most {max_s:seconds}.

    One of the two is wrong. A database with a wrong clock stores wrong times for good: the newest lines are not sorted as the newest,
    and deadlines pass early or late. PgBouncer and DNS report no time. 5 s: a choice of ours, as for addresses (`clocks_agree`).
    """
    return _apart(systems_reached[~systems_reached.system.isin(WITHOUT_CLOCK)], max_s)


def _apart(clocks: pd.DataFrame, max_s: float) -> pd.DataFrame:
    ahead = (clocks.clock_offset_s > 0).map({True: "ahead of", False: "behind"})
    rows = clocks.assign(seconds=clocks.clock_offset_s.abs(), side=ahead)
    return rows[rows.seconds > max_s].sort_values("seconds", ascending=False)


@check(
    section="04",
    severity="critical",
    subject="{instance}: {flow}",
    because="blocked by network policy from {client_pod} to {server}; {why}",
    guide=("C051", "C054", "C055", "C131"),
)
def no_policy_blocks_a_needed_flow(k8s_flows, k8s_policy_rules):
    """Network policies allow every connection that the platform file declares as needed (`flows`).

    A dropped connection is a timeout for the client, as with a hanging server. Judged by the semantics of the API, in both directions.
    Whether the network plugin enforces policies, and policies of its own kinds, are not visible here.
    """
    verdicts = judged(k8s_flows, k8s_policy_rules)
    allowed = pd.Series([one.allowed for one in verdicts], index=k8s_flows.index, dtype=bool)
    rows = k8s_flows.assign(why=[one.why for one in verdicts])
    return rows.assign(server=rows.server_pod.where(rows.server_pod != "", rows.server_address))[~allowed]

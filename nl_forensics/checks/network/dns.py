"""Rules about the cluster's DNS: by the counters of CoreDNS over the incident, and by its answers now."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each

FAILED = ("SERVFAIL", "REFUSED", "FORMERR", "NOTIMP")
INSTANCE = ["instance"]


@check(
    section="04",
    severity="high",
    subject="{instance}: CoreDNS",
    because="{failed_ratio:percent} of requests failed with {codes} at {worst_at:%H:%M:%S} UTC (limit {max_ratio:percent}); above the limit"
    " {span}",
    at="at",
    guide=("C051", "C052", "C131"),
)
def names_are_answered(prom_dns_answers, *, max_ratio=0.01):
    """CoreDNS failed at most {max_ratio:percent} of the requests in every step of the incident.

    SERVFAIL, REFUSED and the like: pods can't resolve services or external names. NXDOMAIN is no failure, as clients try each search
    domain in turn. 1 %: the guide's review.
    """
    table = during(prom_dns_answers)
    failed = table[table.rcode.isin(FAILED) & (table.answers_per_s > 0)]
    whole = table.groupby([*INSTANCE, "at"]).answers_per_s.sum().rename("all_per_s")
    rows = failed.groupby([*INSTANCE, "at"]).agg(failed_per_s=("answers_per_s", "sum"), codes=("rcode", _in_words))
    rows = rows.join(whole).reset_index()
    rows = rows.assign(failed_ratio=rows.failed_per_s / rows.all_per_s)
    return _asked_at(worst_of_each(rows[rows.failed_ratio > max_ratio], INSTANCE, "failed_ratio"), prom_dns_answers)


def _in_words(codes: pd.Series) -> str:
    return ", ".join(sorted(codes))


def _asked_at(rows: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    return rows.join(table.groupby("instance").asked_at.max(), on="instance")


@check(
    section="04",
    severity="medium",
    subject="{instance}: CoreDNS",
    because="p99 latency {p99_ms:,.0f} ms at {worst_at:%H:%M:%S} UTC (limit {max_ms:number} ms); above the limit {span}",
    at="at",
    guide=("C052",),
)
def names_are_answered_quickly(prom_dns_slowest, *, max_ms=1000):
    """The p99 latency of CoreDNS was at most {max_ms:number} ms in every step of the incident.

    Every new connection waits for DNS. One second: the guide's review; external names are slower by nature.
    """
    table = during(prom_dns_slowest)
    return worst_of_each(table[table.p99_ms > max_ms], INSTANCE, "p99_ms")


@check(
    section="04",
    severity="critical",
    subject="{instance}: CoreDNS",
    because="panicked {span} ({panics:.0f} recovered panics within a few minutes)",
    at="at",
    guide=("C052",),
)
def core_dns_does_not_crash(prom_dns_panics):
    """CoreDNS did not panic.

    Each panic loses a request: awesome-prometheus-alerts (CoreDNSPanicCount).
    """
    table = during(prom_dns_panics)
    return worst_of_each(table[table.panics > 0], INSTANCE, "panics")


@check(
    section="04",
    severity="high",
    critical="failures == attempts",
    subject="{instance}: {name}",
    because="{failures} of {attempts} lookups failed; {said}",
    guide=("C052",),
)
def names_lead_where_kubernetes_says(dns_names, k8s_services, k8s_endpoints):
    """The name of every service resolves to the address that Kubernetes gave the service, or to its ready pods.

    No answer or another one: DNS is out of date, as after it lost the API server, or another server answers for the name. Critical where
    every lookup of a name fails: no client can connect to the service. Only existing services are judged.
    """
    known = _addresses(k8s_services, k8s_endpoints)
    places = list(zip(dns_names.namespace, dns_names.service, strict=True))
    rows = dns_names.assign(
        expected=[known.get(place) for place in places],
        attempts=dns_names.groupby(["instance", "name"]).attempt.transform("nunique"),
    )
    rows = rows[rows.expected.notna()]
    astray = pd.Series([not _leads_there(row) for row in rows.itertuples()], index=rows.index, dtype=bool)
    rows = rows[astray]
    failures = rows.groupby(["instance", "name"]).attempt.transform("nunique")
    return rows.assign(failures=failures, said=[_describe(row) for row in rows.itertuples()])


def _addresses(services: pd.DataFrame, endpoints: pd.DataFrame) -> dict[tuple[str, str], set[str]]:
    """Of each service its own, or those of its ready pods if it is headless. Without services that are only another name."""
    ready = endpoints[endpoints.ready].groupby(["namespace", "service"]).address.agg(set).to_dict()
    own = services[services.type != "ExternalName"]
    return {
        (row.namespace, row.name): ready.get((row.namespace, row.name), set())
        if row.cluster_ip == "None"
        else {row.cluster_ip}
        for row in own.itertuples(index=False)
    }


def _leads_there(row) -> bool:
    found = set(row.addresses.split(", ")) if row.addresses else set()
    return row.rcode == "NOERROR" and found <= row.expected and bool(found) == bool(row.expected)


def _describe(row) -> str:
    if row.why:
        return f"no answer: {row.why}"
    expected = ", ".join(sorted(row.expected)) or "nothing"
    return f"{row.rcode}, resolves to {row.addresses or 'nothing'}, Kubernetes has {expected}"

"""Rules about the cluster's DNS: by what CoreDNS counts over the incident, and by what it answers now."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each

FAILED = ("SERVFAIL", "REFUSED", "FORMERR", "NOTIMP")
INSTANCE = ["instance"]


@check(
    section="04",
    severity="high",
    subject="{instance}: CoreDNS",
    because="answered {failed_ratio:percent} of the requests with {codes} at {worst_at:%H:%M:%S} UTC (limit {max_ratio:percent}); above the"
    " limit {span}",
    at="at",
    guide=("C051", "C052", "C131"),
)
def names_are_answered(prom_dns_answers, *, max_ratio=0.01):
    """CoreDNS failed to answer {max_ratio:percent} of the requests at most, in every step of the incident.

    SERVFAIL and its like: pods can't find their services, or what is outside. NXDOMAIN is no failure, as clients try each search domain
    in turn. 1 %: of the guide's review.
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
    return rows.assign(asked_at=rows.instance.map(table.groupby("instance").asked_at.max()))


@check(
    section="04",
    severity="medium",
    subject="{instance}: CoreDNS",
    because="took {p99_ms:,.0f} ms for 1 % of the requests at {worst_at:%H:%M:%S} UTC (limit {max_ms:number} ms); above the limit {span}",
    at="at",
    guide=("C052",),
)
def names_are_answered_quickly(prom_dns_slowest, *, max_ms=1000):
    """CoreDNS answered 99 % of the requests within {max_ms:number} ms, in every step of the incident.

    Every new connection waits for it. One second: of the guide's review; what it asks outside of the cluster is slow by nature.
    """
    table = during(prom_dns_slowest)
    return worst_of_each(table[table.p99_ms > max_ms], INSTANCE, "p99_ms")


@check(
    section="04",
    severity="critical",
    subject="{instance}: CoreDNS",
    because="caught a crash of its own ({panics:.0f} in a few minutes), {span}",
    at="at",
    guide=("C052",),
)
def core_dns_does_not_crash(prom_dns_panics):
    """CoreDNS caught no crash of its own.

    A request is lost each time; the alert CoreDNSPanicCount of awesome-prometheus-alerts.
    """
    table = during(prom_dns_panics)
    return worst_of_each(table[table.panics > 0], INSTANCE, "panics")


@check(
    section="04",
    severity="high",
    subject="{instance}: {name}",
    because="{said} ({failures} of {attempts} look-ups)",
    guide=("C052",),
)
def names_lead_where_kubernetes_says(dns_names, k8s_services, k8s_endpoints):
    """The name of every service that is looked up leads to the address that Kubernetes gave the service, or to its ready pods.

    No answer, or another: the DNS is behind, as after it lost the API server, or somebody else answers for the name. Critical where
    every look-up of a name fails: who opens a connection to the service can't. Judged are services that there are.
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
    severity = (failures == rows.attempts).map({True: "critical", False: "high"})
    return rows.assign(failures=failures, severity=severity, said=[_told(row) for row in rows.itertuples()])


def _addresses(services: pd.DataFrame, endpoints: pd.DataFrame) -> dict[tuple[str, str], set[str]]:
    """Of each service: its own, or, where it is headless, those of its ready pods. Not of one that is only another name."""
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


def _told(row) -> str:
    if row.why:
        return f"no answer: {row.why}"
    expected = ", ".join(sorted(row.expected)) or "nothing"
    return f"{row.rcode}, leads to {row.addresses or 'nothing'}, while Kubernetes says {expected}"

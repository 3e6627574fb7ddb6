"""The cluster's DNS, as CoreDNS tells Prometheus: what pods are answered, and how fast. From outside, nobody can ask in their place."""

from nl_forensics.sources.prometheus.series import series

series(
    "prom_dns_answers",
    "sum by (rcode) (rate(coredns_dns_responses_total{{{dns}}}[{range}]))",
    value="answers_per_s",
    labels=("rcode",),
    guide=("C051", "C052"),
    doc="""Answers of CoreDNS a second, by their code.

    rcode   `NOERROR`; `NXDOMAIN`, which is usual: clients try each search domain in turn; `SERVFAIL`, `REFUSED`: it failed""",
)

series(
    "prom_dns_slowest",
    "1000 * histogram_quantile(0.99, sum by (le) (rate(coredns_dns_request_duration_seconds_bucket{{{dns}}}[{range}])))",
    value="p99_ms",
    labels=(),
    guide=("C052",),
    doc="""Time within which CoreDNS answered 99 % of the requests, milliseconds; as exact as the buckets of its histogram.

    What it has in its cache is in it, as is what it asks of name servers outside of the cluster.""",
)

series(
    "prom_dns_panics",
    "sum(increase(coredns_panics_total{{{dns}}}[{range}]))",
    value="panics",
    labels=(),
    guide=("C052",),
    doc="""How often CoreDNS caught a crash of its own in the time of a rate before each step.""",
)

"""The cluster's DNS, as CoreDNS reports it to Prometheus: what pods are answered, and how fast. It can't be measured from outside."""

from nl_forensics.sources.prometheus.series import series

series(
    "prom_dns_answers",
    "sum by (rcode) (rate(coredns_dns_responses_total{{{dns}}}[{range}]))",
    value="answers_per_s",
    meaning="responses with this code",
    labels=("rcode",),
    guide=("C051", "C052"),
    doc="""Responses of CoreDNS by code, per step.""",
)

series(
    "prom_dns_slowest",
    "1000 * histogram_quantile(0.99, sum by (le) (rate(coredns_dns_request_duration_seconds_bucket{{{dns}}}[{range}])))",
    value="p99_ms",
    meaning="p99 latency of requests to CoreDNS, as precise as the buckets of its histogram",
    labels=(),
    guide=("C052",),
    doc="""p99 latency of CoreDNS, per step.

    Cached responses are included, as are requests to name servers outside the cluster.""",
)

series(
    "prom_dns_panics",
    "sum(increase(coredns_panics_total{{{dns}}}[{range}]))",
    value="panics",
    meaning="crashes that CoreDNS caught in the range before the step",
    labels=(),
    guide=("C052",),
    doc="""Panics of CoreDNS, per step.""",
)

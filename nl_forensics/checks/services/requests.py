"""Rules about single requests, by the logs of services."""

import pandas as pd

from nl_forensics.checks.rule import Unseen, check
from nl_forensics.facts.kubernetes.lines import dated_lines

SERVICE = ["instance", "namespace", "workload", "container"]
REMEDY = "log method, route, status and duration of each request in the gateway; see `nl-forensics sources k8s_logs`"

# Of Kubernetes and Prometheus, not of customers: paths by their usual names.
PROBE = r"(?:^| )/(?:health|healthz|livez|readyz|live|liveness|ready|readiness|metrics|ping)(?:/|$)"


def requests_in_logs(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame) -> pd.DataFrame:
    """The lines with the duration of a request, without probes and scrapes."""
    rows = dated_lines(k8s_unhealthy_logs, k8s_logs)
    rows = rows[rows.took_ms.notna()]
    return rows[(rows.request != "") & ~rows.request.str.contains(PROBE)]


def by_route(requests: pd.DataFrame) -> pd.DataFrame:
    """One row per service and route: `requests`, `total_ms` of all of them and its `share` of that of the service, `p50_ms`, `p95_ms`,
    `upstream_ratio`: the part of the time that was spent waiting for upstream, of the lines that record it; null where none does.
    """
    known = requests.took_ms.where(requests.upstream_ms.notna())
    rows = requests.assign(known_ms=known).groupby([*SERVICE, "request"], as_index=False, sort=False)
    found = rows.agg(
        requests=("took_ms", "size"),
        total_ms=("took_ms", "sum"),
        p50_ms=("took_ms", "median"),
        p95_ms=("took_ms", lambda took: took.quantile(0.95)),
        known_ms=("known_ms", "sum"),
        upstream_ms=("upstream_ms", "sum"),
        asked_at=("asked_at", "max"),
    )
    of_service = found.groupby(SERVICE).total_ms.transform("sum")
    ratio = found.upstream_ms / found.known_ms.where(found.known_ms > 0)
    return found.assign(share=found.total_ms / of_service.where(of_service > 0), upstream_ratio=ratio.clip(upper=1))


def _seen(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame) -> pd.DataFrame:
    requests = requests_in_logs(k8s_unhealthy_logs, k8s_logs)
    if requests.empty:
        raise Unseen("no line of any log has the duration of a request", REMEDY)
    return requests


@check(
    section="03",
    severity="medium",
    subject="{namespace}/{workload}: {request}",
    because="p95 latency {p95_ms:,.0f} ms ({requests:number} requests, limit {max_ms:,.0f} ms), {share:percent} of all request time (limit "
    "{max_share:percent}); p50 {p50_ms:,.0f} ms, slow requests from {first_at:%H:%M:%S} to {last_at:%H:%M:%S} UTC; {upstream}",
    at="last_at",
    guide=("C035",),
)
def no_slow_route_takes_most_of_the_time(k8s_unhealthy_logs, k8s_logs, *, max_share=0.3, max_ms=1000, min_requests=10):
    """No slow route takes more than {max_share:percent} of the request time of its service, by its log.

    The load is the sum of a route's requests: a rare slow one is no load. 30 % is the share at which tools for pg_stat_statements report
    a statement; slow are routes with a p95 above a second, and at least 10 requests: choices of ours.
    """
    requests = _seen(k8s_unhealthy_logs, k8s_logs)
    slow = requests[requests.took_ms > max_ms].groupby([*SERVICE, "request"])["at"].agg(first_at="min", last_at="max")
    rows = by_route(requests).join(slow, on=[*SERVICE, "request"])
    rows = rows[(rows.share > max_share) & (rows.p95_ms > max_ms) & (rows.requests >= min_requests)]
    upstream = [
        "its log does not record the time spent waiting for upstream"
        if pd.isna(ratio)
        else f"{ratio * 100:.0f} % of it was spent waiting for upstream"
        for ratio in rows.upstream_ratio
    ]
    return rows.assign(upstream=upstream).sort_values("share", ascending=False)


@check(
    section="03",
    severity="note",
    subject="{namespace}/{workload}",
    because="{slow:number} of {requests:number} requests took over {max_ms:,.0f} ms, {ratio:percent} of that time waiting for upstream "
    "(limit {max_ratio:percent}); mostly {request}",
    at="last_at",
    guide=("C035",),
)
def slow_answers_are_slow_by_themselves(k8s_unhealthy_logs, k8s_logs, *, max_ms=1000, max_ratio=0.8, min_requests=5):
    """No service is slow only because it waits for its upstream, by its log.

    Where nearly all of the time is upstream time, the cause is upstream, and neither CPU nor replicas of this service help: examine the
    upstream. A second, 80 % and 5 requests: choices of ours. Services that do not log the upstream time are not judged.
    """
    requests = _seen(k8s_unhealthy_logs, k8s_logs)
    known = requests[requests.upstream_ms.notna()]
    if known.empty:
        raise Unseen("no line of any log has the time spent waiting for upstream", REMEDY)
    rows = known.assign(is_slow=known.took_ms > max_ms)
    slow = rows[rows.is_slow].sort_values("at")
    found = slow.groupby(SERVICE, as_index=False).agg(
        slow=("is_slow", "size"),
        took_ms=("took_ms", "sum"),
        upstream_ms=("upstream_ms", "sum"),
        request=("request", lambda routes: routes.mode().iloc[0]),
        last_at=("at", "max"),
        asked_at=("asked_at", "max"),
    )
    found = found.join(rows.groupby(SERVICE).size().rename("requests"), on=SERVICE)
    found = found.assign(ratio=(found.upstream_ms / found.took_ms).clip(upper=1))
    return found[(found.slow >= min_requests) & (found.ratio >= max_ratio)].sort_values("slow", ascending=False)

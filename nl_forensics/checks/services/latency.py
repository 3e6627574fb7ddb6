"""Rules about the latency of services, by the histograms of all their pods, over the whole incident."""

import pandas as pd

from nl_forensics.checks.rows import usual
from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each
from nl_forensics.units import in_seconds

SERVICE = ["instance", "namespace", "service"]
STEP = ["window", "at", *SERVICE]
RANGE_S = 300  # what a step covers
MIN_REQUESTS_FOR_P99 = 100  # of fewer, p99 leaves out not even one


def _requests(prom_route_requests: pd.DataFrame) -> pd.DataFrame:
    """Requests of each service in the minutes that a step covers."""
    rows = prom_route_requests.groupby(STEP, as_index=False)
    found = rows.agg(requests_per_s=("requests_per_s", "sum"), asked_at=("asked_at", "max"))
    return found.assign(requests=found.requests_per_s * RANGE_S)


def _slowest_route(prom_route_latency_p95: pd.DataFrame) -> pd.Series:
    """Of each service and step, in words."""
    rows = prom_route_latency_p95.sort_values("p95_s").drop_duplicates(STEP, keep="last").set_index(STEP)
    return (rows.route + " " + rows.p95_s.map(in_seconds)).rename("slowest")


def _before(table: pd.DataFrame, value: str, of_all="median") -> pd.Series:
    """The median (or another one) over the baseline of each service."""
    return table[table.window == "baseline"].groupby(SERVICE)[value].agg(of_all).rename("before")


@check(
    section="03",
    severity="medium",
    subject="{namespace}/{service}",
    high="p95_s > max_s",
    because="{quantile} latency {took_s:seconds} at {worst_at:%H:%M:%S} UTC ({requests:number} requests{few}, limit {max_s:seconds}); "
    "slowest route (p95): {slowest}; {usual}; above the limit {span}",
    at="at",
    guide=("C034", "C035"),
)
def services_answer_quickly(
    prom_latency_p99, prom_latency_p95, prom_route_latency_p95, prom_route_requests, *, max_s=3, min_requests=20
):
    """The p99 latency of every service is at most {max_s:seconds}.

    3 s: awesome-prometheus-alerts. With fewer than 100 requests in the 5 minutes that a step covers, p99 is the slowest request: then p95
    is judged, and with fewer than 20 (a choice of ours) nothing. High where p95 exceeds the limit. Latency propagates to the callers:
    begin with the slow service furthest downstream.
    """
    table = prom_latency_p95.merge(prom_latency_p99[[*STEP, "p99_s"]], on=STEP).merge(
        _requests(prom_route_requests)[[*STEP, "requests"]], on=STEP
    )
    enough = table.requests >= MIN_REQUESTS_FOR_P99
    quantile = enough.map({True: "p99", False: "p95"})
    table = table.assign(took_s=table.p99_s.where(enough, table.p95_s), quantile=quantile)
    slow = during(table[(table.requests >= min_requests) & (table.took_s > max_s)])
    rows = worst_of_each(slow, SERVICE, "took_s").join(_before(table, "took_s"), on=SERVICE)
    at_worst = [rows.window, rows.worst_at, *(rows[name] for name in SERVICE)]
    slowest = _slowest_route(prom_route_latency_p95).reindex(pd.MultiIndex.from_arrays(at_worst)).to_numpy()
    few = (rows.requests < MIN_REQUESTS_FOR_P99).map({True: ", too few for p99", False: ""})
    return rows.assign(slowest=slowest, few=few, usual=usual(rows.before, in_seconds))


@check(
    section="03",
    severity="medium",
    subject="{namespace}/{service}",
    because="p95 latency {p95_s:seconds} at {worst_at:%H:%M:%S} UTC, {before:seconds} in the baseline (limit {factor:.0f}×, and "
    "{min_s:seconds} more); above the limit {span}",
    at="at",
    baseline=True,
    guide=("C034",),
)
def services_are_as_fast_as_before(
    prom_latency_p95, prom_route_requests, *, factor=2, min_s=0.25, max_s=3, min_requests=20
):
    """The p95 latency of every service is below {factor:.0f} times that of the baseline.

    Twice as long, and a quarter of a second more, over two steps at least, are choices of ours. Services with 20 requests in the 5 minutes
    that a step covers, and some in the baseline, are judged. Above 3 s, services_answer_quickly reports it.
    """
    table = prom_latency_p95.merge(_requests(prom_route_requests)[[*STEP, "requests"]], on=STEP)
    table = table[table.requests >= min_requests]
    table = table.join(_before(table, "p95_s"), on=SERVICE)
    slower = (table.p95_s >= factor * table.before) & (table.p95_s >= table.before + min_s)
    rows = worst_of_each(during(table[slower]), SERVICE, "p95_s")
    return rows[(rows.steps >= 2) & (rows.p95_s <= max_s)]


@check(
    section="03",
    severity="note",
    subject="{namespace}/{service}",
    because="{requests_per_s:.2g} requests/s at {worst_at:%H:%M:%S} UTC, at most {before:.2g}/s in the baseline (limit {factor:.0f}×);"
    " above the limit {span}",
    at="at",
    baseline=True,
    guide=("C034", "C039"),
)
def no_service_gets_many_more_requests(prom_route_requests, *, factor=2, min_per_s=1):
    """No service gets {factor:.0f} times as many requests as at any time of the baseline.

    More load is not a fault, but it slows down a service that is sized for less. Twice as many, and one per second more: choices of ours;
    for services with requests in the baseline. Compared with its maximum, since the rate of a pod that has just started is too low.
    """
    table = _requests(prom_route_requests)
    table = table.join(_before(table, "requests_per_s", "max"), on=SERVICE)
    more = (table.before > 0) & (table.requests_per_s >= factor * table.before)
    rows = table[more & (table.requests_per_s >= table.before + min_per_s)]
    return worst_of_each(during(rows), SERVICE, "requests_per_s")

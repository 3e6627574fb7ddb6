"""Rules about how long services take to answer, by their histograms: of all their pods, over the whole incident."""

import pandas as pd

from nl_forensics.checks.rows import usual
from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each
from nl_forensics.units import in_seconds

SERVICE = ["instance", "namespace", "service"]
STEP = ["window", "at", *SERVICE]
RANGE_S = 300  # what a step looks back
ENOUGH_FOR_99 = 100  # requests: of fewer, 99 % leaves out not even one


def _requests(prom_route_requests: pd.DataFrame) -> pd.DataFrame:
    """Requests of each service in the minutes that a step looks back."""
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
    because="{share} of its requests took up to {took_s:seconds} at {worst_at:%H:%M:%S} UTC (limit {max_s:seconds}), of {requests:number}"
    "{few}; the slowest route, 95 %: {slowest}; {usual}; above the limit {span}",
    at="at",
    guide=("C034", "C035"),
)
def services_answer_quickly(
    prom_latency_p99, prom_latency_p95, prom_route_latency_p95, prom_route_requests, *, max_s=3, min_requests=20
):
    """Every service answers 99 % of its requests within {max_s:seconds}.

    3 s: awesome-prometheus-alerts. Of fewer than 100 requests in the 5 minutes that a step looks back, 99 % are all but the slowest one at
    most: then 95 % are judged, and of fewer than 20 (our own) nothing. High where already 95 % take longer than the limit. Slowness goes up
    the chain of callers: begin with the slow service that waits for no other.
    """
    table = prom_latency_p95.merge(prom_latency_p99[[*STEP, "p99_s"]], on=STEP).merge(
        _requests(prom_route_requests)[[*STEP, "requests"]], on=STEP
    )
    enough = table.requests >= ENOUGH_FOR_99
    table = table.assign(took_s=table.p99_s.where(enough, table.p95_s), share=enough.map({True: "99 %", False: "95 %"}))
    slow = during(table[(table.requests >= min_requests) & (table.took_s > max_s)])
    rows = worst_of_each(slow, SERVICE, "took_s").join(_before(table, "took_s"), on=SERVICE)
    at_worst = [rows.window, rows.worst_at, *(rows[name] for name in SERVICE)]
    slowest = _slowest_route(prom_route_latency_p95).reindex(pd.MultiIndex.from_arrays(at_worst)).to_numpy()
    few = (rows.requests < ENOUGH_FOR_99).map({True: ", too few to tell 99 %", False: ""})
    severity = (rows.p95_s > max_s).map({True: "high", False: "medium"})
    return rows.assign(slowest=slowest, few=few, severity=severity, usual=usual(rows.before, in_seconds))


@check(
    section="03",
    severity="medium",
    subject="{namespace}/{service}",
    because="95 % of its requests took up to {p95_s:seconds} at {worst_at:%H:%M:%S} UTC, {before:seconds} in the baseline (limits: "
    "{factor:.0f} times as long, and {min_s:seconds} more); longer than that {span}",
    at="at",
    baseline=True,
    guide=("C034",),
)
def services_are_as_fast_as_before(
    prom_latency_p95, prom_route_requests, *, factor=2, min_s=0.25, max_s=3, min_requests=20
):
    """Every service answers 95 % of its requests in less than {factor:.0f} times the time of the baseline.

    Twice as long, and a quarter of a second more, over two steps at least, are choices of ours. Judged are services with 20 requests in the
    5 minutes that a step looks back, and some in the baseline. What takes longer than 3 s is told by the rule about that.
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
    because="{requests_per_s:.2g} requests a second at {worst_at:%H:%M:%S} UTC, at most {before:.2g} in the baseline (limit {factor:.0f} "
    "times as many); more than that {span}",
    at="at",
    baseline=True,
    guide=("C034", "C039"),
)
def no_service_gets_many_more_requests(prom_route_requests, *, factor=2, min_per_s=1):
    """No service gets {factor:.0f} times as many requests as at any time of the baseline.

    More work is no fault, but it is what makes a service slow that was sized for less. Twice as many, and one a second more: choices of
    ours; of services that answered requests in the baseline. Against the most, since the rate of a pod that has just started is too low.
    """
    table = _requests(prom_route_requests)
    table = table.join(_before(table, "requests_per_s", "max"), on=SERVICE)
    more = (table.before > 0) & (table.requests_per_s >= factor * table.before)
    rows = table[more & (table.requests_per_s >= table.before + min_per_s)]
    return worst_of_each(during(rows), SERVICE, "requests_per_s")

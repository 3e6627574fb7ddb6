"""Rules about the services of the platform over the whole incident, by their metrics."""

import pandas as pd

from nl_forensics.checks.rows import usual
from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each
from nl_forensics.sources.prometheus.services import errors_by_service

SERVICE = ["instance", "namespace", "service"]


@check(
    section="02",
    severity="high",
    critical="up_ratio == 0",
    subject="{namespace}/{service}",
    because="{answering} answered scrapes {span}",
    at="at",
    guide=("C022", "C026"),
)
def every_service_answers_prometheus(prom_service_up, *, min_steps=4):
    """Every pod of every service answered Prometheus during the whole incident, except for moments.

    A pod that does not answer within the scrape timeout rarely serves customers: it is gone, hangs, or is unreachable. Critical where no
    pod of a service answered, high where some did not. Four steps, a minute at least: awesome-prometheus-alerts; a rollout is shorter.
    """
    table = during(prom_service_up)
    none = worst_of_each(table[table.up_ratio == 0], SERVICE, "up_ratio", highest=False)
    none = none.assign(answering="no pod")[none.steps >= min_steps]
    some = worst_of_each(table[table.up_ratio.between(0, 1, "neither")], SERVICE, "up_ratio", highest=False)
    share = some.up_ratio.map(lambda ratio: f"only {ratio * 100:.0f} % of its pods")
    some = some.assign(answering=share)[some.steps >= min_steps]
    return pd.concat([none, some]).drop_duplicates(SERVICE)


@check(
    section="02",
    severity="critical",
    subject="{namespace}/{service}",
    because="{errors:number} of {requests:number} requests failed in {range_s:seconds} at {worst_at:%H:%M:%S} UTC ({error_ratio:percent},"
    " mostly {status}, limit {max_ratio:percent}); {usual}; above the limit {span}",
    at="at",
    guide=("C022", "C026"),
)
def services_answer_without_errors(prom_service_requests, *, max_ratio=0.05, min_requests=10, range_s=300):
    """No service failed more than {max_ratio:percent} of its requests (5xx).

    5 %: awesome-prometheus-alerts. 4xx are the caller's errors. Steps with fewer than 10 requests in the 5 minutes that they cover (a
    choice of ours) are left out: one error would be a large share. Errors propagate to the callers: begin with the failing service
    furthest downstream.
    """
    table = errors_by_service(prom_service_requests)
    before = table[table.window == "baseline"].groupby(SERVICE)[["errors_per_s", "requests_per_s"]].sum()
    before_ratio = (before.errors_per_s / before.requests_per_s.where(before.requests_per_s > 0)).rename("before_ratio")
    enough = table.requests_per_s * range_s >= min_requests
    broken = during(table[enough & (table.error_ratio > max_ratio)])
    rows = worst_of_each(broken, SERVICE, "error_ratio").join(before_ratio, on=SERVICE)
    errors, requests = rows.errors_per_s * range_s, rows.requests_per_s * range_s
    return rows.assign(
        errors=errors, requests=requests, usual=usual(rows.before_ratio, lambda ratio: f"{ratio * 100:.1f} %")
    )

"""The services of the platform, as they report to Prometheus: whether they answer, with how many errors, and what becomes of log lines.

How their metrics are called is in the platform file (`selectors`, `metrics`); with other labels, `promql` has the whole query.
"""

import pandas as pd

from nl_forensics.sources.prometheus.series import series

SERVICE = ("namespace", "service")
REJECTED = ("401", "403")
OF_TARGETS = 'label_replace(up{{{services}}}, "service", "$1", "{metrics.service_label}", "(.*)")'


def none_of(counter: str) -> str:
    """0 for each service that was scraped, so what it does not count did not happen; where no service counts it, that proves nothing."""
    counted = f"count(last_over_time({counter}[{{window}}] @ end()))"
    return f"0 * sum by (namespace, service) ({OF_TARGETS} == 1) and on () {counted}"


REQUESTS = "{metrics.requests}{{{requests}}}"

series(
    "prom_service_up",
    f"avg by (namespace, service) ({OF_TARGETS})",
    value="up_ratio",
    meaning="share of its targets (pods) that could be scraped",
    labels=SERVICE,
    each=SERVICE,
    about="metrics.service_label",
    guide=("C018", "C022", "C026"),
    doc="""Share of the targets of each service that answered Prometheus, per step.

    A pod that Prometheus does not know is not included.""",
)

series(
    "prom_service_requests",
    f"sum by (namespace, service, status) (rate({REQUESTS}[{{range}}])) or {none_of(REQUESTS)}",
    value="requests_per_s",
    meaning="requests answered with this status",
    labels=(*SERVICE, "status"),
    each=SERVICE,
    about="metrics.requests",
    guide=("C022", "C026"),
    doc="""Requests that each service answered, by HTTP status, per step.

    A row with an empty status shows only that the service was scraped, so that a status without a row did not occur. The label matchers of
    the platform file exclude probes and scrapes. Requests that never reached the service are not counted, nor is the first request of a
    status since the start of a pod: a counter has no growth at its first sample.""",
)

series(
    "prom_lines_accepted",
    "sum by (tenant) (rate({metrics.lines_accepted}{{{lines}}}[{range}]))",
    value="accepted_per_s",
    meaning="log lines accepted",
    labels=("tenant",),
    each=("tenant",),
    about="metrics.lines_accepted",
    guide=("C015", "C030", "C033"),
    doc="""Log lines that were accepted, by tenant, per step.

    An accepted line is not necessarily stored. A restart of the program makes no spike: a counter that restarts counts from zero.""",
)

series(
    "prom_lines_stored",
    "sum by (tenant) (rate({metrics.lines_stored}{{{lines}}}[{range}]))",
    value="stored_per_s",
    meaning="log lines stored, whenever they were accepted",
    labels=("tenant",),
    each=("tenant",),
    about="metrics.lines_stored",
    guide=("C015", "C030", "C033"),
    doc="""Log lines that were stored, by tenant, per step.""",
)


def errors_by_service(prom_service_requests: pd.DataFrame) -> pd.DataFrame:
    """Answers with a status of 5xx per service and step: `error_ratio` of `requests_per_s`, null where nothing was asked; `status`: the
    most frequent of them.
    """
    failed = prom_service_requests.status.str.startswith("5")
    return _share_of(prom_service_requests, failed, "errors_per_s", "error_ratio")


def rejected_by_service(prom_service_requests: pd.DataFrame) -> pd.DataFrame:
    """Answers with 401 or 403 per service and step, as `errors_by_service` has errors: `rejected_ratio`."""
    rejected = prom_service_requests.status.isin(REJECTED)
    return _share_of(prom_service_requests, rejected, "rejected_per_s", "rejected_ratio")


def _share_of(prom_service_requests: pd.DataFrame, counts: pd.Series, rate: str, ratio: str) -> pd.DataFrame:
    key = ["window", "at", "instance", "asked_at", *SERVICE]
    rows = prom_service_requests.assign(**{rate: prom_service_requests.requests_per_s.where(counts, 0.0)})
    rows = rows.sort_values(rate, ascending=False, kind="stable")
    found = rows.groupby(key, as_index=False).agg(
        requests_per_s=("requests_per_s", "sum"), **{rate: (rate, "sum"), "status": ("status", "first")}
    )
    asked = found.requests_per_s.where(found.requests_per_s > 0)
    return found.assign(**{ratio: found[rate] / asked})


def lines_by_tenant(prom_lines_accepted: pd.DataFrame, prom_lines_stored: pd.DataFrame) -> pd.DataFrame:
    """Accepted and stored lines per tenant and step, side by side; null where one of the two was not seen."""
    key = ["window", "at", "instance", "asked_at", "tenant"]
    stored = prom_lines_stored.drop(columns="asked_at")
    return prom_lines_accepted.merge(stored, on=[name for name in key if name != "asked_at"], how="left")

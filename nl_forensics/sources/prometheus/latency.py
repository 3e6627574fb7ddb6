"""How long the services of the platform took to answer, from their histograms.

Buckets are summed over the pods of a service before the quantile is taken: the mean of several quantiles is no quantile. A quantile is
exact only as far as its buckets are narrow, and never above the highest of them. Native histograms: name the queries in `promql`.
"""

from nl_forensics.sources.prometheus.series import series
from nl_forensics.sources.prometheus.services import SERVICE, none_of

ROUTE = (*SERVICE, "route")
ABOUT = "metrics.request_seconds"


def _counter(suffix: str) -> str:
    return f"{{metrics.request_seconds}}_{suffix}{{{{{{requests}}}}}}"


def _rate(suffix: str) -> str:
    return f"rate({_counter(suffix)}[{{range}}])"


def _by_route(suffix: str) -> str:
    return f"sum by (namespace, service, route) ({_rate(suffix)}) or {none_of(_counter(suffix))}"


def _quantile(share: float, by: tuple[str, ...]) -> str:
    """Where nothing was asked, it is not a number, and left out."""
    return f"histogram_quantile({share}, sum by (le, {', '.join(by)}) ({_rate('bucket')})) >= 0"


for percent in (50, 95, 99):
    series(
        f"prom_latency_p{percent}",
        _quantile(percent / 100, SERVICE),
        value=f"p{percent}_s",
        meaning=f"p{percent} latency of all requests to the service",
        labels=SERVICE,
        each=SERVICE,
        sparse=True,
        about=ABOUT,
        guide=("C034",),
        doc=f"""p{percent} latency of each service, per step; no row where there were no requests.

        With few requests it is the slowest of them: prom_route_requests has their number.""",
    )

series(
    "prom_route_latency_p95",
    _quantile(0.95, ROUTE),
    value="p95_s",
    meaning="p95 latency of the route",
    labels=ROUTE,
    each=SERVICE,
    sparse=True,
    about=ABOUT,
    guide=("C034", "C035"),
    doc="""p95 latency of each route of a service, per step; no row where there were no requests.""",
)

series(
    "prom_route_requests",
    _by_route("count"),
    value="requests_per_s",
    meaning="requests answered, with any status",
    labels=ROUTE,
    each=SERVICE,
    about=ABOUT,
    guide=("C034", "C035"),
    doc="""Requests that each route of a service answered, per step.

    A row with an empty route shows only that the service was scraped, so that a route without a row had no requests. The label matchers of
    the platform file exclude probes and scrapes. A counter has no growth at its first sample.""",
)

series(
    "prom_route_time",
    _by_route("sum"),
    value="busy_per_s",
    meaning="time that all requests to the route took: the mean number in progress at once",
    labels=ROUTE,
    each=SERVICE,
    about=ABOUT,
    guide=("C034", "C035", "C036"),
    doc="""Time that all requests to each route took together, per step.

    The share of a route in that of its service is its share of the time that customers wait; prom_database_time is the part that waits
    for the database. Rows with an empty route: as in prom_route_requests.""",
)

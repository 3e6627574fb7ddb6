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
        labels=SERVICE,
        each=SERVICE,
        sparse=True,
        about=ABOUT,
        guide=("C034",),
        doc=f"""Within how many seconds each service answered {percent} % of its requests, per step; no row where nothing was asked.

        Of few requests it is the slowest of them: prom_route_requests tells how many there were.""",
    )

series(
    "prom_route_latency_p95",
    _quantile(0.95, ROUTE),
    value="p95_s",
    labels=ROUTE,
    each=SERVICE,
    sparse=True,
    about=ABOUT,
    guide=("C034", "C035"),
    doc="""Within how many seconds each route of a service answered 95 % of its requests, per step; no row where nothing was asked.""",
)

series(
    "prom_route_requests",
    _by_route("count"),
    value="requests_per_s",
    labels=ROUTE,
    each=SERVICE,
    about=ABOUT,
    guide=("C034", "C035"),
    doc="""Requests that each route of a service answered a second, whatever came out.

    route   "" for a row that only says that the service was scraped, so that what is not counted did not happen

    Probes and scrapes are left out by the label matchers of the platform file. A counter that is born says nothing of its growth.""",
)

series(
    "prom_route_time",
    _by_route("sum"),
    value="busy_per_s",
    labels=ROUTE,
    each=SERVICE,
    about=ABOUT,
    guide=("C034", "C035", "C036"),
    doc="""Seconds that all requests to a route took together, per second: as many are at work at once, on average.

    The share of a route in it is its share of the time that customers wait; of that of the service, prom_database_time is spent waiting
    for the database. `route`: as in prom_route_requests.""",
)

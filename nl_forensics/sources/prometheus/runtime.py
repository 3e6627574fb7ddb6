"""Internals of the services, as they report them: garbage collection, pools of connections, waiting for the database.

How their metrics are called is in the platform file (`selectors`, `metrics`); with other labels, `promql` has the whole query.
"""

import pandas as pd

from nl_forensics.sources.prometheus.series import series
from nl_forensics.sources.prometheus.services import OF_TARGETS, SERVICE

FULLEST = 3  # pods of each service, so that an answer stays small
POD = "namespace, service, instance"


def _of_service(expression: str) -> str:
    """With the label of the target that names its service as `service`."""
    return f'label_replace({expression}, "service", "$1", "{{metrics.service_label}}", "(.*)")'


def _time(counter: str) -> str:
    """Seconds a second, by service; 0 where nothing was counted in a service that does count it."""
    spent = f"sum by (namespace, service) ({_of_service(f'rate({counter}[{{range}}])')})"
    scraped = f"sum by (namespace, service) ({OF_TARGETS} == 1)"
    counts = f"sum by (namespace, service) ({_of_service(f'last_over_time({counter}[{{window}}] @ end())')})"
    return f"{spent} or 0 * {scraped} and {counts}"


def _of_pool(name: str) -> str:
    """By pod, since each has a pool of its own: one that is full is not helped by the others."""
    gauge = _of_service(f"{{metrics.pool_{name}}}{{{{{{services}}}}}}")
    return f"sum by ({POD}) ({gauge})"


COLLECTING = 'rate({{__name__=~"{metrics.gc_seconds}",{services}}}[{range}])'
IN_USE, SIZE, WAITING = (_of_pool(name) for name in ("in_use", "size", "waiting"))
CHOSEN = (
    f"topk by (namespace, service) ({FULLEST}, avg_over_time(({IN_USE} / ({SIZE} > 0))[{{window}}:{{step}}] @ end()))"
)
POOL = ("target", *SERVICE)

series(
    "prom_gc_time",
    f"max by (namespace, service) (sum by ({POD}) ({_of_service(COLLECTING)}))",
    value="gc_ratio",
    meaning="share of its time that the pod spent in garbage collection; of each service, the pod with the highest",
    labels=SERVICE,
    each=SERVICE,
    about="metrics.gc_seconds",
    guide=("C034", "C048"),
    doc="""Garbage collection of services, per step.

    For runtimes that collect concurrently (Go), only the pauses count. A service without this metric has no row.""",
)

series(
    "prom_pool_in_use",
    f"{IN_USE} and {CHOSEN}",
    value="in_use",
    meaning="database connections in use at the time of a scrape",
    labels=POOL,
    each=SERVICE,
    about="metrics.pool_in_use",
    guide=("C034",),
    doc="""Connections in use of each pod's database pool; of each service the 3 pods with the highest use.

    `target` is the address of the pod. Several pools of one pod are added up. Peaks between two scrapes are not visible.""",
)

series(
    "prom_pool_size",
    f"{SIZE} and {CHOSEN}",
    value="size",
    meaning="connections that the pool can open",
    labels=POOL,
    each=SERVICE,
    about="metrics.pool_size",
    guide=("C034",),
    doc="""Size of the pools of prom_pool_in_use, per step.""",
)

series(
    "prom_pool_waiting",
    f"{WAITING} and {CHOSEN}",
    value="waiting",
    meaning="requests that waited for a connection at the time of a scrape",
    labels=POOL,
    each=SERVICE,
    about="metrics.pool_waiting",
    guide=("C034",),
    doc="""Waiting requests of the pools of prom_pool_in_use, per step.""",
)

series(
    "prom_database_time",
    _time("{metrics.database_seconds}{{{database}}}"),
    value="waiting_per_s",
    meaning="time that all requests waited for database statements: the mean number that wait at once",
    labels=SERVICE,
    each=SERVICE,
    about="metrics.database_seconds",
    guide=("C034", "C036"),
    doc="""Time that requests to a service waited for the database, per step.

    Waiting for a free connection of the pool is not included. The label matchers of the platform file exclude background work.""",
)


def pools(
    prom_pool_in_use: pd.DataFrame, prom_pool_size: pd.DataFrame, prom_pool_waiting: pd.DataFrame
) -> pd.DataFrame:
    """`in_use`, `size` and `waiting` of each pool and step, side by side."""
    steps = ["instance", "window", "at", *POOL]
    others = prom_pool_size[[*steps, "size"]].merge(prom_pool_waiting[[*steps, "waiting"]], on=steps)
    return prom_pool_in_use.merge(others, on=steps)


def database_share(prom_database_time: pd.DataFrame, prom_route_time: pd.DataFrame) -> pd.DataFrame:
    """Of each service and step the share of the time of its requests that they waited for the database; null where there were none."""
    steps = ["instance", "window", "at", *SERVICE]
    busy = prom_route_time.groupby(steps, as_index=False).busy_per_s.sum()
    table = prom_database_time.merge(busy, on=steps)
    return table.assign(database_ratio=table.waiting_per_s / table.busy_per_s.where(table.busy_per_s > 0))

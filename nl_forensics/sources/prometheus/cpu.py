"""How much CPU containers get, as the kubelet of their node (cAdvisor) counts it: one reading of a counter shows nothing.

A rate reads the samples themselves, so that neither what Prometheus repeats of a container that is gone nor a new run of one counts twice.
"""

import pandas as pd

from nl_forensics.sources.prometheus.containers import BY, CONTAINER, LARGEST, NEAREST_THEIR_LIMIT, of_containers
from nl_forensics.sources.prometheus.series import series

LASTING = "900s"  # for the choice of containers: one that is throttled for a moment, as when it starts, matters less


def _grown(counter: str, over: str) -> str:
    return f"sum by ({BY}) (increase({of_containers(counter)}[{over}]))"


def _throttled(over: str) -> str:
    periods = _grown("container_cpu_cfs_periods_total", over)
    return f"{_grown('container_cpu_cfs_throttled_periods_total', over)} / ({periods} > 0) or 0 * {periods}"


USED = f"sum by ({BY}) (rate({of_containers('container_cpu_usage_seconds_total')}[{{range}}]))"
PERIOD, QUOTA = (f"max by ({BY}) ({of_containers(f'container_spec_cpu_{name}')})" for name in ("period", "quota"))
# The usual chart of Prometheus drops what cAdvisor reports of limits: kube-state-metrics reports it, too.
SPECIFIED = 'max by (namespace, pod, container) (kube_pod_container_resource_limits{{resource="cpu",namespace=~"{namespaces}"}})'
LIMIT = f"{QUOTA} / {PERIOD} or 0 * {USED} + on (namespace, pod, container) group_left () {SPECIFIED}"
CHOSEN = " or ".join(
    f"topk by (instance) ({number}, max_over_time(({value})[{{window}}:{{step}}] @ end()))"
    for number, value in (
        (NEAREST_THEIR_LIMIT, _throttled(LASTING)),
        (NEAREST_THEIR_LIMIT, f"{USED} / ({LIMIT})"),
        (LARGEST, USED),
    )
)
GUIDE = ("C037", "C043", "C044")

series(
    "prom_cpu_throttled",
    f"({_throttled('{range}')} or 0 * ({PERIOD} unless {QUOTA})) and ({CHOSEN})",
    value="throttled_ratio",
    meaning="share of the 100 ms periods with CPU demand in which the container was throttled; 0: no demand, or no limit",
    labels=CONTAINER,
    about="kubernetes",
    guide=GUIDE,
    doc="""CPU throttling of containers, per step.

    `target` is the node. Per node the 5 containers that were throttled most for 15 min, the 5 nearest to their limit, and the 2 with the
    highest use.""",
)

series(
    "prom_cpu_used",
    f"{USED} and ({CHOSEN})",
    value="used_cores",
    meaning="mean CPU use of the container in the range before the step",
    labels=CONTAINER,
    about="kubernetes",
    guide=GUIDE,
    doc="""CPU use of the containers of prom_cpu_throttled, per step.""",
)

series(
    "prom_cpu_limit",
    f"({LIMIT} or 0 * ({PERIOD} unless {QUOTA})) and ({CHOSEN})",
    value="limit_cores",
    meaning="CPU limit of the container; 0: no limit",
    labels=CONTAINER,
    about="kubernetes",
    guide=GUIDE,
    doc="""CPU limit of the containers of prom_cpu_throttled, per step.""",
)


def of_limit(prom_cpu_used: pd.DataFrame, prom_cpu_limit: pd.DataFrame) -> pd.DataFrame:
    """Use of the containers that had a limit at that step, with `used_ratio` of `limit_cores`."""
    steps = ["instance", "window", "at", *CONTAINER]
    table = prom_cpu_used.merge(prom_cpu_limit[[*steps, "limit_cores"]], on=steps)
    table = table[table.limit_cores > 0]
    return table.assign(used_ratio=table.used_cores / table.limit_cores)

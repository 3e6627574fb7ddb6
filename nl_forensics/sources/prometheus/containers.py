"""What containers use, as the kubelet of their node (cAdvisor) measures it: recorded also while the API server is silent."""

from nl_forensics.sources.prometheus.series import series

CONTAINER = ("target", "namespace", "pod", "container")
BY = "instance, namespace, pod, container"
GONE_S = 90  # a scrape a minute, and what cAdvisor lags behind
NEAREST_THEIR_LIMIT, LARGEST = 5, 2  # of each node, so that an answer stays small and covers every node


def of_containers(metric: str) -> str:
    """The series of containers: the cgroups of whole pods, of their sandboxes and of the rest of the machine are left out."""
    return f'{metric}{{{{container!="",container!="POD",namespace=~"{{namespaces}}",{{kubelet}}}}}}'


def _newest(metric: str) -> str:
    """By container.

    cAdvisor dates its samples itself, so that Prometheus repeats those of a container that is gone for 5 minutes. Of several runs the
    newest sample counts: a run that was killed would hide the next one.
    """
    one = of_containers(metric)
    newest = f"topk by ({BY}) (1, timestamp({one}) > time() - {GONE_S})"
    return f"max by ({BY}) ({one} and {newest})"


USED = _newest("container_memory_working_set_bytes")
LIMIT = _newest("container_spec_memory_limit_bytes")
CHOSEN = (
    f"(topk by (instance) ({NEAREST_THEIR_LIMIT}, max_over_time(({USED} / ({LIMIT} > 0))[{{window}}:{{step}}] @ end()))"
    f" or topk by (instance) ({LARGEST}, max_over_time({USED}[{{window}}:{{step}}] @ end())))"
)

series(
    "prom_container_memory",
    f"{USED} and {CHOSEN}",
    value="used_bytes",
    meaning="working set: what the kernel compares with the limit, without memory that it can reclaim",
    labels=CONTAINER,
    about="kubernetes",
    guide=("C085", "C086"),
    doc="""Memory of containers: per node and window the 5 nearest to their limit, and the 2 largest.

    `target` is the node. No value while a container does not run. A node has no row where Prometheus does not scrape its kubelet.""",
)

series(
    "prom_container_memory_limit",
    f"{LIMIT} and {CHOSEN}",
    value="limit_bytes",
    meaning="memory limit of the container; 0: no limit",
    labels=CONTAINER,
    about="kubernetes",
    guide=("C085", "C086"),
    doc="""Memory limit of the containers of prom_container_memory, per step.""",
)

series(
    "prom_container_start",
    f"max by ({BY}) ({of_containers('container_start_time_seconds')}) and {CHOSEN}",
    value="started_s",
    meaning="start of this run of the container, in seconds since 1970 (UTC); another value is another run",
    labels=CONTAINER,
    about="kubernetes",
    guide=("C042", "C048"),
    doc="""Start of the containers of prom_container_memory, per step.""",
)

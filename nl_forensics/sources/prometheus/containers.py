"""What containers use, as the kubelet of their node (cAdvisor) measures it: it goes on where the API server is silent."""

from nl_forensics.sources.prometheus.series import series

CONTAINER = ("target", "namespace", "pod", "container")
BY = "instance, namespace, pod, container"
GONE_S = 90  # a scrape a minute, and what cAdvisor lags behind
NEAREST_THEIR_LIMIT, LARGEST = 5, 2  # of each node, so that an answer stays small and tells of every node


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
    labels=CONTAINER,
    about="kubernetes",
    guide=("C085", "C086"),
    doc="""Memory of the containers that came nearest to their limit, 5 of each node and window, and of the 2 largest.

    target      the node
    used_bytes  the working set, which is what the kernel compares with the limit: what can be given back is left out

    No value while a container does not run. Of a node whose kubelet Prometheus does not scrape there is no row.""",
)

series(
    "prom_container_memory_limit",
    f"{LIMIT} and {CHOSEN}",
    value="limit_bytes",
    labels=CONTAINER,
    about="kubernetes",
    guide=("C085", "C086"),
    doc="""The memory limit of each container of prom_container_memory at that time; 0: none.""",
)

series(
    "prom_container_start",
    f"max by ({BY}) ({of_containers('container_start_time_seconds')}) and {CHOSEN}",
    value="started_s",
    labels=CONTAINER,
    about="kubernetes",
    guide=("C042", "C048"),
    doc="""When the run of each container of prom_container_memory began: another value is another run.

    started_s   seconds since 1970 began, UTC""",
)

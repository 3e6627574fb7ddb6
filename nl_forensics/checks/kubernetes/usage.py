"""Rules about the current usage of nodes and containers, by the metrics API."""

import pandas as pd

from nl_forensics.checks.rule import check


@check(
    section="02",
    severity="medium",
    note="is_cpu",
    subject="{instance}: {name}",
    because="uses {used_ratio:percent} of its {what} (limit {max_ratio:percent})",
    guide=("C023", "C127"),
)
def no_node_is_used_up(k8s_node_metrics, k8s_nodes, *, max_ratio=0.9):
    """Every node uses less than {max_ratio:percent} of its CPU and memory.

    One reading, as in `kubectl top nodes`. A moment of full CPU is not a fault, hence a note. 90 %: the guide's review.
    """
    rows = k8s_node_metrics.merge(k8s_nodes.drop(columns="asked_at"), on=["instance", "name"])
    shares = {
        "CPU": rows.cpu_cores / rows.allocatable_cpu_cores,
        "memory": rows.memory_bytes / rows.allocatable_memory_bytes,
    }
    rows = pd.concat([rows.assign(what=what, used_ratio=ratio.astype("float64")) for what, ratio in shares.items()])
    rows = rows.assign(is_cpu=rows.what == "CPU")
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="02",
    severity="medium",
    high="used_ratio >= high_ratio",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="uses {used_ratio:percent} of its memory limit, {memory_bytes:bytes} of {memory_limit_bytes:bytes} (threshold "
    "{max_ratio:percent})",
    guide=("C024", "C128"),
)
def no_container_nears_its_memory_limit(k8s_pod_metrics, k8s_containers, *, max_ratio=0.9, high_ratio=0.95):
    """Every container uses less than {max_ratio:percent} of its memory limit.

    At the limit the kernel kills it. The working set counts, as for the kernel: reclaimable memory is left out. 90 % is medium, 95 % high:
    the guide's review.
    """
    limits = k8s_containers[["instance", "namespace", "pod", "container", "memory_limit_bytes"]]
    rows = k8s_pod_metrics.merge(limits, on=["instance", "namespace", "pod", "container"])
    rows = rows.assign(used_ratio=(rows.memory_bytes / rows.memory_limit_bytes).astype("float64"))
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="02",
    severity="note",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="uses {used_ratio:percent} of its CPU limit, {cpu_cores:.2f} of {cpu_limit_cores:.2f} cores (threshold {max_ratio:percent})",
    guide=("C024", "C128"),
)
def no_container_nears_its_cpu_limit(k8s_pod_metrics, k8s_containers, *, max_ratio=0.9):
    """Every container uses less than {max_ratio:percent} of its CPU limit.

    At the limit it is throttled, and answers slowly. One reading, hence a note. 90 %: a choice of ours.
    """
    limits = k8s_containers[["instance", "namespace", "pod", "container", "cpu_limit_cores"]]
    rows = k8s_pod_metrics.merge(limits, on=["instance", "namespace", "pod", "container"])
    rows = rows.assign(used_ratio=rows.cpu_cores / rows.cpu_limit_cores)
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)

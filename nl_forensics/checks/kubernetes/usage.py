"""Rules about what nodes and containers use now. Without a metrics API they can't be judged."""

import pandas as pd

from nl_forensics.checks.rows import graded, worst_first
from nl_forensics.checks.rule import check


@check(
    section="02",
    severity="medium",
    subject="{instance}: {name}",
    because="uses {used_ratio:percent} of its {what} (limit {max_ratio:percent})",
    guide=("C023", "C127"),
)
def no_node_is_used_up(k8s_node_metrics, k8s_nodes, *, max_ratio=0.9):
    """Every node uses less than {max_ratio:percent} of its CPU and memory.

    One measurement of now, as `kubectl top nodes` shows it. A moment of full CPU is no fault yet, so that it is a note. 90 %: the guide's
    review.
    """
    rows = k8s_node_metrics.merge(k8s_nodes.drop(columns="asked_at"), on=["instance", "name"])
    shares = {
        "CPU": rows.cpu_cores / rows.allocatable_cpu_cores,
        "memory": rows.memory_bytes / rows.allocatable_memory_bytes,
    }
    rows = pd.concat([rows.assign(what=what, used_ratio=ratio.astype("float64")) for what, ratio in shares.items()])
    full = rows.used_ratio >= max_ratio
    return worst_first(graded(rows, medium=full & (rows.what == "memory"), note=full), "used_ratio")


@check(
    section="02",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="uses {memory_bytes:bytes}, {used_ratio:percent} of its memory limit of {memory_limit_bytes:bytes} (limit {max_ratio:percent})",
    guide=("C024", "C128"),
)
def no_container_nears_its_memory_limit(k8s_pod_metrics, k8s_containers, *, max_ratio=0.9, high_ratio=0.95):
    """Every container uses less than {max_ratio:percent} of its memory limit.

    At the limit the kernel kills it. The working set counts, which is what the kernel compares: memory that can be given back is left out.
    90 % is medium, 95 % high: the guide's review.
    """
    limits = k8s_containers[["instance", "namespace", "pod", "container", "memory_limit_bytes"]]
    rows = k8s_pod_metrics.merge(limits.dropna(), on=["instance", "namespace", "pod", "container"])
    rows = rows.assign(used_ratio=(rows.memory_bytes / rows.memory_limit_bytes).astype("float64"))
    rows = graded(rows, high=rows.used_ratio >= high_ratio, medium=rows.used_ratio >= max_ratio)
    return worst_first(rows, "used_ratio")


@check(
    section="02",
    severity="note",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="uses {cpu_cores:.2f} cores, {used_ratio:percent} of its CPU limit of {cpu_limit_cores:.2f} (limit {max_ratio:percent})",
    guide=("C024", "C128"),
)
def no_container_nears_its_cpu_limit(k8s_pod_metrics, k8s_containers, *, max_ratio=0.9):
    """Every container uses less than {max_ratio:percent} of its CPU limit.

    At the limit it is held back, and answers slowly. One measurement of now, so that it is a note. 90 %: a choice of ours.
    """
    limits = k8s_containers[["instance", "namespace", "pod", "container", "cpu_limit_cores"]]
    rows = k8s_pod_metrics.merge(limits.dropna(), on=["instance", "namespace", "pod", "container"])
    rows = rows.assign(used_ratio=rows.cpu_cores / rows.cpu_limit_cores)
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)

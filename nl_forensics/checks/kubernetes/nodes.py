"""Rules about nodes: they are there, well, and have room."""

import pandas as pd

from nl_forensics.checks.rows import one_line
from nl_forensics.checks.rule import check

PRESSURES = {"memory_pressure": "memory", "disk_pressure": "disk", "pid_pressure": "process ids"}


@check(
    section="02",
    severity="critical",
    subject="{instance}: {name}",
    because="{state} since {ready_at:%Y-%m-%d %H:%M:%S} UTC ({ready_reason}): {said}; {pods} pods are on it",
    at="ready_at",
    guide=("C016",),
)
def every_node_is_ready(k8s_nodes):
    """Every node is ready.

    One that is not, or no longer reports, gets no pods; those that it has are given up after 5 minutes, and their volumes stay attached.
    """
    rows = k8s_nodes[~k8s_nodes.ready.fillna(False)]
    state = rows.ready.isna().map({True: "no longer reports", False: "not ready"})
    return rows.assign(state=state, said=one_line(rows.ready_message)).sort_values("pods", ascending=False)


@check(
    section="02",
    severity="high",
    subject="{instance}: {name}",
    because="runs out of {of} since {since_at:%Y-%m-%d %H:%M:%S} UTC; {pods} pods are on it",
    at="since_at",
    guide=("C016",),
)
def no_node_is_under_pressure(k8s_nodes):
    """No node runs out of memory, disk or process ids.

    The kubelet then evicts pods, and takes no new ones.
    """
    found = [
        k8s_nodes.assign(of=words, since_at=k8s_nodes[f"{name}_at"])[k8s_nodes[name].fillna(False)]
        for name, words in PRESSURES.items()
    ]
    return pd.concat(found).sort_values("since_at")


@check(
    section="02",
    severity="note",
    subject="{instance}: {name}",
    because="takes no new pods: it is cordoned; {pods} pods are on it",
    guide=("C016",),
)
def no_node_is_cordoned(k8s_nodes):
    """Every node takes new pods.

    Somebody cordoned it, for an upgrade as a rule. Forgotten, it is room that is missing when pods find no place.
    """
    return k8s_nodes[k8s_nodes.unschedulable].sort_values("pods", ascending=False)


@check(
    section="02",
    severity="medium",
    subject="{instance}: {name}",
    because="{used_ratio:percent} of its {what} is requested ({pods} pods; limit {max_ratio:percent})",
    guide=("C009", "C082"),
)
def nodes_have_room(k8s_nodes, *, max_ratio=0.95):
    """On every node, less than {max_ratio:percent} of CPU, memory and places for pods is requested.

    What is requested can't be had by new pods, used or not. 95 % of the pods: kubernetes-mixin (KubeletTooManyPods); the same for
    CPU and memory: a choice of ours.
    """
    shares = {
        "CPU": k8s_nodes.requested_cpu_cores / k8s_nodes.allocatable_cpu_cores,
        "memory": k8s_nodes.requested_memory_bytes / k8s_nodes.allocatable_memory_bytes,
        "room for pods": k8s_nodes["pods"] / k8s_nodes.allocatable_pods,
    }
    rows = pd.concat([k8s_nodes.assign(what=what, used_ratio=ratio) for what, ratio in shares.items()])
    return rows[(rows.used_ratio >= max_ratio).fillna(False)].sort_values("used_ratio", ascending=False)


@check(
    section="02",
    severity="note",
    subject="{instance}: {name}",
    because="its kubelet is {kubelet_version}, most others are {usual}",
    guide=("C016",),
)
def nodes_have_one_version(k8s_nodes):
    """Every kubelet has the same minor version.

    An upgrade that is not finished behaves differently from node to node. Nodes without a number (such as simulated ones) are left out.
    """
    minor = k8s_nodes.kubelet_version.str.extract(r"^(v?\d+\.\d+)", expand=False)
    rows = k8s_nodes.assign(minor=minor)[minor.notna()]
    usual = rows.groupby("instance").minor.agg(lambda versions: versions.mode().iloc[0])
    rows = rows.assign(usual=rows.instance.map(usual))
    return rows[rows.minor != rows.usual].sort_values("name")

"""Rules about nodes: they are ready, under no pressure, and have free capacity."""

import pandas as pd

from nl_forensics.checks.rows import one_line
from nl_forensics.checks.rule import check

PRESSURES = {"memory_pressure": "memory", "disk_pressure": "disk", "pid_pressure": "PID"}


@check(
    section="02",
    severity="critical",
    subject="{instance}: {name}",
    because="{state} since {ready_at:%Y-%m-%d %H:%M:%S} UTC ({ready_reason}, pods on it: {pods}); {said}",
    at="ready_at",
    guide=("C016",),
)
def every_node_is_ready(k8s_nodes):
    """Every node is ready.

    A node that is unready, or stopped reporting, gets no pods; its own are evicted after 5 minutes, and their volumes stay attached.
    """
    rows = k8s_nodes[~k8s_nodes.ready | k8s_nodes.ready.isna()]  # null: its kubelet reports no more
    state = rows.ready.isna().map({True: "not reporting", False: "unready"})
    return rows.assign(state=state, said=one_line(rows.ready_message)).sort_values("pods", ascending=False)


@check(
    section="02",
    severity="high",
    subject="{instance}: {name}",
    because="{of} pressure since {since_at:%Y-%m-%d %H:%M:%S} UTC (pods on it: {pods})",
    at="since_at",
    guide=("C016",),
)
def no_node_is_under_pressure(k8s_nodes):
    """No node is under memory, disk or PID pressure.

    Under pressure, the kubelet evicts pods and accepts no new ones. The conditions of a node that stopped reporting are unknown.
    """
    found = [
        k8s_nodes[k8s_nodes[name]].assign(of=words, since_at=lambda rows, name=name: rows[f"{name}_at"])
        for name, words in PRESSURES.items()
    ]
    return pd.concat(found).sort_values("since_at")


@check(
    section="02",
    severity="note",
    subject="{instance}: {name}",
    because="cordoned: it accepts no new pods (pods on it: {pods})",
    guide=("C016",),
)
def no_node_is_cordoned(k8s_nodes):
    """No node is cordoned.

    Nodes are usually cordoned for an upgrade. A forgotten one is missing capacity when pods stay unscheduled.
    """
    return k8s_nodes[k8s_nodes.unschedulable].sort_values("pods", ascending=False)


@check(
    section="02",
    severity="medium",
    subject="{instance}: {name}",
    because="{used_ratio:percent} of its {what} is requested (pods: {pods}, limit {max_ratio:percent})",
    guide=("C009", "C082"),
)
def nodes_have_room(k8s_nodes, *, max_ratio=0.95):
    """On every node, less than {max_ratio:percent} of CPU, memory and pod capacity is requested.

    Requested resources are reserved, used or not. 95 % of the pods: kubernetes-mixin (KubeletTooManyPods); the same for CPU and memory: a
    choice of ours.
    """
    shares = {
        "CPU": k8s_nodes.requested_cpu_cores / k8s_nodes.allocatable_cpu_cores,
        "memory": k8s_nodes.requested_memory_bytes / k8s_nodes.allocatable_memory_bytes,
        "pod capacity": k8s_nodes["pods"] / k8s_nodes.allocatable_pods,
    }
    rows = pd.concat([k8s_nodes.assign(what=what, used_ratio=ratio) for what, ratio in shares.items()])
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="02",
    severity="note",
    subject="{instance}: {name}",
    because="kubelet version {kubelet_version}, most other nodes have {usual}",
    guide=("C016",),
)
def nodes_have_one_version(k8s_nodes):
    """Every kubelet has the same minor version.

    During an unfinished upgrade, behaviour differs from node to node. Nodes without a version number (simulated ones) are left out.
    """
    minor = k8s_nodes.kubelet_version.str.extract(r"^(v?\d+\.\d+)", expand=False)
    rows = k8s_nodes.assign(minor=minor)[minor.notna()]
    usual = rows.groupby("instance").minor.agg(lambda versions: versions.mode().iloc[0])
    rows = rows.assign(usual=rows.instance.map(usual))
    return rows[rows.minor != rows.usual].sort_values("name")

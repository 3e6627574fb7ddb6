"""Rules about the API server, what is behind it, and who keeps the cluster running."""

import pandas as pd

from nl_forensics.checks.rows import graded, one_line, seconds_since, worst_first
from nl_forensics.checks.rule import check

NODES = "kube-node-lease"
CONTROL_PLANE = ("kube-controller-manager", "kube-scheduler", "cloud-controller-manager")


@check(
    section="02",
    severity="critical",
    subject="{instance}: {check}",
    because="the API server's own check fails: {said}",
    guide=("C017",),
)
def the_api_server_is_ready(k8s_api_checks):
    """Every check that the API server makes of itself passes.

    Such as `etcd`: then nothing can be written, no pod moved or replaced, while what runs goes on. `kubectl get componentstatuses` is known
    to be wrong, and not asked.
    """
    return k8s_api_checks[~k8s_api_checks.passed]


@check(
    section="02",
    severity="high",
    subject="{instance}: {name}",
    because="not served since {available_at:%Y-%m-%d %H:%M:%S} UTC by {service} ({available_reason}): {said}",
    at="available_at",
    guide=("C017", "C023"),
)
def every_part_of_the_api_is_served(k8s_api_services):
    """Every group of the API has a server that answers.

    Without metrics.k8s.io autoscalers stand still; and a group that does not answer keeps namespaces from being deleted. kubernetes-mixin
    (KubeAggregatedAPIDown).
    """
    rows = k8s_api_services[~k8s_api_services.available.fillna(True)]
    return rows.assign(said=one_line(rows.available_message)).sort_values("available_at")


@check(
    section="02",
    severity="high",
    subject="{instance}: {name}",
    because="{who} last renewed its lease at {renewed_at:%Y-%m-%d %H:%M:%S} UTC, {silent_s:seconds} ago; it holds for {duration_s} s",
    at="renewed_at",
    guide=("C016", "C017"),
)
def every_lease_is_renewed(k8s_leases, k8s_nodes, *, periods=2):
    """Every node, and the leaders of the control plane, renewed their lease within {periods:number} times the time that it holds.

    Otherwise the holder is gone or hangs: of a node, its kubelet; of the control plane, the scheduler or the controllers, which is
    critical. The lease of a node that was removed is left out. Twice the time: a choice of ours.
    """
    rows = k8s_leases[k8s_leases.renewed_at.notna() & (k8s_leases.holder != "")]
    there = pd.MultiIndex.from_frame(rows[["instance", "name"]]).isin(k8s_nodes.set_index(["instance", "name"]).index)
    of_node, of_control = (rows.namespace == NODES) & there, rows.name.isin(CONTROL_PLANE)
    rows = rows.assign(silent_s=seconds_since(rows.renewed_at, rows), who=rows.holder.mask(of_node, "the kubelet"))
    late = rows.silent_s > periods * rows.duration_s.astype("float64")
    rows = graded(rows, critical=late & of_control, high=late & of_node)
    return worst_first(rows, "silent_s")

"""Rules about the API server, the servers of its groups, and the control plane."""

import pandas as pd

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import check

NODES = "kube-node-lease"
CONTROL_PLANE = ("kube-controller-manager", "kube-scheduler", "cloud-controller-manager")


@check(
    section="02",
    severity="critical",
    subject="{instance}: {check}",
    because="health check of the API server fails; {said}",
    guide=("C017",),
)
def the_api_server_is_ready(k8s_api_checks):
    """Every health check of the API server passes.

    Without `etcd`, for example, nothing can be written and no pod is moved or replaced; running pods continue. `kubectl get
    componentstatuses` is known to be wrong, and not used.
    """
    return k8s_api_checks[~k8s_api_checks.passed]


@check(
    section="02",
    severity="high",
    subject="{instance}: {name}",
    because="API group unavailable since {available_at:%Y-%m-%d %H:%M:%S} UTC ({available_reason}); served by {service}: {said}",
    at="available_at",
    guide=("C017", "C023"),
)
def every_part_of_the_api_is_served(k8s_api_services):
    """Every API group has a server that answers.

    Without metrics.k8s.io, autoscalers do not scale; an API group that does not answer blocks the deletion of namespaces.
    kubernetes-mixin (KubeAggregatedAPIDown).
    """
    rows = k8s_api_services[~k8s_api_services.available]
    return rows.assign(said=one_line(rows.available_message)).sort_values("available_at")


@check(
    section="02",
    severity="high",
    subject="{instance}: {name}",
    critical="is_control_plane",
    because="{owner} last renewed its lease {silent_s:seconds} ago, at {renewed_at:%Y-%m-%d %H:%M:%S} UTC; it is valid for {duration_s} s",
    at="renewed_at",
    guide=("C016", "C017"),
)
def every_lease_is_renewed(k8s_leases, k8s_nodes, *, periods=2):
    """Every node and every leader of the control plane renewed its lease within {periods:number} times its duration.

    Otherwise the holder is gone or hangs: the kubelet of a node; or, critical, the scheduler or a controller of the control plane. The
    lease of a removed node is left out. Twice the duration: a choice of ours.
    """
    rows = k8s_leases[k8s_leases.renewed_at.notna() & (k8s_leases.holder != "")]
    there = pd.MultiIndex.from_frame(rows[["instance", "name"]]).isin(k8s_nodes.set_index(["instance", "name"]).index)
    of_node, of_control = (rows.namespace == NODES) & there, rows.name.isin(CONTROL_PLANE)
    rows = rows.assign(silent_s=seconds_since(rows.renewed_at, rows), is_control_plane=of_control)
    rows = rows.assign(owner=rows.holder.mask(of_node, "the kubelet"))
    late = rows.silent_s > periods * rows.duration_s.astype("float64")
    return rows[late & (of_control | of_node)].sort_values("silent_s", ascending=False)

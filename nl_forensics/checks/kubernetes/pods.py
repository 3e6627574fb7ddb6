"""Rules about pods: they are scheduled, become ready, and terminate when they are deleted."""

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.pending import refusals, refused_for

OVER = ("Succeeded", "Failed")  # phases


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}",
    because="unscheduled for {waits_s:seconds} (limit {max_s:seconds}): {meaning}; since {created_at:%H:%M:%S} UTC; it requests "
    "{cpu_request_cores:.2f} CPU and {memory_request_bytes:bytes}; scheduler: {said}",
    at="created_at",
    guide=("C009", "C078", "C082"),
)
def every_pod_is_scheduled(k8s_pods, *, max_s=30):
    """Every pod is scheduled within {max_s:seconds}.

    Otherwise no node fits: because of its requests, taints, its selector, affinity or spread, a volume, or cordoned nodes. 30 s: a choice
    of ours; the scheduler takes milliseconds, a new node or volume minutes. Scheduling gates: no_pod_is_held_by_a_gate.
    """
    rows = k8s_pods[(k8s_pods.phase == "Pending") & ~k8s_pods.scheduled & k8s_pods.deletion_requested_at.isna()]
    rows = rows[rows.scheduling_reason != "SchedulingGated"]
    said = refusals(rows.scheduling_message)
    rows = rows.assign(
        waits_s=seconds_since(rows.created_at, rows),
        meaning=said.map(refused_for),
        said=one_line(said).replace("", "no message"),
    )
    return rows[rows.waits_s >= max_s].sort_values("waits_s", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}",
    because="scheduling blocked for {waits_s:seconds} (limit {max_s:seconds}) by gate {schedulable_gates}; since {created_at:%H:%M:%S} UTC",
    at="created_at",
    guide=("C078",),
)
def no_pod_is_held_by_a_gate(k8s_pods, *, max_s=300):
    """No scheduling gate blocks a pod for {max_s:seconds}.

    Another controller (a queue, a quota system) has to remove the gate. 5 minutes: a choice of ours.
    """
    rows = k8s_pods[(k8s_pods.schedulable_gates != "") & ~k8s_pods.scheduled & k8s_pods.deletion_requested_at.isna()]
    rows = rows.assign(waits_s=seconds_since(rows.created_at, rows))
    return rows[rows.waits_s >= max_s].sort_values("waits_s", ascending=False)


@check(
    section="06",
    severity="medium",
    high="unready_s >= high_s",
    subject="{instance}: {namespace}/{pod}",
    because="unready since {since_at:%Y-%m-%d %H:%M:%S} UTC ({unready_s:seconds}, limit {max_s:seconds}); {phase} on node {node}, "
    "{containers_ready} of {containers} containers ready, restarts: {restarts}",
    at="since_at",
    guide=("C003", "C018", "C026", "C078", "C126"),
)
def every_pod_is_ready(k8s_pods, *, max_s=300, high_s=900):
    """No scheduled pod is unready for {max_s:seconds}.

    An unready pod gets no requests. Pods of finished jobs and pods that are being deleted are left out. High from 15 minutes:
    kubernetes-mixin (KubePodNotReady); 5 minutes, medium: a choice of ours.
    """
    rows = k8s_pods[k8s_pods.scheduled & ~k8s_pods.ready & ~k8s_pods.phase.isin(OVER)]
    rows = rows[rows.deletion_requested_at.isna()]
    rows = rows.assign(since_at=rows.ready_changed_at.fillna(rows.created_at))
    rows = rows.assign(unready_s=seconds_since(rows.since_at, rows))
    return rows[rows.unready_s >= max_s].sort_values("unready_s", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}",
    because="termination overdue by {over_s:seconds} (limit {max_s:seconds}): {blocker}; deleted at "
    "{deletion_requested_at:%Y-%m-%d %H:%M:%S} UTC with a grace period of {deletion_grace_s:number} s",
    at="deletion_requested_at",
    guide=("C003",),
)
def no_pod_hangs_in_deletion(k8s_pods, *, max_s=60):
    """Every deleted pod is gone {max_s:seconds} after its grace period.

    A finalizer waits for its controller, the node does not answer, or the process can't be killed. Meanwhile a stateful set creates no
    replacement, and volumes stay attached. 60 s: a choice of ours.
    """
    rows = k8s_pods[k8s_pods.deletion_requested_at.notna()]
    over_s = seconds_since(rows.deletion_requested_at, rows) - rows.deletion_grace_s.fillna(0).astype("float64")
    blocker = ("blocked by finalizer " + rows.finalizers).where(
        rows.finalizers != "", "not stopped by node " + rows.node
    )
    rows = rows.assign(over_s=over_s, blocker=blocker)
    return rows[rows.over_s >= max_s].sort_values("over_s", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}",
    because="{reason} on node {node} at {at:%Y-%m-%d %H:%M:%S} UTC; {said}",
    at="at",
    until="at",
    guide=("C003", "C079"),
)
def no_pod_was_evicted(k8s_pods):
    """No pod was evicted from its node, or killed in a shutdown of the node.

    The kubelet evicts when memory, disk or PIDs run out; pods that exceed their request most are evicted first.
    """
    rows = k8s_pods[(k8s_pods.phase == "Failed") & (k8s_pods.reason != "")]
    rows = rows.assign(at=rows.ready_changed_at.fillna(rows.created_at), said=one_line(rows.message))
    return rows.sort_values("at", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}",
    because="failed at about {at:%Y-%m-%d %H:%M:%S} UTC (restart policy {restart_policy}: not restarted); all containers ended, at least "
    "one with an error",
    at="at",
    until="at",
    guide=("C003",),
)
def no_pod_has_failed(k8s_pods):
    """No standalone pod and no pod of a long-running workload has failed.

    Failed pods of jobs are judged with their job, which may have retried; evicted ones by no_pod_was_evicted.
    """
    rows = k8s_pods[(k8s_pods.phase == "Failed") & (k8s_pods.reason == "") & (k8s_pods.workload_kind != "Job")]
    return rows.assign(at=rows.ready_changed_at.fillna(rows.created_at)).sort_values("at", ascending=False)


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{workload}",
    because="all {pods} pods run on node {node}",
    guide=("C018",),
)
def replicas_are_spread_over_nodes(k8s_pods, k8s_nodes, *, min_pods=2):
    """No workload has all of its pods on one node while other nodes are usable.

    The loss of that node is an outage of the workload. Usable nodes are ready, and neither cordoned nor tainted.
    """
    usable = k8s_nodes[k8s_nodes.ready & ~k8s_nodes.unschedulable & (k8s_nodes.taints == "")]
    number = usable.groupby("instance").size()
    long_running = k8s_pods[k8s_pods.workload_kind.isin(("Deployment", "StatefulSet")) & (k8s_pods.phase == "Running")]
    keys = ["instance", "namespace", "workload_kind", "workload"]
    rows = long_running.groupby(keys, as_index=False).agg(
        pods=("pod", "size"), nodes=("node", "nunique"), node=("node", "first"), asked_at=("asked_at", "max")
    )
    rows = rows[(rows.pods >= min_pods) & (rows.nodes == 1) & (rows.instance.map(number) > 1)]
    return rows.sort_values("pods", ascending=False)

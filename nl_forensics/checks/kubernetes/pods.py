"""Rules about pods: they get a place, become ready, and go when they are told to."""

from nl_forensics.checks.rows import graded, one_line, seconds_since, worst_first
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.pending import refusals, refused_for

OVER = ("Succeeded", "Failed")  # phases


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}",
    because="has no node since {created_at:%H:%M:%S} UTC ({waits_s:seconds}, limit {max_s:seconds}): {meaning}; it requests "
    "{cpu_request_cores:.2f} CPU and {memory_request_bytes:bytes}; the scheduler: {said}",
    at="created_at",
    guide=("C009", "C078", "C082"),
)
def every_pod_is_scheduled(k8s_pods, *, max_s=30):
    """Every pod has a node within {max_s:seconds}.

    Otherwise no node takes it: for its requests, for taints, for its selector, affinity or spread, for a volume, or because nodes are
    cordoned. 30 s: a choice of ours; the scheduler takes milliseconds, and a new node or volume minutes. Gates: no_pod_is_held_by_a_gate.
    """
    rows = k8s_pods[(k8s_pods.phase == "Pending") & ~k8s_pods.scheduled & k8s_pods.deletion_requested_at.isna()]
    rows = rows[rows.scheduling_reason != "SchedulingGated"]
    said = refusals(rows.scheduling_message)
    rows = rows.assign(
        waits_s=seconds_since(rows.created_at, rows),
        meaning=said.map(refused_for),
        said=one_line(said).replace("", "nothing yet"),
    )
    return rows[rows.waits_s >= max_s].sort_values("waits_s", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}",
    because="held back from scheduling since {created_at:%H:%M:%S} UTC ({waits_s:seconds}, limit {max_s:seconds}) by {schedulable_gates}",
    at="created_at",
    guide=("C078",),
)
def no_pod_is_held_by_a_gate(k8s_pods, *, max_s=300):
    """No pod is held back from scheduling by a gate for {max_s:seconds}.

    Somebody else (a queue, a quota system) has to take the gate away. 5 minutes: a choice of ours.
    """
    rows = k8s_pods[(k8s_pods.schedulable_gates != "") & ~k8s_pods.scheduled & k8s_pods.deletion_requested_at.isna()]
    rows = rows.assign(waits_s=seconds_since(rows.created_at, rows))
    return rows[rows.waits_s >= max_s].sort_values("waits_s", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}",
    because="{phase} on node {node}, but not ready since {since_at:%Y-%m-%d %H:%M:%S} UTC ({unready_s:seconds}, limit {max_s:seconds}): "
    "{containers_ready} of {containers} containers are ready, restarts: {restarts}",
    at="since_at",
    guide=("C003", "C018", "C026", "C078", "C126"),
)
def every_pod_is_ready(k8s_pods, *, max_s=300, high_s=900):
    """No pod that has a node is without being ready for {max_s:seconds}.

    It gets no requests meanwhile. Young pods may start, those of finished jobs and those that somebody deletes are no longer to be ready.
    High from 15 minutes: kubernetes-mixin (KubePodNotReady); 5 minutes, medium: a choice of ours.
    """
    rows = k8s_pods[k8s_pods.scheduled & ~k8s_pods.ready & ~k8s_pods.phase.isin(OVER)]
    rows = rows[rows.deletion_requested_at.isna()]
    rows = rows.assign(since_at=rows.ready_changed_at.fillna(rows.created_at))
    rows = rows.assign(unready_s=seconds_since(rows.since_at, rows))
    rows = graded(rows, high=rows.unready_s >= high_s, medium=rows.unready_s >= max_s)
    return worst_first(rows, "unready_s")


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}",
    because="to be deleted since {deletion_requested_at:%Y-%m-%d %H:%M:%S} UTC, {over_s:seconds} longer than its grace of "
    "{deletion_grace_s:number} s (limit {max_s:seconds}): {held_by}",
    at="deletion_requested_at",
    guide=("C003",),
)
def no_pod_hangs_in_deletion(k8s_pods, *, max_s=60):
    """Every pod that is deleted is gone {max_s:seconds} after its grace period.

    A finalizer waits for somebody, the node does not answer, or the process can't be killed. Meanwhile a stateful set makes no
    successor, and volumes stay attached. 60 s: a choice of ours.
    """
    rows = k8s_pods[k8s_pods.deletion_requested_at.notna()]
    over_s = seconds_since(rows.deletion_requested_at, rows) - rows.deletion_grace_s.fillna(0).astype("float64")
    held_by = ("finalizers " + rows.finalizers).where(rows.finalizers != "", "no finalizer, so its node " + rows.node)
    rows = rows.assign(over_s=over_s, held_by=held_by)
    return rows[rows.over_s >= max_s].sort_values("over_s", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}",
    because="{reason} from node {node}: {said}",
    at="at",
    until="at",
    guide=("C003", "C079"),
)
def no_pod_was_evicted(k8s_pods):
    """No pod was evicted from its node, or killed when the node went down.

    The kubelet does that when memory, disk or process ids run out; those that use most above their request go first.
    """
    rows = k8s_pods[(k8s_pods.phase == "Failed") & (k8s_pods.reason != "")]
    rows = rows.assign(at=rows.ready_changed_at.fillna(rows.created_at), said=one_line(rows.message))
    return rows.sort_values("at", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}",
    because="all of it ended, and at least one container with an error, about {at:%Y-%m-%d %H:%M:%S} UTC; its restart policy is "
    "{restart_policy}, so it stays so",
    at="at",
    until="at",
    guide=("C003",),
)
def no_pod_has_failed(k8s_pods):
    """No pod that belongs to nobody, or to a workload that is to last, has failed.

    Failed pods of jobs are judged with their job, which may have retried; evicted ones by no_pod_was_evicted.
    """
    rows = k8s_pods[(k8s_pods.phase == "Failed") & (k8s_pods.reason == "") & (k8s_pods.workload_kind != "Job")]
    return rows.assign(at=rows.ready_changed_at.fillna(rows.created_at)).sort_values("at", ascending=False)


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{workload}",
    because="all {pods} pods are on node {node}",
    guide=("C018",),
)
def replicas_are_spread_over_nodes(k8s_pods, k8s_nodes, *, min_pods=2):
    """No workload has all of its pods on one node, where there are several.

    When that node goes, all of it goes. Several: nodes that are ready and take pods.
    """
    usable = k8s_nodes[k8s_nodes.ready.fillna(False) & ~k8s_nodes.unschedulable & (k8s_nodes.taints == "")]
    several = usable.groupby("instance").size()
    lasting = k8s_pods[k8s_pods.workload_kind.isin(("Deployment", "StatefulSet")) & (k8s_pods.phase == "Running")]
    keys = ["instance", "namespace", "workload_kind", "workload"]
    rows = lasting.groupby(keys, as_index=False).agg(
        pods=("pod", "size"), nodes=("node", "nunique"), node=("node", "first"), asked_at=("asked_at", "max")
    )
    rows = rows[(rows.pods >= min_pods) & (rows.nodes == 1) & (rows.instance.map(several).fillna(0) > 1)]
    return rows.sort_values("pods", ascending=False)

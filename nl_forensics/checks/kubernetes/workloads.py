"""Rules about what runs pods for us: deployments, stateful sets, daemon sets, autoscalers and disruption budgets."""

import pandas as pd

from nl_forensics.checks.rows import graded, one_line, seconds_since, worst_first
from nl_forensics.checks.rule import check
from nl_forensics.sources import UTC
from nl_forensics.units import in_seconds


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="revision {revision} is stuck since {progressing_updated_at:%Y-%m-%d %H:%M:%S} UTC ({how}): {updated_replicas} of "
    "{replicas} pods are of it, {available_replicas} pods of any revision available; {said}",
    at="progressing_updated_at",
    guide=("C004", "C087", "C088"),
)
def every_rollout_completes(k8s_deployments, *, max_s=180):
    """No rollout is without progress for {max_s:seconds}, or beyond its own progress deadline.

    The new pods don't become ready, or can't be made; the old ones go on serving, so that nobody notices until they go. 180 s: Coroot;
    the deadline (10 minutes by default): Kubernetes (ProgressDeadlineExceeded).
    """
    rows = k8s_deployments[~k8s_deployments.paused & k8s_deployments.progressing.notna()]
    done = (rows.updated_replicas == rows.replicas) & (rows.available_replicas >= rows.replicas)
    rows = rows[~done | ~rows.progressing.fillna(True)]
    rows = rows.assign(
        stuck_s=seconds_since(rows.progressing_updated_at, rows), said=one_line(rows.progressing_message)
    )
    # A deployment that has come to its end once and lost pods since is not rolling out.
    rolling = rows.progressing_reason != "NewReplicaSetAvailable"
    overdue = rows.progressing_reason == "ProgressDeadlineExceeded"
    rows["how"] = [
        "its own deadline for progress had passed"
        if late
        else f"{in_seconds(stuck_s)} without progress, limit {in_seconds(max_s)}"
        for late, stuck_s in zip(overdue, rows.stuck_s, strict=True)
    ]
    rows = rows[rolling & (overdue | (rows.stuck_s >= max_s))]
    return rows.sort_values("stuck_s", ascending=False)


def _lasting(k8s_deployments, k8s_stateful_sets, k8s_daemon_sets) -> pd.DataFrame:
    """All workloads that are to last: what they want, what they have, and of deployments since when they have too little."""
    deployments = k8s_deployments.assign(
        kind="deployment", since_at=k8s_deployments.available_at.mask(k8s_deployments.available.fillna(False))
    )
    sets = k8s_stateful_sets.assign(
        kind="stateful set", since_at=pd.Series(pd.NaT, index=k8s_stateful_sets.index, dtype=UTC)
    )
    daemons = k8s_daemon_sets.rename(columns={"wanted": "replicas", "available": "available_replicas"})
    daemons = daemons.assign(kind="daemon set", since_at=pd.Series(pd.NaT, index=daemons.index, dtype=UTC))
    columns = [
        "instance",
        "asked_at",
        "namespace",
        "name",
        "kind",
        "created_at",
        "replicas",
        "available_replicas",
        "since_at",
    ]
    rows = pd.concat([part[columns] for part in (deployments, sets, daemons)], ignore_index=True)
    return rows.assign(missing=rows.replicas - rows.available_replicas)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="{available_replicas} of {replicas} pods of this {kind} are available",
    at="since_at",
    guide=("C018", "C087", "C090", "C126"),
)
def every_workload_has_its_replicas(k8s_deployments, k8s_stateful_sets, k8s_daemon_sets, *, young_s=60):
    """Every deployment, stateful set and daemon set has as many available pods as it wants.

    Whether requests are refused for that, every_service_has_a_ready_endpoint says. One that is younger than 60 s may still start; one
    that is scaled to zero wants none. Since when is known of deployments that fell below what they need.
    """
    rows = _lasting(k8s_deployments, k8s_stateful_sets, k8s_daemon_sets)
    rows = rows[(rows.missing > 0) & (seconds_since(rows.created_at, rows) >= young_s)]
    return rows.sort_values("missing", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="of revision {revision}, pods can't be made since {replica_failure_at:%H:%M:%S} UTC ({replica_failure_reason}): {said}",
    at="replica_failure_at",
    guide=("C090",),
)
def every_replica_set_can_make_its_pods(k8s_replica_sets):
    """Every replica set may make its pods.

    A quota, a webhook or a policy refuses them: there is no pod to look at, and the deployment only says that replicas are missing.
    """
    rows = k8s_replica_sets[k8s_replica_sets.replica_failure.fillna(False) & (k8s_replica_sets.replicas > 0)]
    return rows.assign(said=one_line(rows.replica_failure_message)).sort_values("replica_failure_at")


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="the {kind} was changed to generation {generation}, and its controller has seen {observed_generation}",
    guide=("C004", "C087"),
)
def every_change_was_taken_up(k8s_deployments, k8s_stateful_sets, k8s_daemon_sets):
    """The controllers have seen the newest version of every deployment, stateful set and daemon set.

    Otherwise the controller manager does not work, and nothing that is changed takes effect: kubernetes-mixin
    (KubeDeploymentGenerationMismatch).
    """
    tables = {"deployment": k8s_deployments, "stateful set": k8s_stateful_sets, "daemon set": k8s_daemon_sets}
    columns = ["instance", "asked_at", "namespace", "name", "generation", "observed_generation"]
    rows = pd.concat([table[columns].assign(kind=kind) for kind, table in tables.items()])
    return rows[rows.observed_generation < rows.generation]


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="its rollouts are paused: what is changed takes no effect until somebody resumes it",
    guide=("C087",),
)
def no_deployment_is_paused(k8s_deployments):
    """No deployment is paused.

    Somebody did that, between two steps of a change as a rule. Forgotten, it makes the next release do nothing.
    """
    return k8s_deployments[k8s_deployments.paused]


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="runs on {misplaced} nodes that it should not be on",
)
def every_daemon_set_is_where_it_should_be(k8s_daemon_sets):
    """No daemon set has pods on nodes that it is not meant for.

    kubernetes-mixin (KubeDaemonSetMisScheduled).
    """
    return k8s_daemon_sets[k8s_daemon_sets.misplaced > 0].sort_values("misplaced", ascending=False)


# --- Autoscalers and disruption budgets -------------------------------------------------------------------------------


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="can't scale {workload_kind} {workload} since {since_at:%Y-%m-%d %H:%M:%S} UTC ({why}): {said}",
    at="since_at",
)
def every_autoscaler_works(k8s_autoscalers, *, young_s=120):
    """Every autoscaler can read its metrics and scale its target.

    Its target is gone, the metrics API does not answer, or its pods have no CPU request. It then leaves the number of pods as it is. One
    that is scaled to zero, or younger than 2 minutes, is left out: first metrics need a minute.
    """
    rows = k8s_autoscalers
    blind = ~rows.scaling_active.fillna(True) & (rows.scaling_active_reason != "ScalingDisabled")
    stuck = ~rows.able_to_scale.fillna(True)
    rows = rows.assign(
        why=rows.able_to_scale_reason.where(stuck, rows.scaling_active_reason),
        said=one_line(rows.able_to_scale_message.where(stuck, rows.scaling_active_message)),
        since_at=rows.able_to_scale_at.where(stuck, rows.scaling_active_at),
    )
    return rows[(stuck | blind) & (seconds_since(rows.created_at, rows) >= young_s)].sort_values("since_at")


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="wants more than its {max_replicas} pods of {workload_kind} {workload} since {scaling_limited_at:%Y-%m-%d %H:%M:%S} UTC: "
    "{said}",
    at="scaling_limited_at",
)
def no_autoscaler_is_at_its_maximum(k8s_autoscalers):
    """No autoscaler is kept by its maximum from making more pods.

    The load is larger than what was planned for: kubernetes-mixin (KubeHpaMaxedOut). Where minimum and maximum are the same, it is
    meant so.
    """
    rows = k8s_autoscalers
    limited = rows.scaling_limited.fillna(False) & (rows.scaling_limited_reason == "TooManyReplicas")
    rows = rows[limited & (rows.max_replicas > rows.min_replicas)]
    return rows.assign(said=one_line(rows.scaling_limited_message)).sort_values("scaling_limited_at")


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="has {healthy_pods} of {expected_pods} pods healthy and must keep {desired_healthy}: no eviction is allowed{since}",
    at="changed_at",
)
def disruption_budgets_allow_evictions(k8s_disruption_budgets):
    """Every disruption budget lets at least one pod be evicted.

    Otherwise nodes can't be emptied, and upgrades of the cluster wait. High where fewer pods are healthy than it demands
    (kubernetes-mixin: KubePdbNotEnoughHealthyPods); a budget that allows none although all are well is a note.
    """
    rows = k8s_disruption_budgets
    rows = rows[(rows.disruptions_allowed == 0) & (rows.expected_pods > 0)]
    short = rows.healthy_pods < rows.desired_healthy
    since = (" since " + rows.changed_at.dt.strftime("%Y-%m-%d %H:%M:%S UTC")).fillna("")
    rows = graded(rows.assign(since=since), high=short, medium=rows.healthy_pods < rows.expected_pods, note=~short)
    return worst_first(rows, "expected_pods")


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="its selector {selector} finds no pod",
)
def every_disruption_budget_finds_pods(k8s_disruption_budgets, *, young_s=60):
    """Every disruption budget is about at least one pod.

    One that is about none protects nothing: a label was changed, or its workload is gone or scaled to zero. Popeye's rule 900.
    """
    rows = k8s_disruption_budgets
    return rows[(rows.expected_pods == 0) & (seconds_since(rows.created_at, rows) >= young_s)]

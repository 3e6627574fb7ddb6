"""Rules about workloads: deployments, stateful sets, daemon sets, autoscalers and disruption budgets."""

import pandas as pd

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import check
from nl_forensics.sources import UTC
from nl_forensics.units import in_seconds


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="rollout of revision {revision} stuck since {progressing_updated_at:%Y-%m-%d %H:%M:%S} UTC ({how}); {updated_replicas} of "
    "{replicas} pods updated, {available_replicas} available; {said}",
    at="progressing_updated_at",
    guide=("C004", "C087", "C088"),
)
def every_rollout_completes(k8s_deployments, *, max_s=180):
    """No rollout is without progress for {max_s:seconds}, or exceeds its progress deadline.

    The new pods don't become ready, or can't be created; the old ones keep serving, which hides the failure until they end. 180 s: Coroot;
    the deadline (10 minutes by default): Kubernetes (ProgressDeadlineExceeded).
    """
    rows = k8s_deployments[~k8s_deployments.paused]
    done = (rows.updated_replicas == rows.replicas) & (rows.available_replicas >= rows.replicas)
    rows = rows[~done | ~rows.progressing]
    rows = rows.assign(
        stuck_s=seconds_since(rows.progressing_updated_at, rows), said=one_line(rows.progressing_message)
    )
    # A deployment that completed its rollout and lost pods since is not rolling out.
    rolling = rows.progressing_reason != "NewReplicaSetAvailable"
    overdue = rows.progressing_reason == "ProgressDeadlineExceeded"
    rows = rows.assign(overdue=overdue)[rolling & (overdue | (rows.stuck_s >= max_s))]
    rows["how"] = [
        "progress deadline exceeded" if late else f"no progress for {in_seconds(stuck_s)}, limit {in_seconds(max_s)}"
        for late, stuck_s in zip(rows.overdue, rows.stuck_s, strict=True)
    ]
    return rows.sort_values("stuck_s", ascending=False)


def _long_running(k8s_deployments, k8s_stateful_sets, k8s_daemon_sets) -> pd.DataFrame:
    """All long-running workloads: wanted and available pods, and for deployments since when too few are available."""
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
    because="{available_replicas} of {replicas} pods of this {kind} available",
    at="since_at",
    guide=("C018", "C087", "C090", "C126"),
)
def every_workload_has_its_replicas(k8s_deployments, k8s_stateful_sets, k8s_daemon_sets, *, young_s=60):
    """Every deployment, stateful set and daemon set has as many available pods as it wants.

    Whether connections are refused because of it, see every_service_has_a_ready_endpoint. Workloads younger than 60 s may still start.
    The onset is known for deployments that fell below their minimum.
    """
    rows = _long_running(k8s_deployments, k8s_stateful_sets, k8s_daemon_sets)
    rows = rows[(rows.missing > 0) & (seconds_since(rows.created_at, rows) >= young_s)]
    return rows.sort_values("missing", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="pods of revision {revision} rejected since {replica_failure_at:%H:%M:%S} UTC ({replica_failure_reason}); {said}",
    at="replica_failure_at",
    guide=("C090",),
)
def every_replica_set_can_make_its_pods(k8s_replica_sets):
    """Every replica set can create its pods.

    A quota, a webhook or a policy rejects them: there is no pod to inspect, and the deployment reports only missing replicas.
    """
    rows = k8s_replica_sets[k8s_replica_sets.replica_failure & (k8s_replica_sets.replicas > 0)]
    return rows.assign(said=one_line(rows.replica_failure_message)).sort_values("replica_failure_at")


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="{kind} changed to generation {generation}, its controller has processed only {observed_generation}",
    guide=("C004", "C087"),
)
def every_change_was_taken_up(k8s_deployments, k8s_stateful_sets, k8s_daemon_sets):
    """The controllers have processed the newest version of every deployment, stateful set and daemon set.

    Otherwise the controller manager does not work, and no change takes effect: kubernetes-mixin (KubeDeploymentGenerationMismatch).
    """
    tables = {"deployment": k8s_deployments, "stateful set": k8s_stateful_sets, "daemon set": k8s_daemon_sets}
    columns = ["instance", "asked_at", "namespace", "name", "generation", "observed_generation"]
    rows = pd.concat([table[columns].assign(kind=kind) for kind, table in tables.items()])
    return rows[rows.observed_generation < rows.generation]


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="rollouts paused: changes take no effect until it is resumed",
    guide=("C087",),
)
def no_deployment_is_paused(k8s_deployments):
    """No deployment is paused.

    Deployments are usually paused between two steps of a change. A forgotten pause blocks the next release.
    """
    return k8s_deployments[k8s_deployments.paused]


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="runs on nodes where it should not run (nodes: {misplaced})",
)
def every_daemon_set_is_where_it_should_be(k8s_daemon_sets):
    """No daemon set has pods on nodes where it should not run.

    kubernetes-mixin (KubeDaemonSetMisScheduled).
    """
    return k8s_daemon_sets[k8s_daemon_sets.misplaced > 0].sort_values("misplaced", ascending=False)


# --- Autoscalers and disruption budgets -------------------------------------------------------------------------------


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="cannot scale {workload_kind} {workload} since {since_at:%Y-%m-%d %H:%M:%S} UTC ({why}); {said}",
    at="since_at",
)
def every_autoscaler_works(k8s_autoscalers, *, young_s=120):
    """Every autoscaler can read its metrics and scale its target.

    Its target is gone, the metrics API does not answer, or its pods have no CPU request. It then keeps the number of pods. Autoscalers
    that are scaled to zero, or younger than 2 minutes, are left out: first metrics take a minute.
    """
    rows = k8s_autoscalers[seconds_since(k8s_autoscalers.created_at, k8s_autoscalers) >= young_s]
    without_metrics = ~rows.scaling_active & (rows.scaling_active_reason != "ScalingDisabled")
    rows = rows[~rows.able_to_scale | without_metrics]
    stuck = rows.able_to_scale.eq(False).fillna(False).astype(bool)
    rows = rows.assign(
        why=rows.able_to_scale_reason.where(stuck, rows.scaling_active_reason),
        said=one_line(rows.able_to_scale_message.where(stuck, rows.scaling_active_message)),
        since_at=rows.able_to_scale_at.where(stuck, rows.scaling_active_at),
    )
    return rows.sort_values("since_at")


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="at its maximum of {max_replicas} pods of {workload_kind} {workload} since {scaling_limited_at:%Y-%m-%d %H:%M:%S} UTC; {said}",
    at="scaling_limited_at",
)
def no_autoscaler_is_at_its_maximum(k8s_autoscalers):
    """No autoscaler needs more pods than its maximum.

    The load exceeds the planned maximum: kubernetes-mixin (KubeHpaMaxedOut). Equal minimum and maximum are deliberate.
    """
    rows = k8s_autoscalers
    limited = rows.scaling_limited & (rows.scaling_limited_reason == "TooManyReplicas")
    rows = rows[limited & (rows.max_replicas > rows.min_replicas)]
    return rows.assign(said=one_line(rows.scaling_limited_message)).sort_values("scaling_limited_at")


@check(
    section="06",
    severity="medium",
    high="healthy_pods < desired_healthy",
    note="healthy_pods >= expected_pods",
    subject="{instance}: {namespace}/{name}",
    because="allows no eviction{since}: {healthy_pods} of {expected_pods} pods healthy, {desired_healthy} required",
    at="changed_at",
)
def disruption_budgets_allow_evictions(k8s_disruption_budgets):
    """Every disruption budget allows the eviction of at least one pod.

    Otherwise nodes can't be drained, and cluster upgrades are blocked. High where fewer pods are healthy than required (kubernetes-mixin:
    KubePdbNotEnoughHealthyPods); a budget that allows none although all pods are healthy is a note.
    """
    rows = k8s_disruption_budgets
    rows = rows[(rows.disruptions_allowed == 0) & (rows.expected_pods > 0)]
    since = (" since " + rows.changed_at.dt.strftime("%Y-%m-%d %H:%M:%S UTC")).fillna("")
    return rows.assign(since=since).sort_values("expected_pods", ascending=False)


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{name}",
    because="selector {selector} matches no pod",
)
def every_disruption_budget_finds_pods(k8s_disruption_budgets, *, young_s=60):
    """Every disruption budget selects at least one pod.

    One without pods protects nothing: a label was changed, or its workload is gone or scaled to zero. Popeye's rule 900.
    """
    rows = k8s_disruption_budgets
    return rows[(rows.expected_pods == 0) & (seconds_since(rows.created_at, rows) >= young_s)]

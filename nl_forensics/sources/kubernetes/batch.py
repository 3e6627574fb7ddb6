"""Jobs, cron jobs, and what scales and protects workloads."""

from nl_forensics.sources import Permission, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import AUTOSCALERS, CRON_JOBS, DISRUPTION_BUDGETS, JOBS
from nl_forensics.sources.kubernetes.reading import (
    condition,
    condition_columns,
    conditions_of,
    joined,
    listed,
    missing_is_false,
    named,
    owner,
    pairs,
)
from nl_forensics.sources.kubernetes.workloads import NAMED, template_of


@source(
    columns={
        **NAMED,
        "workload_kind": Column("str", "kind of the object that controls it; empty if none"),
        "workload": Column("str", "cron job that created it; empty if none"),
        "completions": Column("Int64", "pods that must succeed", absent="not set: one success is enough"),
        "active": Column("Int64", "running or pending pods"),
        "succeeded": Column("Int64", "pods that succeeded"),
        "failed": Column("Int64", "pods that failed"),
        "retries_allowed": Column("Int64", "failed pods after which the job has failed"),
        "deadline_s": Column("Int64", "time after which the job has failed", absent="no deadline is set"),
        "suspended": Column("boolean", "the job is suspended"),
        "started_at": Column(UTC, "its controller started it", absent="its controller has not started it"),
        "completed_at": Column(UTC, "it succeeded", absent="it has not succeeded"),
        **condition_columns("failure", "Failed", "it has failed", only_if_it_holds=True),
        "images": Column("str", "container images of its pods"),
    },
    covers="now",
    needs=Permission(kubernetes="list jobs.batch"),
    parse=missing_is_false("failure"),
)
def k8s_jobs(kubernetes, incident, platform):
    """One row per job in scope that still exists."""
    found = yield from listed(kubernetes, JOBS, incident, platform)
    for one in found:
        spec, status, above = one["spec"], one.get("status") or {}, owner(one)
        yield {
            **named(one),
            "workload_kind": above.get("kind", ""),
            "workload": above.get("name", ""),
            "completions": spec.get("completions"),
            **{key: status.get(key, 0) for key in ("active", "succeeded", "failed")},
            "retries_allowed": spec.get("backoffLimit", 6),
            "deadline_s": spec.get("activeDeadlineSeconds"),
            "suspended": bool(spec.get("suspend")),
            "started_at": status.get("startTime"),
            "completed_at": status.get("completionTime"),
            **conditions_of(one, "Failed", "failure"),
            "images": template_of(one)["images"],
        }


@source(
    columns={
        **NAMED,
        "schedule": Column("str", "schedule in cron syntax"),
        "time_zone": Column("str", "time zone of the schedule; empty: that of the controller, usually UTC"),
        "suspended": Column("boolean", "no new jobs are created"),
        "concurrency": Column("str", "`Allow`, `Forbid` or `Replace` overlapping jobs"),
        "starting_deadline_s": Column(
            "Int64", "time after its schedule within which a run must start", absent="no deadline is set"
        ),
        "active": Column("Int64", "jobs that are running"),
        "last_scheduled_at": Column(UTC, "last run was created", absent="no run was ever created"),
        "last_succeeded_at": Column(UTC, "last run succeeded", absent="no run ever succeeded"),
        "images": Column("str", "container images of its pods"),
    },
    covers="now",
    needs=Permission(kubernetes="list cronjobs.batch"),
)
def k8s_cron_jobs(kubernetes, incident, platform):
    """One row per cron job in scope."""
    found = yield from listed(kubernetes, CRON_JOBS, incident, platform)
    for one in found:
        spec, status = one["spec"], one.get("status") or {}
        yield {
            **named(one),
            "schedule": spec["schedule"],
            "time_zone": spec.get("timeZone", ""),
            "suspended": bool(spec.get("suspend")),
            "concurrency": spec.get("concurrencyPolicy", ""),
            "starting_deadline_s": spec.get("startingDeadlineSeconds"),
            "active": len(status.get("active") or []),
            "last_scheduled_at": status.get("lastScheduleTime"),
            "last_succeeded_at": status.get("lastSuccessfulTime"),
            "images": template_of(one)["images"],
        }


@source(
    columns={
        **NAMED,
        "workload_kind": Column("str", "kind of the workload that it scales"),
        "workload": Column("str", "name of the workload that it scales"),
        "min_replicas": Column("Int64", "lowest number of pods that it may set"),
        "max_replicas": Column("Int64", "highest number of pods that it may set"),
        "current_replicas": Column("Int64", "pods that exist"),
        "desired_replicas": Column("Int64", "pods that it calculated"),
        "last_scaled_at": Column(
            UTC, "it last changed the number of pods", absent="it never changed the number of pods"
        ),
        "metrics": Column("str", "metrics that it uses, such as `Resource cpu, Pods requests_per_second`"),
        **condition_columns("able_to_scale", "AbleToScale", "it can change the number of pods"),
        **condition_columns("scaling_active", "ScalingActive", "it can read its metrics"),
        **condition_columns("scaling_limited", "ScalingLimited", "its limits prevent the calculated number of pods"),
    },
    covers="now",
    needs=Permission(kubernetes="list horizontalpodautoscalers.autoscaling"),
)
def k8s_autoscalers(kubernetes, incident, platform):
    """One row per horizontal pod autoscaler in scope."""
    found = yield from listed(kubernetes, AUTOSCALERS, incident, platform)
    for one in found:
        spec, status = one["spec"], one.get("status") or {}
        yield {
            **named(one),
            "workload_kind": spec["scaleTargetRef"]["kind"],
            "workload": spec["scaleTargetRef"]["name"],
            "min_replicas": spec.get("minReplicas", 1),
            "max_replicas": spec["maxReplicas"],
            "current_replicas": status.get("currentReplicas", 0),
            "desired_replicas": status.get("desiredReplicas", 0),
            "last_scaled_at": status.get("lastScaleTime"),
            "metrics": joined(_metric(each) for each in spec.get("metrics") or []),
            **conditions_of(one, "AbleToScale", "able_to_scale"),
            **conditions_of(one, "ScalingActive", "scaling_active"),
            **conditions_of(one, "ScalingLimited", "scaling_limited"),
        }


def _metric(metric: dict) -> str:
    kind = metric["type"]
    details = metric.get(kind[0].lower() + kind[1:]) or {}
    name = details.get("name") or (details.get("metric") or {}).get("name", "")
    return f"{kind} {name}".strip()


@source(
    columns={
        **NAMED,
        "selector": Column("str", "labels of the pods that it covers"),
        "min_available": Column("str", "pods that must stay available, a number or a percentage; empty if not set"),
        "max_unavailable": Column("str", "pods that may be unavailable, a number or a percentage; empty if not set"),
        "expected_pods": Column("Int64", "pods that it covers"),
        "healthy_pods": Column("Int64", "covered pods that are healthy"),
        "desired_healthy": Column("Int64", "covered pods that must be healthy"),
        "disruptions_allowed": Column("Int64", "evictions that it allows now"),
        "reason": Column("str", "reason for that number, such as `InsufficientPods`"),
        "changed_at": Column(
            UTC, "the condition DisruptionAllowed last changed", unknown="its controller has not reported the condition"
        ),
    },
    covers="now",
    needs=Permission(kubernetes="list poddisruptionbudgets.policy"),
)
def k8s_disruption_budgets(kubernetes, incident, platform):
    """One row per pod disruption budget in scope."""
    found = yield from listed(kubernetes, DISRUPTION_BUDGETS, incident, platform)
    for one in found:
        spec, status, allowed = one["spec"], one.get("status") or {}, condition(one, "DisruptionAllowed")
        yield {
            **named(one),
            "selector": pairs((spec.get("selector") or {}).get("matchLabels")),
            "min_available": str(spec.get("minAvailable", "")),
            "max_unavailable": str(spec.get("maxUnavailable", "")),
            "expected_pods": status.get("expectedPods", 0),
            "healthy_pods": status.get("currentHealthy", 0),
            "desired_healthy": status.get("desiredHealthy", 0),
            "disruptions_allowed": status.get("disruptionsAllowed", 0),
            "reason": allowed.get("reason", ""),
            "changed_at": allowed.get("lastTransitionTime"),
        }

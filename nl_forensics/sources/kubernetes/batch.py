"""Jobs, cron jobs, and what scales and protects workloads."""

from nl_forensics.sources import UTC, Permission, source
from nl_forensics.sources.kubernetes.kinds import AUTOSCALERS, CRON_JOBS, DISRUPTION_BUDGETS, JOBS
from nl_forensics.sources.kubernetes.reading import (
    condition,
    condition_columns,
    conditions_of,
    joined,
    listed,
    named,
    owner,
    pairs,
)
from nl_forensics.sources.kubernetes.workloads import NAMED, template_of


@source(
    columns={
        **NAMED,
        "workload_kind": "str",
        "workload": "str",
        "completions": "Int64",
        "active": "Int64",
        "succeeded": "Int64",
        "failed": "Int64",
        "retries_allowed": "Int64",
        "deadline_s": "Int64",
        "suspended": "boolean",
        "started_at": UTC,
        "completed_at": UTC,
        **condition_columns("failure"),
        "images": "str",
    },
    nullable=("completions", "deadline_s", "started_at", "completed_at", "failure", "failure_at"),
    covers="now",
    needs=Permission(kubernetes="list jobs.batch"),
)
def k8s_jobs(kubernetes, incident, platform):
    """One row per job in scope that is still kept.

    workload_kind, workload   the cron job that made it, "" when none did
    completions   wanted, null when one is enough; active, succeeded, failed: pods
    retries_allowed, deadline_s   after so many failed pods, or so many seconds (null: no limit), it has failed
    completed_at  null unless it has succeeded
    failure       true when it has failed, with _reason (`BackoffLimitExceeded`, `DeadlineExceeded`), _message, _at; else null
    """
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
        "schedule": "str",
        "time_zone": "str",
        "suspended": "boolean",
        "concurrency": "str",
        "starting_deadline_s": "Int64",
        "active": "Int64",
        "last_scheduled_at": UTC,
        "last_succeeded_at": UTC,
        "images": "str",
    },
    nullable=("starting_deadline_s", "last_scheduled_at", "last_succeeded_at"),
    covers="now",
    needs=Permission(kubernetes="list cronjobs.batch"),
)
def k8s_cron_jobs(kubernetes, incident, platform):
    """One row per cron job in scope.

    schedule      as cron writes it, in time_zone ("": that of the controller, mostly UTC)
    concurrency   `Allow`, `Forbid` or `Replace`
    active        jobs that run now
    last_scheduled_at, last_succeeded_at   null when it never was
    """
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
        "workload_kind": "str",
        "workload": "str",
        "min_replicas": "Int64",
        "max_replicas": "Int64",
        "current_replicas": "Int64",
        "desired_replicas": "Int64",
        "last_scaled_at": UTC,
        "metrics": "str",
        **condition_columns("able_to_scale"),
        **condition_columns("scaling_active"),
        **condition_columns("scaling_limited"),
    },
    nullable=(
        "last_scaled_at",
        *(
            f"{name}{suffix}"
            for name in ("able_to_scale", "scaling_active", "scaling_limited")
            for suffix in ("", "_at")
        ),
    ),
    covers="now",
    needs=Permission(kubernetes="list horizontalpodautoscalers.autoscaling"),
)
def k8s_autoscalers(kubernetes, incident, platform):
    """One row per horizontal pod autoscaler in scope.

    workload_kind, workload   what it scales
    min_, max_replicas        its limits; current_, desired_replicas: what there is, what it wants
    metrics      what it goes by: `Resource cpu, Pods requests_per_second`
    able_to_scale, scaling_active, scaling_limited   the conditions, null while there is none, each with _reason, _message, _at;
                 scaling_active false: it can't read its metrics; scaling_limited true: it wants more, or less, than it may
    """
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
        "selector": "str",
        "min_available": "str",
        "max_unavailable": "str",
        "expected_pods": "Int64",
        "healthy_pods": "Int64",
        "desired_healthy": "Int64",
        "disruptions_allowed": "Int64",
        "reason": "str",
        "changed_at": UTC,
    },
    nullable=("changed_at",),
    covers="now",
    needs=Permission(kubernetes="list poddisruptionbudgets.policy"),
)
def k8s_disruption_budgets(kubernetes, incident, platform):
    """One row per pod disruption budget in scope.

    min_available, max_unavailable   as they are set, a number or a percentage, "" for the one that is not
    expected_pods, healthy_pods, desired_healthy   pods that it is about, that are healthy, that must be
    disruptions_allowed   evictions that it would let pass now; reason: why (`InsufficientPods`, …); changed_at: since when
    """
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

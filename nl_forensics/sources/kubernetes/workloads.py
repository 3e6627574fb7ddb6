"""Deployments and what they roll out: replica sets and revisions."""

from nl_forensics.sources import UTC, Permission, source
from nl_forensics.sources.kubernetes.kinds import (
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    REVISIONS,
    STATEFUL_SETS,
    digest,
    template,
)
from nl_forensics.sources.kubernetes.pods import config_maps_of, probe_in_words
from nl_forensics.sources.kubernetes.reading import (
    all_containers,
    condition,
    condition_columns,
    conditions_of,
    joined,
    listed,
    named,
    owner,
    pairs,
)

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
TEMPLATE_COLUMNS = {
    "images": "str",
    "env_names": "str",
    "env_digest": "str",
    "resources": "str",
    "probes": "str",
    "config_maps": "str",
    "template_digest": "str",
    "restarted_at": UTC,
}
NAMED = {"namespace": "str", "name": "str", "created_at": UTC}


def template_of(one: dict) -> dict:
    """What can change between two revisions, each as one line of text; values of the environment as a digest."""
    found = template(one)
    spec, annotations = found.get("spec") or {}, (found.get("metadata") or {}).get("annotations") or {}
    containers = [container for _, container in all_containers(spec)]
    several = len(containers) > 1
    labelled = [(f"{each['name']} " if several else "", each) for each in containers]
    return {
        "images": joined(f"{label}{each.get('image', '')}" for label, each in labelled),
        "env_names": joined(f"{label}{name['name']}" for label, each in labelled for name in each.get("env") or []),
        "env_digest": digest([each.get("envDigest") for each in containers]),
        "resources": joined(f"{label}{_resources(each)}" for label, each in labelled),
        "probes": joined(f"{label}{_probes(each)}" for label, each in labelled),
        "config_maps": joined(config_maps_of(spec)),
        "template_digest": digest(spec),
        "restarted_at": annotations.get("kubectl.kubernetes.io/restartedAt"),
    }


def _resources(container: dict) -> str:
    resources = container.get("resources") or {}
    parts = (f"{kind} {pairs(resources.get(kind))}" for kind in ("requests", "limits") if resources.get(kind))
    return joined(parts, "; ") or "none"


def _probes(container: dict) -> str:
    parts = []
    for kind in ("startup", "liveness", "readiness"):
        if probe := container.get(f"{kind}Probe"):
            numbers = {key: probe[key] for key in sorted(probe) if isinstance(probe[key], int)}
            parts.append(f"{kind} {probe_in_words(probe)} {pairs(numbers)}".strip())
    return joined(parts, "; ") or "none"


def selector_of(one: dict) -> str:
    """`app=api`, and the number of expressions, which have no short form."""
    selector = one["spec"].get("selector") or {}
    more = len(selector.get("matchExpressions") or [])
    return pairs(selector.get("matchLabels")) + (f" and {more} expressions" if more else "")


@source(
    columns={
        **NAMED,
        "replicas": "Int64",
        "current_replicas": "Int64",
        "updated_replicas": "Int64",
        "ready_replicas": "Int64",
        "available_replicas": "Int64",
        "unavailable_replicas": "Int64",
        "generation": "Int64",
        "observed_generation": "Int64",
        "revision": "Int64",
        "paused": "boolean",
        "strategy": "str",
        "max_unavailable": "str",
        "max_surge": "str",
        "progress_deadline_s": "Int64",
        **condition_columns("available"),
        **condition_columns("progressing"),
        "progressing_updated_at": UTC,
        **condition_columns("replica_failure"),
        "selector": "str",
        **TEMPLATE_COLUMNS,
    },
    nullable=(
        "revision",
        "progress_deadline_s",
        "available",
        "available_at",
        "progressing",
        "progressing_at",
        "progressing_updated_at",
        "replica_failure",
        "replica_failure_at",
        "restarted_at",
    ),
    covers="now",
    needs=Permission(kubernetes="list deployments.apps"),
    guide=("C004", "C018", "C087"),
)
def k8s_deployments(kubernetes, incident, platform):
    """One row per deployment in scope.

    replicas   wanted; current_, updated_ (of the newest revision), ready_, available_, unavailable_replicas: there are
    generation, observed_generation   of what was asked for, and of what the controller has seen
    revision   the newest, null before the controller has numbered it
    available, progressing, replica_failure   the conditions, null while there is none, each with _reason, _message, _at
               (since when); progressing_updated_at: the last progress of the rollout
    strategy   `RollingUpdate` or `Recreate`; max_unavailable, max_surge: as they are set, a number or a percentage
    progress_deadline_s   a rollout without progress for so long has failed, seconds
    images, env_names, resources, probes, config_maps   of the pod template, as in k8s_replica_sets
    """
    found = yield from listed(kubernetes, DEPLOYMENTS, incident, platform)
    for one in found:
        yield _deployment(one)


def _deployment(one: dict) -> dict:
    spec, status = one["spec"], one.get("status") or {}
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    progressing = condition(one, "Progressing")
    return {
        **named(one),
        "replicas": spec.get("replicas", 1),
        "current_replicas": status.get("replicas", 0),
        **{
            f"{key}_replicas": status.get(f"{key}Replicas", 0)
            for key in ("updated", "ready", "available", "unavailable")
        },
        "generation": one["metadata"].get("generation"),
        "observed_generation": status.get("observedGeneration", 0),
        "revision": _revision(one),
        "paused": bool(spec.get("paused")),
        "strategy": (spec.get("strategy") or {}).get("type", ""),
        "max_unavailable": str(rolling.get("maxUnavailable", "")),
        "max_surge": str(rolling.get("maxSurge", "")),
        "progress_deadline_s": spec.get("progressDeadlineSeconds"),
        **conditions_of(one, "Available", "available"),
        **conditions_of(one, "Progressing", "progressing"),
        "progressing_updated_at": progressing.get("lastUpdateTime"),
        **conditions_of(one, "ReplicaFailure", "replica_failure"),
        "selector": selector_of(one),
        **template_of(one),
    }


def _revision(one: dict) -> int | None:
    text = (one["metadata"].get("annotations") or {}).get(REVISION)
    return int(text) if text else None


@source(
    columns={
        **NAMED,
        "workload_kind": "str",
        "workload": "str",
        "revision": "Int64",
        "revision_history": "str",
        "template_hash": "str",
        "replicas": "Int64",
        "current_replicas": "Int64",
        "ready_replicas": "Int64",
        "available_replicas": "Int64",
        "change_cause": "str",
        **condition_columns("replica_failure"),
        **TEMPLATE_COLUMNS,
    },
    nullable=("revision", "replica_failure", "replica_failure_at", "restarted_at"),
    covers="now",
    needs=Permission(kubernetes="list replicasets.apps"),
    guide=("C004", "C088", "C089", "C090"),
)
def k8s_replica_sets(kubernetes, incident, platform):
    """One row per replica set in scope: the revisions of each deployment that are still kept (10 unless set otherwise).

    workload_kind, workload   the deployment that it belongs to, "" when to none
    revision        number within the deployment, null when it belongs to none; an old one that was rolled back to has the newest number,
                    and revision_history the numbers that it had before (`1,3`)
    created_at      when this revision was rolled out for the first time
    template_hash   as in `revision` of k8s_pods
    replicas        wanted; 0 for a revision of the past
    change_cause    what somebody noted, "" for most
    replica_failure pods can't be made (quota, admission), with _reason, _message, _at; null while they can
    images, env_names, resources, probes, config_maps   of the pod template; env_digest: changes with any value of the environment,
                    command or argument, which are not recorded; template_digest: with anything; restarted_at: `kubectl rollout restart`
    """
    found = yield from listed(kubernetes, REPLICA_SETS, incident, platform)
    for one in found:
        status, above = one.get("status") or {}, owner(one)
        annotations, labels = (one["metadata"].get(key) or {} for key in ("annotations", "labels"))
        yield {
            **named(one),
            "workload_kind": above.get("kind", ""),
            "workload": above.get("name", ""),
            "revision": _revision(one),
            "revision_history": annotations.get("deployment.kubernetes.io/revision-history", ""),
            "template_hash": labels.get("pod-template-hash", ""),
            "replicas": one["spec"].get("replicas", 1),
            "current_replicas": status.get("replicas", 0),
            "ready_replicas": status.get("readyReplicas", 0),
            "available_replicas": status.get("availableReplicas", 0),
            "change_cause": annotations.get(CAUSE, ""),
            **conditions_of(one, "ReplicaFailure", "replica_failure"),
            **template_of(one),
        }


@source(
    columns={
        **NAMED,
        "replicas": "Int64",
        "current_replicas": "Int64",
        "updated_replicas": "Int64",
        "ready_replicas": "Int64",
        "available_replicas": "Int64",
        "generation": "Int64",
        "observed_generation": "Int64",
        "current_revision": "str",
        "update_revision": "str",
        "strategy": "str",
        "partition": "Int64",
        "service": "str",
        "claim_templates": "str",
        "selector": "str",
        **TEMPLATE_COLUMNS,
    },
    nullable=("partition", "restarted_at"),
    covers="now",
    needs=Permission(kubernetes="list statefulsets.apps"),
    guide=("C018",),
)
def k8s_stateful_sets(kubernetes, incident, platform):
    """One row per stateful set in scope.

    replicas   wanted; current_replicas: all that there are; updated_, ready_, available_replicas
    current_revision, update_revision   differ while a rollout goes on; partition: pods with a lower number are not updated, null when unset
    service    the headless service that names its pods
    claim_templates   names of its volume claim templates
    """
    found = yield from listed(kubernetes, STATEFUL_SETS, incident, platform)
    for one in found:
        spec, status = one["spec"], one.get("status") or {}
        strategy = spec.get("updateStrategy") or {}
        yield {
            **named(one),
            "replicas": spec.get("replicas", 1),
            "current_replicas": status.get("replicas", 0),
            **{f"{key}_replicas": status.get(f"{key}Replicas", 0) for key in ("updated", "ready", "available")},
            "generation": one["metadata"].get("generation"),
            "observed_generation": status.get("observedGeneration", 0),
            "current_revision": status.get("currentRevision", ""),
            "update_revision": status.get("updateRevision", ""),
            "strategy": strategy.get("type", ""),
            "partition": (strategy.get("rollingUpdate") or {}).get("partition"),
            "service": spec.get("serviceName", ""),
            "claim_templates": joined(each["metadata"]["name"] for each in spec.get("volumeClaimTemplates") or []),
            "selector": selector_of(one),
            **template_of(one),
        }


@source(
    columns={
        **NAMED,
        "wanted": "Int64",
        "current": "Int64",
        "updated": "Int64",
        "ready": "Int64",
        "available": "Int64",
        "misplaced": "Int64",
        "generation": "Int64",
        "observed_generation": "Int64",
        "strategy": "str",
        "selector": "str",
        **TEMPLATE_COLUMNS,
    },
    nullable=("restarted_at",),
    covers="now",
    needs=Permission(kubernetes="list daemonsets.apps"),
    guide=("C018",),
)
def k8s_daemon_sets(kubernetes, incident, platform):
    """One row per daemon set in scope; every count is one of nodes.

    wanted     nodes that should run it; current: that do; updated: the newest revision; ready; available
    misplaced  nodes that run it though they should not
    """
    found = yield from listed(kubernetes, DAEMON_SETS, incident, platform)
    for one in found:
        status = one.get("status") or {}
        yield {
            **named(one),
            "wanted": status.get("desiredNumberScheduled", 0),
            "current": status.get("currentNumberScheduled", 0),
            "updated": status.get("updatedNumberScheduled", 0),
            "ready": status.get("numberReady", 0),
            "available": status.get("numberAvailable", 0),
            "misplaced": status.get("numberMisscheduled", 0),
            "generation": one["metadata"].get("generation"),
            "observed_generation": status.get("observedGeneration", 0),
            "strategy": (one["spec"].get("updateStrategy") or {}).get("type", ""),
            "selector": selector_of(one),
            **template_of(one),
        }


@source(
    columns={
        **NAMED,
        "workload_kind": "str",
        "workload": "str",
        "revision": "Int64",
        **TEMPLATE_COLUMNS,
    },
    nullable=("restarted_at",),
    covers="now",
    needs=Permission(kubernetes="list controllerrevisions.apps"),
    guide=("C004", "C088"),
)
def k8s_controller_revisions(kubernetes, incident, platform):
    """One row per kept revision of a stateful set or daemon set in scope: what k8s_replica_sets is to deployments.

    revision   number within the workload; created_at: when it was rolled out for the first time
    """
    found = yield from listed(kubernetes, REVISIONS, incident, platform)
    for one in found:
        above = owner(one)
        yield {
            **named(one),
            "workload_kind": above.get("kind", ""),
            "workload": above.get("name", ""),
            "revision": one.get("revision"),
            **template_of(one),
        }

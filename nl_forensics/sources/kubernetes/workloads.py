"""Workloads and their revisions."""

import pandas as pd

from nl_forensics.sources import Permission, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.digest import digest
from nl_forensics.sources.kubernetes.kinds import (
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    REVISIONS,
    STATEFUL_SETS,
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
    missing_is_false,
    named,
    owner,
    pairs,
)

REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
NO_DEADLINE_S = 2**31 - 1  # how the field progressDeadlineSeconds says that there is none
TEMPLATE_COLUMNS = {
    "images": Column("str", "container images of the pod template"),
    "env_names": Column("str", "names of its environment variables; values are never recorded"),
    "env_digest": Column("str", "digest of environment values, commands and arguments, which are not recorded"),
    "resources": Column("str", "requests and limits of its containers"),
    "probes": Column("str", "probes of its containers"),
    "config_maps": Column("str", "config maps that it mounts or reads"),
    "template_digest": Column("str", "digest of the whole pod template"),
    "restarted_at": Column(
        UTC, "last `kubectl rollout restart`", absent="it was never restarted with `kubectl rollout restart`"
    ),
}
NAMED = {
    "namespace": Column("str", "namespace; empty for an object of the cluster"),
    "name": Column("str", "name of the object"),
    "created_at": Column(UTC, "it was created"),
}


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
    """`app=api`, and the number of expressions, which can't be abbreviated."""
    selector = one["spec"].get("selector") or {}
    more = len(selector.get("matchExpressions") or [])
    return pairs(selector.get("matchLabels")) + (f" and {more} expressions" if more else "")


def _deployments(records: list[dict]) -> pd.DataFrame:
    return missing_is_false("replica_failure")([_with_progress(record) for record in records])


def _with_progress(record: dict) -> dict:
    """Without a deadline, the controller writes no condition Progressing: a complete rollout is seen by its pods, another is unknown."""
    if record.get("progress_deadline_s") != NO_DEADLINE_S:
        return record
    pods = {record[f"{which}_replicas"] for which in ("current", "updated", "available")}
    is_complete = pods == {record["replicas"]} and record["observed_generation"] >= record["generation"]
    return record | {"progress_deadline_s": None, "progressing": True if is_complete else record["progressing"]}


@source(
    columns={
        **NAMED,
        "replicas": Column("Int64", "wanted pods"),
        "current_replicas": Column("Int64", "existing pods"),
        "updated_replicas": Column("Int64", "pods of the newest revision"),
        "ready_replicas": Column("Int64", "ready pods"),
        "available_replicas": Column("Int64", "available pods"),
        "unavailable_replicas": Column("Int64", "missing or unavailable pods"),
        "generation": Column("Int64", "version of the spec"),
        "observed_generation": Column("Int64", "version of the spec that the controller has processed"),
        "revision": Column("Int64", "newest revision", unknown="its controller has not numbered it yet"),
        "paused": Column("boolean", "its rollout is paused"),
        "strategy": Column("str", "`RollingUpdate` or `Recreate`"),
        "max_unavailable": Column("str", "pods that may be unavailable during a rollout, a number or a percentage"),
        "max_surge": Column("str", "additional pods during a rollout, a number or a percentage"),
        "progress_deadline_s": Column(
            "Int64", "time without progress after which a rollout has failed", absent="no deadline is set"
        ),
        **condition_columns("available", "Available", "enough of its pods are available"),
        **condition_columns("progressing", "Progressing", "its rollout progresses or is complete"),
        "progressing_updated_at": Column(
            UTC, "last progress of the rollout", unknown="its controller has not reported it yet"
        ),
        **condition_columns("replica_failure", "ReplicaFailure", "its pods can't be created", only_if_it_holds=True),
        "selector": Column("str", "labels of its pods"),
        **TEMPLATE_COLUMNS,
    },
    covers="now",
    needs=Permission(kubernetes="list deployments.apps"),
    parse=_deployments,
    guide=("C004", "C018", "C087"),
)
def k8s_deployments(kubernetes, incident, platform):
    """One row per deployment in scope."""
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


def _replica_sets(records: list[dict]) -> pd.DataFrame:
    """One that belongs to no deployment has no number, which is known: 0. One that does is numbered by a controller."""
    rows = missing_is_false("replica_failure")(records)
    return rows.assign(revision=rows.revision.mask(rows.revision.isna() & (rows.workload == ""), 0))


@source(
    columns={
        **NAMED,
        "created_at": Column(UTC, "this revision was first rolled out"),
        "workload_kind": Column("str", "kind of its owner; empty if none"),
        "workload": Column("str", "deployment that owns it; empty if none"),
        "revision": Column(
            "Int64",
            "number within the deployment; 0 if it belongs to none",
            unknown="its deployment's controller has not numbered it yet",
        ),
        "revision_history": Column("str", "numbers that it had before: `1,3`"),
        "template_hash": Column("str", "hash of the pod template, as in `revision` of k8s_pods"),
        "replicas": Column("Int64", "wanted pods; 0 for an old revision"),
        "current_replicas": Column("Int64", "existing pods"),
        "ready_replicas": Column("Int64", "ready pods"),
        "available_replicas": Column("Int64", "available pods"),
        "change_cause": Column("str", "annotated cause of the change; usually empty"),
        **condition_columns("replica_failure", "ReplicaFailure", "its pods can't be created", only_if_it_holds=True),
        **TEMPLATE_COLUMNS,
    },
    covers="now",
    needs=Permission(kubernetes="list replicasets.apps"),
    parse=_replica_sets,
    guide=("C004", "C088", "C089", "C090"),
)
def k8s_replica_sets(kubernetes, incident, platform):
    """One row per replica set in scope: the revisions of each deployment that still exist (10 by default).

    A revision that was rolled back to has the newest number; `revision_history` has its earlier ones.
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
        "replicas": Column("Int64", "wanted pods"),
        "current_replicas": Column("Int64", "existing pods"),
        "updated_replicas": Column("Int64", "pods of the newest revision"),
        "ready_replicas": Column("Int64", "ready pods"),
        "available_replicas": Column("Int64", "available pods"),
        "generation": Column("Int64", "version of the spec"),
        "observed_generation": Column("Int64", "version of the spec that the controller has processed"),
        "current_revision": Column("str", "revision before the rollout"),
        "update_revision": Column("str", "newest revision; differs from `current_revision` during a rollout"),
        "strategy": Column("str", "`RollingUpdate` or `OnDelete`"),
        "partition": Column("Int64", "pods with a lower ordinal are not updated", absent="no partition is set"),
        "service": Column("str", "headless service that names its pods"),
        "claim_templates": Column("str", "names of its volume claim templates"),
        "selector": Column("str", "labels of its pods"),
        **TEMPLATE_COLUMNS,
    },
    covers="now",
    needs=Permission(kubernetes="list statefulsets.apps"),
    guide=("C018",),
)
def k8s_stateful_sets(kubernetes, incident, platform):
    """One row per stateful set in scope."""
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
        "wanted": Column("Int64", "nodes that should run it"),
        "current": Column("Int64", "nodes that run it and should"),
        "updated": Column("Int64", "nodes that run the newest revision"),
        "ready": Column("Int64", "nodes where it is ready"),
        "available": Column("Int64", "nodes where it is available"),
        "misplaced": Column("Int64", "nodes that run it and should not"),
        "generation": Column("Int64", "version of the spec"),
        "observed_generation": Column("Int64", "version of the spec that the controller has processed"),
        "strategy": Column("str", "`RollingUpdate` or `OnDelete`"),
        "selector": Column("str", "labels of its pods"),
        **TEMPLATE_COLUMNS,
    },
    covers="now",
    needs=Permission(kubernetes="list daemonsets.apps"),
    guide=("C018",),
)
def k8s_daemon_sets(kubernetes, incident, platform):
    """One row per daemon set in scope; every count is one of nodes."""
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
        "created_at": Column(UTC, "this revision was first rolled out"),
        "workload_kind": Column("str", "kind of its owner"),
        "workload": Column("str", "workload that owns it"),
        "revision": Column("Int64", "number within the workload"),
        **TEMPLATE_COLUMNS,
    },
    covers="now",
    needs=Permission(kubernetes="list controllerrevisions.apps"),
    guide=("C004", "C088"),
)
def k8s_controller_revisions(kubernetes, incident, platform):
    """One row per stored revision of a stateful set or daemon set in scope, as k8s_replica_sets for deployments."""
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

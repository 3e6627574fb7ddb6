"""Pods, and each container of them."""

from datetime import datetime, timedelta

import pandas as pd

from nl_forensics.sources import Permission, as_rows, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import PODS
from nl_forensics.sources.kubernetes.reading import (
    all_containers,
    condition,
    joined,
    listed,
    needed,
    pairs,
    quantity,
    whole,
    workload,
)

PROBES = ("liveness", "readiness", "startup")
PROBE_NUMBERS = {
    "initial_delay_s": ("initialDelaySeconds", 0),
    "period_s": ("periodSeconds", 10),
    "timeout_s": ("timeoutSeconds", 1),
    "failures_allowed": ("failureThreshold", 3),
}
PROBE_MEANINGS = {
    "initial_delay_s": "time before the first {probe} probe",
    "period_s": "time between two {probe} probes",
    "timeout_s": "time for the answer to a {probe} probe",
    "failures_allowed": "failed {probe} probes in a row that count as a failure",
}
PROBE_COLUMNS = {
    f"{probe}_{name}": Column("Int64", meaning.format(probe=probe), absent=f"it has no {probe} probe")
    for probe in PROBES
    for name, meaning in PROBE_MEANINGS.items()
}


@source(
    columns={
        "namespace": Column("str", "namespace"),
        "pod": Column("str", "name of the pod"),
        "uid": Column("str", "UID of the pod"),
        "workload_kind": Column(
            "str", "kind of its workload: `Deployment`, not its replica set; `Pod` if nothing owns it"
        ),
        "workload": Column("str", "name of its workload; its own name if nothing owns it"),
        "revision": Column("str", "hash of the pod template in its labels; empty if it has none"),
        "phase": Column("str", "`Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`"),
        "reason": Column("str", "reason for the phase, such as `Evicted`"),
        "message": Column("str", "message for the phase"),
        "ready": Column("boolean", "condition Ready is True"),
        "ready_changed_at": Column(
            UTC, "condition Ready last changed", absent="no kubelet has accepted it: it has no readiness yet"
        ),
        "scheduled": Column("boolean", "it has a node"),
        "scheduling_reason": Column("str", "reason of the scheduler if it has no node"),
        "scheduling_message": Column("str", "message of the scheduler if it has no node"),
        "node": Column("str", "name of its node; empty if unscheduled"),
        "created_at": Column(UTC, "it was created"),
        "started_at": Column(UTC, "the kubelet accepted it", absent="no kubelet has accepted it"),
        "deletion_requested_at": Column(UTC, "deletion was requested", absent="it is not being deleted"),
        "deletion_grace_s": Column("Int64", "time that it has to terminate", absent="it is not being deleted"),
        "finalizers": Column("str", "finalizers that block its deletion"),
        "containers": Column("Int64", "containers, without init containers"),
        "containers_ready": Column("Int64", "ready containers, without init containers"),
        "restarts": Column("Int64", "restarts of all its containers"),
        "qos": Column("str", "quality of service class, which orders evictions"),
        "priority": Column("str", "priority class; empty if none"),
        "restart_policy": Column("str", "`Always`, `OnFailure` or `Never`"),
        "service_account": Column("str", "service account"),
        "pod_ip": Column("str", "IP address; empty if it has none yet"),
        "labels": Column("str", "labels, `app=api,tier=front`"),
        "node_selector": Column("str", "labels that its node must have"),
        "tolerations": Column("str", "tolerations, `key=value:effect`"),
        "affinity": Column("boolean", "it has affinity rules"),
        "cpu_request_cores": Column("float64", "CPU that the scheduler reserves; 0 if nothing is requested"),
        "memory_request_bytes": Column("Int64", "memory that the scheduler reserves; 0 if nothing is requested"),
        "claims": Column("str", "names of the volume claims that it mounts"),
        "config_maps": Column("str", "names of the config maps that it mounts or reads"),
        "schedulable_gates": Column("str", "names of gates that block its scheduling"),
    },
    covers="now",
    needs=Permission(kubernetes="list pods"),
    guide=("C003", "C018", "C078", "C079", "C087", "C126"),
)
def k8s_pods(kubernetes, incident, platform):
    """One row per pod in scope.

    Deleted pods are not listed; events report them.
    """
    found = yield from listed(kubernetes, PODS, incident, platform)
    for pod in found:
        yield _identity(pod) | _state(pod) | _placement(pod)


def _identity(pod: dict) -> dict:
    metadata, (kind, name) = pod["metadata"], workload(pod)
    labels = metadata.get("labels") or {}
    deleted_at = metadata.get("deletionTimestamp")
    grace_s = metadata.get("deletionGracePeriodSeconds")
    return {
        "namespace": metadata["namespace"],
        "pod": metadata["name"],
        "uid": metadata["uid"],
        "workload_kind": kind,
        "workload": name,
        "revision": labels.get("pod-template-hash") or labels.get("controller-revision-hash") or "",
        "created_at": metadata["creationTimestamp"],
        "deletion_requested_at": _before(deleted_at, grace_s),
        "deletion_grace_s": grace_s,
        "finalizers": joined(metadata.get("finalizers") or []),
        "labels": pairs(labels),
    }


def _before(moment: str | None, seconds: int | None) -> str | None:
    """deletionTimestamp is when the grace ends: the request came so many seconds earlier."""
    return moment and (datetime.fromisoformat(moment) - timedelta(seconds=seconds or 0)).isoformat()


def _state(pod: dict) -> dict:
    status, spec = pod.get("status") or {}, pod["spec"]
    ready, scheduled = condition(pod, "Ready"), condition(pod, "PodScheduled")
    statuses = status.get("containerStatuses") or []
    everyone = [*statuses, *(status.get("initContainerStatuses") or [])]
    is_scheduled = bool(spec.get("nodeName"))
    return {
        "phase": status.get("phase", ""),
        "reason": status.get("reason", ""),
        "message": status.get("message", ""),
        "ready": ready.get("status") == "True",
        "ready_changed_at": ready.get("lastTransitionTime"),
        "scheduled": is_scheduled,
        "scheduling_reason": "" if is_scheduled else scheduled.get("reason", ""),
        "scheduling_message": "" if is_scheduled else scheduled.get("message", ""),
        "started_at": status.get("startTime"),
        "containers": len(spec["containers"]),
        "containers_ready": sum(bool(one.get("ready")) for one in statuses),
        "restarts": sum(one.get("restartCount", 0) for one in everyone),
        "qos": status.get("qosClass", ""),
        "pod_ip": status.get("podIP", ""),
    }


def _placement(pod: dict) -> dict:
    spec = pod["spec"]
    return {
        "node": spec.get("nodeName", ""),
        "priority": spec.get("priorityClassName", ""),
        "restart_policy": spec.get("restartPolicy", ""),
        "service_account": spec.get("serviceAccountName", ""),
        "node_selector": pairs(spec.get("nodeSelector")),
        "tolerations": joined(_toleration(one) for one in spec.get("tolerations") or []),
        "affinity": bool(spec.get("affinity")),
        "cpu_request_cores": needed(spec, "cpu"),
        "memory_request_bytes": round(needed(spec, "memory")),
        "claims": joined(claims_of(spec)),
        "config_maps": joined(config_maps_of(spec)),
        "schedulable_gates": joined(one["name"] for one in spec.get("schedulingGates") or []),
    }


def _toleration(one: dict) -> str:
    value = f"={one['value']}" if one.get("value") else ""
    return f"{one.get('key', '*')}{value}:{one.get('effect', '*')}"


def claims_of(spec: dict) -> list[str]:
    """Names of the volume claims that a pod mounts."""
    volumes = (one.get("persistentVolumeClaim") for one in spec.get("volumes") or [])
    return sorted(one["claimName"] for one in volumes if one)


def config_maps_of(spec: dict) -> list[str]:
    """Names of the config maps that a pod mounts, or takes its environment from."""
    names = set()
    for volume in spec.get("volumes") or []:
        parts = [volume, *((volume.get("projected") or {}).get("sources") or [])]
        names |= {part["configMap"].get("name", "") for part in parts if part.get("configMap")}
    for _, container in all_containers(spec):
        names |= {
            one["configMapRef"].get("name", "") for one in container.get("envFrom") or [] if one.get("configMapRef")
        }
        references = [(one.get("valueFrom") or {}).get("configMapKeyRef") for one in container.get("env") or []]
        names |= {one.get("name", "") for one in references if one}
    return sorted(names - {"kube-root-ca.crt"})


def _containers(records: list[dict]) -> pd.DataFrame:
    """Of a container that the kubelet lost, an end is reported without its time, which is not the same as no end."""
    return as_rows([record | {"ends_are_dated": _are_dated(record) or None} for record in records])


def _are_dated(record: dict) -> bool:
    current = record.get("state") != "terminated" or bool(record.get("state_finished_at"))
    return current and (not record.get("last_reason") or bool(record.get("last_finished_at")))


@source(
    columns={
        "namespace": Column("str", "namespace of the pod"),
        "pod": Column("str", "name of the pod"),
        "container": Column("str", "name of the container"),
        "kind": Column("str", "`container`, `init`, `sidecar` (an init container that keeps running) or `ephemeral`"),
        "uid": Column("str", "UID of its pod"),
        "workload_kind": Column("str", "kind of the workload that owns the pod"),
        "workload": Column("str", "name of the workload that owns the pod"),
        "node": Column("str", "node of the pod; empty if unscheduled"),
        "pod_phase": Column("str", "phase of the pod"),
        "pod_created_at": Column(UTC, "the pod was created"),
        "pod_deletion_requested_at": Column(
            UTC, "deletion of the pod was requested", absent="the pod is not being deleted"
        ),
        "image": Column("str", "image as requested"),
        "image_id": Column("str", "image that runs, with its digest; empty before the first start"),
        "pull_policy": Column("str", "`Always`, `IfNotPresent` or `Never`"),
        "ready": Column("boolean", "it is ready, by the kubelet"),
        "started": Column("boolean", "its startup probe has passed, or it has none"),
        "restarts": Column("Int64", "restarts since the pod was created"),
        "state": Column("str", "`waiting`, `running` or `terminated`; empty before the kubelet reports it"),
        "state_reason": Column("str", "reason for the state: `CrashLoopBackOff`, `ImagePullBackOff`, `Completed`"),
        "state_message": Column("str", "message for the state"),
        "state_exit_code": Column("Int64", "exit code of the current run", absent="the current run has not terminated"),
        "state_started_at": Column(UTC, "the current run started", absent="it is not running and has not terminated"),
        "state_finished_at": Column(UTC, "the current run ended", absent="the current run has not terminated"),
        "last_reason": Column(
            "str", "reason of the previous end: `OOMKilled`, `Error`, `Completed`; empty if no run ended before"
        ),
        "last_message": Column("str", "message of the previous end"),
        "last_exit_code": Column(
            "Int64", "exit code of the previous run; 128 + signal", absent="no run ended before the current one"
        ),
        "last_signal": Column("Int64", "signal that ended the previous run", absent="no signal is recorded"),
        "last_started_at": Column(UTC, "the previous run started", absent="no run ended before the current one"),
        "last_finished_at": Column(UTC, "the previous run ended", absent="no run ended before the current one"),
        "ends_are_dated": Column(
            "boolean",
            "every end that is reported has a time",
            unknown="the kubelet does not know when the container ended (ContainerStatusUnknown)",
        ),
        "cpu_request_cores": Column("float64", "CPU request", absent="no request is set"),
        "cpu_limit_cores": Column("float64", "CPU limit", absent="no limit is set"),
        "memory_request_bytes": Column("Int64", "memory request", absent="no request is set"),
        "memory_limit_bytes": Column("Int64", "memory limit", absent="no limit is set"),
        "liveness": Column(
            "str", "liveness probe: `http :8080/health`, `tcp :5432`, `exec` or `grpc :9000`; empty if none"
        ),
        "readiness": Column("str", "readiness probe, as `liveness`"),
        "startup": Column("str", "startup probe, as `liveness`"),
        **PROBE_COLUMNS,
        "termination_grace_s": Column("Int64", "time that it has to terminate", absent="no time is set"),
        "env_names": Column("str", "names of its environment variables; values are never recorded"),
        "ports": Column("str", "declared ports: `http:8080/TCP`"),
    },
    covers="now",
    needs=Permission(kubernetes="list pods"),
    parse=_containers,
    guide=("C078", "C079", "C080", "C083", "C084", "C085", "C086", "C091"),
)
def k8s_containers(kubernetes, incident, platform):
    """One row per container of each pod in scope, init containers and sidecars included.

    The `last_…` columns describe the run before the current one; earlier runs are not kept. `OOMKilled` is reported only if the first
    process of the container was killed.
    """
    found = yield from listed(kubernetes, PODS, incident, platform)
    for pod in found:
        yield from containers_of(pod)


def containers_of(pod: dict):
    """A record for each container."""
    status, spec = pod.get("status") or {}, pod["spec"]
    known = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    statuses = {one["name"]: one for key in known for one in status.get(key) or []}
    identity = _identity(pod)
    common = {key: identity[key] for key in ("namespace", "pod", "uid", "workload_kind", "workload")} | {
        "node": spec.get("nodeName", ""),
        "pod_phase": status.get("phase", ""),
        "pod_created_at": identity["created_at"],
        "pod_deletion_requested_at": identity["deletion_requested_at"],
        "termination_grace_s": spec.get("terminationGracePeriodSeconds"),
    }
    for kind, container in all_containers(spec):
        known_of_it = statuses.get(container["name"], {})
        yield common | {"kind": kind} | _declared(container) | _observed(known_of_it)


def _declared(container: dict) -> dict:
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    declared = {
        "container": container["name"],
        "image": container.get("image", ""),
        "pull_policy": container.get("imagePullPolicy", ""),
        "cpu_request_cores": quantity(requests.get("cpu")),
        "cpu_limit_cores": quantity(limits.get("cpu")),
        "memory_request_bytes": whole(requests.get("memory")),
        "memory_limit_bytes": whole(limits.get("memory")),
        "env_names": joined(one["name"] for one in container.get("env") or []),
        "ports": joined(
            f"{one.get('name') or ''}:{one['containerPort']}/{one.get('protocol', 'TCP')}"
            for one in container.get("ports") or []
        ),
    }
    for name in PROBES:
        probe = container.get(f"{name}Probe") or {}
        declared[name] = probe_in_words(probe)
        for column, (key, default) in PROBE_NUMBERS.items():
            declared[f"{name}_{column}"] = probe.get(key, default) if probe else None
    return declared


def probe_in_words(probe: dict) -> str:
    """`http :8080/health`; a command is not repeated, it can hold a password."""
    if http := probe.get("httpGet"):
        return f"http :{http.get('port')}{http.get('path', '/')}"
    if tcp := probe.get("tcpSocket"):
        return f"tcp :{tcp.get('port')}"
    if grpc := probe.get("grpc"):
        return f"grpc :{grpc.get('port')}"
    return "exec" if probe.get("exec") else ""


def _observed(status: dict) -> dict:
    state, details = next(iter((status.get("state") or {"": {}}).items()))
    last = (status.get("lastState") or {}).get("terminated") or {}
    return {
        "image_id": status.get("imageID", ""),
        "ready": bool(status.get("ready")),
        "started": bool(status.get("started")),
        "restarts": status.get("restartCount", 0),
        "state": state,
        "state_reason": details.get("reason", ""),
        "state_message": details.get("message", ""),
        "state_exit_code": details.get("exitCode"),
        "state_started_at": details.get("startedAt"),
        "state_finished_at": details.get("finishedAt"),
        "last_reason": last.get("reason", ""),
        "last_message": last.get("message", ""),
        "last_exit_code": last.get("exitCode"),
        "last_signal": last.get("signal"),
        "last_started_at": last.get("startedAt"),
        "last_finished_at": last.get("finishedAt"),
    }

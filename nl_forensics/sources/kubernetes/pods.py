"""Pods, and each container of them."""

from datetime import datetime, timedelta

from nl_forensics.sources import UTC, Permission, source
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
PROBE_COLUMNS = {f"{probe}_{name}": "Int64" for probe in PROBES for name in PROBE_NUMBERS}


@source(
    columns={
        "namespace": "str",
        "pod": "str",
        "uid": "str",
        "workload_kind": "str",
        "workload": "str",
        "revision": "str",
        "phase": "str",
        "reason": "str",
        "message": "str",
        "ready": "boolean",
        "ready_changed_at": UTC,
        "scheduled": "boolean",
        "scheduling_reason": "str",
        "scheduling_message": "str",
        "node": "str",
        "created_at": UTC,
        "started_at": UTC,
        "deletion_requested_at": UTC,
        "deletion_grace_s": "Int64",
        "finalizers": "str",
        "containers": "Int64",
        "containers_ready": "Int64",
        "restarts": "Int64",
        "qos": "str",
        "priority": "str",
        "restart_policy": "str",
        "service_account": "str",
        "pod_ip": "str",
        "labels": "str",
        "node_selector": "str",
        "tolerations": "str",
        "affinity": "boolean",
        "cpu_request_cores": "float64",
        "memory_request_bytes": "Int64",
        "claims": "str",
        "config_maps": "str",
        "schedulable_gates": "str",
    },
    nullable=("ready_changed_at", "started_at", "deletion_requested_at", "deletion_grace_s"),
    covers="now",
    needs=Permission(kubernetes="list pods"),
    guide=("C003", "C018", "C078", "C079", "C087", "C126"),
)
def k8s_pods(kubernetes, incident, platform):
    """One row per pod in scope.

    workload_kind, workload   what it belongs to: the deployment, not its replica set; itself (`Pod`) when nothing owns it
    revision     of the pod template: the hash in its labels, "" when it has none
    phase        `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`; reason, message: why, such as `Evicted`
    ready        condition Ready; false also while there is none; ready_changed_at: since when, null before it is first known
    scheduled    whether it has a node; scheduling_reason, scheduling_message: what the scheduler said if not
    node         "" while it has none
    started_at   when the kubelet accepted it, null before
    deletion_requested_at   when somebody asked to delete it, null for most; deletion_grace_s: the seconds that it was given
    containers, containers_ready   without init containers; restarts: of all its containers together
    labels, node_selector     `app=api,tier=front`; tolerations: `key=value:effect`; affinity: whether it has rules of that kind
    cpu_request_cores, memory_request_bytes   what the scheduler counts, 0 when nothing is requested
    claims, config_maps       names of the volume claims and config maps that it mounts or reads
    schedulable_gates         names of gates that hold it back from scheduling

    What was deleted is not in this list: events tell of it.
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


@source(
    columns={
        "namespace": "str",
        "pod": "str",
        "container": "str",
        "kind": "str",
        "uid": "str",
        "workload_kind": "str",
        "workload": "str",
        "node": "str",
        "pod_phase": "str",
        "pod_created_at": UTC,
        "pod_deletion_requested_at": UTC,
        "image": "str",
        "image_id": "str",
        "pull_policy": "str",
        "ready": "boolean",
        "started": "boolean",
        "restarts": "Int64",
        "state": "str",
        "state_reason": "str",
        "state_message": "str",
        "state_exit_code": "Int64",
        "state_started_at": UTC,
        "state_finished_at": UTC,
        "last_reason": "str",
        "last_message": "str",
        "last_exit_code": "Int64",
        "last_signal": "Int64",
        "last_started_at": UTC,
        "last_finished_at": UTC,
        "cpu_request_cores": "float64",
        "cpu_limit_cores": "float64",
        "memory_request_bytes": "Int64",
        "memory_limit_bytes": "Int64",
        "liveness": "str",
        "readiness": "str",
        "startup": "str",
        **PROBE_COLUMNS,
        "termination_grace_s": "Int64",
        "env_names": "str",
        "ports": "str",
    },
    nullable=(
        "pod_deletion_requested_at",
        "state_exit_code",
        "state_started_at",
        "state_finished_at",
        "last_exit_code",
        "last_signal",
        "last_started_at",
        "last_finished_at",
        "cpu_request_cores",
        "cpu_limit_cores",
        "memory_request_bytes",
        "memory_limit_bytes",
        *PROBE_COLUMNS,
        "termination_grace_s",
    ),
    covers="now",
    needs=Permission(kubernetes="list pods"),
    guide=("C078", "C079", "C080", "C083", "C084", "C085", "C086", "C091"),
)
def k8s_containers(kubernetes, incident, platform):
    """One row per container of each pod in scope, init containers and sidecars too.

    kind       `container`, `init`, `sidecar` (an init container that goes on running) or `ephemeral`
    uid        of its pod
    ready, started   as the kubelet says; started: its startup probe has passed, or it has none
    restarts   since the pod was created
    state      `waiting`, `running`, `terminated`, or "" before the kubelet knows of it
    state_reason, state_message   `CrashLoopBackOff`, `ImagePullBackOff`, `Completed`, …
    last_…     how it ended the time before: reason (`OOMKilled`, `Error`, `Completed`), exit code (128 + signal), times; "" and null
               when it never ended. Only the last end is kept, and `OOMKilled` only if the first process of the container was killed
    …_cores, …_bytes   requests and limits, null when it has none
    liveness, readiness, startup   the probe: `http :8080/health`, `tcp :5432`, `exec`, `grpc :9000`; "" for none; and of each in seconds
               initial_delay_s, period_s, timeout_s, and failures_allowed (in a row)
    env_names  names of the environment variables; values are never recorded
    ports      `http:8080/TCP`
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

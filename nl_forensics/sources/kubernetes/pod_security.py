"""What each container may do on its node, by the fields that the Pod Security Standards are about."""

from collections.abc import Iterator

from nl_forensics.sources import Permission, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import PODS
from nl_forensics.sources.kubernetes.reading import all_containers, joined, listed, workload

NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
SAFE_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
)
SAFE_SELINUX = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


@source(
    columns={
        "namespace": Column("str", "namespace of the pod"),
        "pod": Column("str", "name of the pod"),
        "container": Column("str", "name of the container"),
        "workload_kind": Column("str", "kind of the workload that owns the pod"),
        "workload": Column("str", "name of the workload that owns the pod"),
        "created_at": Column(UTC, "the pod was created"),
        "service_account": Column("str", "service account of the pod"),
        "mounts_token": Column("boolean", "a token for the API server is mounted into the container"),
        "privileged": Column("boolean", "it runs with all rights of the node"),
        "host_namespaces": Column("str", "namespaces of the node that it uses: `hostNetwork`, `hostPID`, `hostIPC`"),
        "host_folders": Column(
            "str", "folders of the node that it mounts, `/var/log:ro`, without those that `access.host_paths` excepts"
        ),
        "host_ports": Column("str", "ports of the node that it takes"),
        "added_capabilities": Column("str", "added Linux capabilities"),
        "drops_all": Column("boolean", "it drops all capabilities"),
        "may_be_root": Column("boolean", "it may run as user 0"),
        "may_escalate": Column("boolean", "a process may gain more rights than its parent"),
        "seccomp": Column("str", "type of its seccomp profile; empty if none is set"),
        "unconfined": Column("str", "other protections that are switched off: AppArmor, SELinux, /proc, sysctls"),
        "is_agent": Column("boolean", "the platform file names its workload in `access.agents`"),
    },
    covers="now",
    needs=Permission(kubernetes="list pods"),
    guide=("C115",),
)
def k8s_pod_security(kubernetes, incident, platform):
    """One row per container of each pod in scope: rights on its node, and the token that it gets."""
    found = yield from listed(kubernetes, PODS, incident, platform)
    for pod in found:
        yield from _containers(pod, platform.access)


def _containers(pod: dict, access) -> Iterator[dict]:
    metadata, spec, (kind, name) = pod["metadata"], pod["spec"], workload(pod)
    of_pod = {
        "namespace": metadata["namespace"],
        "pod": metadata["name"],
        "workload_kind": kind,
        "workload": name,
        "created_at": metadata["creationTimestamp"],
        "service_account": spec.get("serviceAccountName", ""),
        "host_namespaces": joined(one for one in NAMESPACES if spec.get(one)),
        "is_agent": access.is_agent(metadata["namespace"], name),
    }
    for _, container in all_containers(spec):
        yield of_pod | {"container": container["name"]} | _mounts(spec, container, access) | _context(spec, container)


def _mounts(spec: dict, container: dict, access) -> dict:
    volumes = {one["name"]: one for one in spec.get("volumes") or []}
    mounts = [(one, volumes.get(one["name"], {})) for one in container.get("volumeMounts") or []]
    folders = [
        f"{path}:{'ro' if mount.get('readOnly') else 'rw'}"
        for mount, volume in mounts
        if (path := (volume.get("hostPath") or {}).get("path"))
        and not (mount.get("readOnly") and access.is_shared_folder(path))
    ]
    sources = [part for _, volume in mounts for part in (volume.get("projected") or {}).get("sources") or []]
    return {
        "mounts_token": any("serviceAccountToken" in part for part in sources),
        "host_folders": joined(sorted(folders)),
        "host_ports": joined(one["hostPort"] for one in container.get("ports") or [] if one.get("hostPort")),
    }


def _context(spec: dict, container: dict) -> dict:
    """A field of the container takes precedence over that of its pod."""
    of_pod, own = spec.get("securityContext") or {}, container.get("securityContext") or {}
    both = of_pod | {name: value for name, value in own.items() if value is not None}
    capabilities = own.get("capabilities") or {}
    is_other_user = bool(both.get("runAsNonRoot")) or bool(both.get("runAsUser"))
    return {
        "privileged": bool(own.get("privileged")),
        "added_capabilities": joined(capabilities.get("add") or []),
        "drops_all": "ALL" in (capabilities.get("drop") or []),
        "may_be_root": not is_other_user,
        "may_escalate": own.get("allowPrivilegeEscalation") is not False,
        "seccomp": (both.get("seccompProfile") or {}).get("type", ""),
        "unconfined": joined(_unconfined(of_pod, own, both)),
    }


def _unconfined(of_pod: dict, own: dict, both: dict) -> Iterator[str]:
    if (both.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield "AppArmor"
    selinux = both.get("seLinuxOptions") or {}
    if selinux.get("user") or selinux.get("role") or selinux.get("type", "") not in SAFE_SELINUX:
        yield "SELinux"
    if own.get("procMount", "Default") != "Default":
        yield "/proc"
    unsafe = [one["name"] for one in of_pod.get("sysctls") or [] if one["name"] not in SAFE_SYSCTLS]
    yield from (f"sysctl {name}" for name in unsafe)

"""Which controls of the Pod Security Standards a container breaks: level baseline, and level restricted.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

import pandas as pd

BASELINE_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
RESTRICTED_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
OF_THE_RUNTIME = ("docker.sock", "containerd.sock", "crio.sock")  # with which one controls all containers of the node
OF_NODE = tuple(
    f"/{name}/"
    for name in (
        *("boot", "dev", "etc", "home", "proc", "root", "run", "sys", "var/log", "var/run"),
        *(f"var/lib/{program}" for program in ("kubelet", "etcd", "containerd", "containers", "docker", "rancher")),
    )
)
ALL_OF_NODE = ("/", "/etc", "/proc", "/root", "/run", "/sys", "/var", "/var/run", "/var/lib/kubelet")


def baseline(k8s_pod_security: pd.DataFrame) -> pd.DataFrame:
    """The containers that break the level baseline: `broken`, in words; `owns_node`: it controls its node; `only_reads`: it only mounts
    folders read-only that hold programs or data, and neither settings nor secrets of the node.
    """
    rows = k8s_pod_security
    rows = rows.assign(broken=[", ".join(_broken(row)) for row in rows.itertuples()])
    rows = rows[rows.broken != ""]
    return rows.assign(
        owns_node=[_owns_node(row) for row in rows.itertuples()],
        only_reads=[_only_reads(row) for row in rows.itertuples()],
    )


def _broken(row) -> list[str]:
    added = _items(row.added_capabilities)
    unusual = [name for name in added if name.removeprefix("CAP_") not in BASELINE_CAPABILITIES]
    return [
        *(["privileged"] if row.privileged else []),
        *_items(row.host_namespaces),
        *(f"mounts {folder.replace(':', ' (')})" for folder in _items(row.host_folders)),
        *([f"host ports {row.host_ports}"] if row.host_ports else []),
        *([f"capabilities {', '.join(unusual)}"] if unusual else []),
        *(["seccomp unconfined"] if row.seccomp == "Unconfined" else []),
        *(f"{name} unconfined" for name in _items(row.unconfined)),
    ]


def _owns_node(row) -> bool:
    """Privileged, all capabilities, the sockets of the runtime, or a folder with which one becomes root of the node."""
    folders = [folder.rpartition(":") for folder in _items(row.host_folders)]
    writes = any(mode == "rw" and (path.rstrip("/") or "/") in ALL_OF_NODE for path, _, mode in folders)
    sockets = any(path.endswith(OF_THE_RUNTIME) for path, _, _ in folders)
    powers = {"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "CAP_SYS_ADMIN"} & set(_items(row.added_capabilities))
    return bool(row.privileged or writes or sockets or powers)


def _only_reads(row) -> bool:
    folders = [folder.rpartition(":") for folder in _items(row.host_folders)]
    harmless = all(
        mode == "ro" and path not in ALL_OF_NODE and not f"{path}/".startswith(OF_NODE) for path, _, mode in folders
    )
    return harmless and len(_broken(row)) == len(folders)


def restricted(k8s_pod_security: pd.DataFrame) -> pd.DataFrame:
    """The containers that break the level restricted, where it goes beyond baseline: `broken`, in words."""
    rows = k8s_pod_security
    broken = [
        ", ".join(
            [
                *(["may run as root"] if row.may_be_root else []),
                *(["may escalate"] if row.may_escalate else []),
                *([] if row.drops_all else ["keeps capabilities"]),
                *([] if set(_items(row.added_capabilities)) <= RESTRICTED_CAPABILITIES else ["adds capabilities"]),
                *(["no seccomp profile"] if row.seccomp not in ("RuntimeDefault", "Localhost") else []),
            ]
        )
        for row in rows.itertuples()
    ]
    rows = rows.assign(broken=broken)
    return rows[rows.broken != ""]


def _items(words: str) -> list[str]:
    return words.split(", ") if words else []

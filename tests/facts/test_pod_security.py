"""The controls of the Pod Security Standards, each with what breaks it and what does not."""

import pandas as pd
import pytest

from nl_forensics.facts.kubernetes.pod_security import baseline, restricted
from nl_forensics.inputs.access import Access
from nl_forensics.sources.kubernetes.pod_security import _containers

WELL = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def rows(container=None, spec=None, volumes=None, access=Access()):  # noqa: B008 (frozen)
    """The table of a pod with one container; `container`: its securityContext; `volumes`: {mount: volume}."""
    named = {f"v{n}": (mount, volume) for n, (mount, volume) in enumerate((volumes or {}).items())}
    mounts = [
        {"name": name, "mountPath": mount.removesuffix(":ro"), "readOnly": mount.endswith(":ro")}
        for name, (mount, _) in named.items()
    ]
    one = {"name": "main", "securityContext": container or {}, "volumeMounts": mounts}
    pod = {
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-11-30T08:00:00Z"},
        "spec": {"containers": [one], "volumes": [{"name": n} | volume for n, (_, volume) in named.items()]}
        | (spec or {}),
    }
    return pd.DataFrame(list(_containers(pod, access)))


def broken(found):
    return found.broken.iloc[0] if len(found) else ""


@pytest.mark.parametrize(
    ("container", "spec", "said", "owns_node"),
    [
        ({"privileged": True}, {}, "privileged", True),
        ({}, {"hostNetwork": True, "hostPID": True}, "hostNetwork, hostPID", False),
        ({"capabilities": {"add": ["SYS_ADMIN"]}}, {}, "capabilities SYS_ADMIN", True),
        ({"capabilities": {"add": ["ALL"]}}, {}, "capabilities ALL", True),
        ({"capabilities": {"add": ["CAP_NET_RAW"]}}, {}, "capabilities CAP_NET_RAW", False),
        ({"seccompProfile": {"type": "Unconfined"}}, {}, "seccomp unconfined", False),
        ({}, {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccomp unconfined", False),
        ({"appArmorProfile": {"type": "Unconfined"}}, {}, "AppArmor unconfined", False),
        ({"seLinuxOptions": {"type": "spc_t"}}, {}, "SELinux unconfined", False),
        ({"procMount": "Unmasked"}, {}, "/proc unconfined", False),
        (
            {},
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
            "sysctl kernel.msgmax unconfined",
            False,
        ),
    ],
)
def test_what_breaks_the_baseline(container, spec, said, owns_node):
    found = baseline(rows(container, spec))
    assert (broken(found), bool(found.owns_node.iloc[0])) == (said, owns_node)


@pytest.mark.parametrize(
    ("container", "spec"),
    [
        ({}, {}),
        (WELL, {}),
        ({"capabilities": {"add": ["NET_BIND_SERVICE", "CAP_CHOWN"]}}, {}),
        ({"seLinuxOptions": {"type": "container_t", "level": "s0"}}, {}),
        ({}, {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}),
        (
            {"seccompProfile": {"type": "RuntimeDefault"}},
            {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
        ),
    ],
)
def test_what_keeps_to_the_baseline(container, spec):
    assert broken(baseline(rows(container, spec))) == ""


@pytest.mark.parametrize(
    ("mount", "path", "said", "owns_node"),
    [
        ("/host", "/", "mounts / (rw)", True),
        ("/host:ro", "/", "mounts / (ro)", False),
        ("/run/docker.sock:ro", "/var/run/docker.sock", "mounts /var/run/docker.sock (ro)", True),
        ("/logs", "/var/log/pods", "mounts /var/log/pods (rw)", False),
    ],
)
def test_folders_of_the_node(mount, path, said, owns_node):
    found = baseline(rows(volumes={mount: {"hostPath": {"path": path}}}))
    assert (broken(found), bool(found.owns_node.iloc[0])) == (said, owns_node)


@pytest.mark.parametrize(
    ("mount", "path", "is_excepted"),
    [
        ("/zone:ro", "/usr/share/zoneinfo", True),
        ("/zone", "/usr/share/zoneinfo", False),
        ("/zone:ro", "/usr/share", False),
        ("/zone:ro", "/usr/share/zoneinfo-old", False),
        ("/zone:ro", "/usr/share/zoneinfo/../../../etc", False),
    ],
)
def test_folders_that_the_platform_excepts(mount, path, is_excepted):
    access = Access(host_paths=("/usr/share/zoneinfo",))
    assert (broken(baseline(rows(volumes={mount: {"hostPath": {"path": path}}}, access=access))) == "") == is_excepted


@pytest.mark.parametrize(
    ("mount", "path", "only_reads"),
    [
        ("/tools:ro", "/usr/local/bin", True),
        ("/tools", "/usr/local/bin", False),
        ("/host:ro", "/", False),
        ("/keys:ro", "/etc/kubernetes/pki", False),
        ("/pods:ro", "/var/lib/kubelet", False),
    ],
)
def test_reading_programs_is_less_than_reading_secrets(mount, path, only_reads):
    volumes = {mount: {"hostPath": {"path": path}}}
    assert bool(baseline(rows(volumes=volumes)).only_reads.iloc[0]) == only_reads
    assert not baseline(rows({"privileged": True}, volumes=volumes)).only_reads.iloc[0]


def test_what_is_restricted():
    assert broken(restricted(rows(WELL))) == ""
    assert broken(restricted(rows())) == "may run as root, may escalate, keeps capabilities, no seccomp profile"
    assert broken(restricted(rows(WELL | {"runAsNonRoot": None, "runAsUser": 0}))) == "may run as root"
    assert broken(restricted(rows(WELL | {"runAsNonRoot": None, "runAsUser": 1000}))) == ""
    assert broken(restricted(rows(WELL | {"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}))) == "adds capabilities"


def test_a_token_is_what_is_mounted():
    token = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "ca"}}]}}
    assert bool(rows(volumes={"/var/run/secrets:ro": token}).mounts_token[0])
    assert not rows(volumes={"/etc/app": {"projected": {"sources": [{"configMap": {"name": "app"}}]}}}).mounts_token[0]


def test_agents_are_named_by_the_platform():
    access = Access(agents=("shop/w*",))
    assert bool(rows(access=access).is_agent[0])
    assert not rows(access=Access(agents=("shop/*-agent",))).is_agent[0]

"""The clusters of tests/stack/kubernetes leave nothing behind and do not clash; what is missing for them is said."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import guard, process
from tests.stack.kubernetes import build, cgroups, network, real_node
from tests.stack.kubernetes.api import is_true
from tests.stack.kubernetes.cluster import cluster
from tests.stack.kubernetes.manifests import containers_of, eventually, pod
from tests.stack.kubernetes.network import Addresses
from tests.stack.process import MissingServer

TOP = Path(__file__).parents[2]


def traces_of(running):
    """What of a cluster is still there: processes, interface, control groups, folders."""
    folders = [each.folder for each in running.processes.values()]
    found = [str(folder) for folder in folders if folder.exists()]
    found += [str(pid) for folder in folders for pid in guard.processes_in(folder)]
    links = process.run(["ip", "-brief", "link"])
    if re.search(rf"^{running.addresses.interface}\b", links, re.MULTILINE):
        found.append(running.addresses.interface)
    group = f"*-{running.addresses.interface}"
    found += [str(folder) for root in cgroups.hierarchies() for folder in root.glob(f"{cgroups.PREFIX}{group}")]
    return found


def test_two_clusters_at_once_and_nothing_left(real_cluster):
    other = real_cluster
    with cluster(real_node=True) as one:
        for each in (one, other):
            each.apply(pod("same-name", "echo I am $HOSTNAME; exec sleep 1000"))
        addresses = set()
        for each in (one, other):
            seen = each.wait("Pod", "same-name", "default", until=lambda pod: is_true(pod, "Ready"))
            addresses.add(seen["status"]["podIP"])
            assert "I am same-name" in each.kubectl("logs", "same-name")
        assert len(addresses) == 2
        sleeping = containers_of(one)
        assert len(sleeping) >= 2
        assert traces_of(one)
    assert traces_of(one) == []
    assert traces_of(other)
    assert not any(Path(f"/proc/{pid}").exists() for pid in sleeping)
    other.delete("Pod", "same-name", "default", grace_s=0)


KILLED = """
import json, signal
from tests.stack.kubernetes.cluster import cluster
from tests.stack.kubernetes.manifests import containers_of, pod
with cluster(nodes=1, real_node=True) as c:
    c.apply(pod("left"))
    c.wait("Pod", "left", "default", until=lambda pod: pod["status"]["phase"] == "Running")
    folders = [str(each.folder) for each in c.processes.values()]
    print(json.dumps([c.addresses.interface, containers_of(c), folders]), flush=True)
    signal.pause()
"""


@pytest.mark.cluster
def test_killed_test_run_leaves_no_process_and_no_interface():
    command = [sys.executable, "-c", KILLED]
    with subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE, text=True) as running:
        interface, containers, folders = json.loads(running.stdout.readline())
        assert containers
        running.send_signal(signal.SIGKILL)
    eventually(lambda: interface not in process.run(["ip", "-brief", "link"]))
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in containers))
    eventually(lambda: not any(Path(folder).exists() for folder in folders))
    # Control groups stay until the next node is started.
    with network.start(Addresses.new()) as way, real_node.start_containerd(way):
        assert not [folder for root in cgroups.hierarchies() for folder in root.glob(f"*-{interface}")]


# --- what is missing is said -----------------------------------------------------------------------------------------


def test_real_node_needs_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with (
        pytest.raises(MissingServer, match="A real Kubernetes node is not installed: it needs root"),
        cluster(real_node=True),
    ):
        pass


def test_missing_program_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("NL_FORENSICS_STACK_CACHE", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    with pytest.raises(MissingServer, match=r"etcd is not installed: run tests/stack/kubernetes/install.sh"), cluster():
        pass


def test_assets_of_envtest_are_taken(monkeypatch, tmp_path):
    (tmp_path / "etcd").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert build.program("etcd") == tmp_path / "etcd"
    assert build.program("kwok").parent == build.built_folder()


def test_programs_are_those_of_the_pinned_modules(monkeypatch, tmp_path):
    before = build.built_folder()
    (tmp_path / "kubernetes").mkdir()
    (tmp_path / "kubernetes/go.sum").write_text("another")
    monkeypatch.setattr(build, "MODULES", tmp_path)
    assert build.built_folder() != before

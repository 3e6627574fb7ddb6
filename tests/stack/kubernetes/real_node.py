"""A real node: kubelet, containerd and runc run real containers, with cgroups, probes, OOM kills and back-offs.

It needs root. containerd, the kubelet and every container live in a process and a mount namespace of their own, held by
one process of ours: when that ends, the kernel ends all of them and takes their mounts away.
"""

import json
import os
import shutil
import socket
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tests.stack.kubernetes import cgroups, images
from tests.stack.kubernetes.build import program as built_program
from tests.stack.kubernetes.control_plane import Component
from tests.stack.kubernetes.network import Network
from tests.stack.process import HOST, MissingServer, Process, free_port, new_folder, program, run

NAME = "worker-1"
CNI_PLUGINS = Path("/usr/lib/cni")
REMEDY = "run tests/stack/kubernetes/install.sh"

# What this machine has for pods that mount it, under paths that are the same on every machine.
SHARED = Path("/var/lib/shared")
SHARED_FOLDERS = {
    "python": Path(sys.base_prefix),
    "packages": Path(sysconfig.get_path("purelib")),
    "programs": Path(__file__).parents[3],
}

# For the spec of a pod of a cluster that has fake nodes, too.
ON_REAL_NODE = {"nodeSelector": {"kubernetes.io/hostname": NAME}}

# The kubelet and the CNI plugin set these for the whole machine: here they find files of ours in their place.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
    "net/ipv4/ip_forward": "1",
}
# The first process of the node. In the folders where Kubernetes' programs keep things at fixed paths it puts empty ones.
# The kubelet's cAdvisor looks for containerd at one such path only, and knows no container without it.
FIRST_PROCESS = """
for hidden in /run /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs "$hidden" || exit; done
{shared}
mkdir /run/containerd && ln -s "{folder}/containerd.sock" /run/containerd/containerd.sock || exit
for setting in {settings}; do mount --bind "{folder}/kernel/$setting" "/proc/sys/$setting" || exit; done
{containerd} --config "{folder}/containerd.toml" &
wait
"""
CONTAINERD = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder}/registries"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
# Every image is asked for at a closed port: ErrImagePull is real, and nothing leaves the machine.
NO_REGISTRY = """
server = "http://127.0.0.1:1"
[host."http://127.0.0.1:1"]
  capabilities = ["pull", "resolve"]
"""


@dataclass(kw_only=True)
class Containerd(Process):
    cgroup: str

    def answers(self):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.socket)) == 0

    @property
    def socket(self):
        return self.folder / "containerd.sock"

    def first_process(self):
        """The id of the node's first process, in whose namespaces the others run."""
        children = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children")
        return children.read_text().split()[0]

    def add_image(self, name, command=None):
        """Make a busybox image of any name: "registry.example/shop:1.4.0" needs no registry then."""
        file = images.write(self.folder, name, command)
        run([program("ctr"), "--address", self.socket, "--namespace", "k8s.io", "images", "import", file])
        file.unlink()

    def close(self):
        """End it and every container at once."""
        self.kill()
        cgroups.remove(self.cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)


def check_possible():
    """Raise what is missing for a real node on this machine."""
    if os.geteuid() != 0:
        raise MissingServer("A real Kubernetes node", "it needs root: run the tests as root")
    for name in ("containerd", "ctr", "runc", "busybox", "unshare", "nsenter", "ip"):
        if not _has(name):
            raise MissingServer(f"{name}, for a real Kubernetes node,", REMEDY)
    if not (CNI_PLUGINS / "ptp").exists():
        raise MissingServer("containernetworking-plugins", REMEDY)
    built_program("kubelet")


def _has(name):
    try:
        return program(name)
    except MissingServer:
        return None


def start_containerd(network: Network):
    """Start the runtime, with the two images that there are."""
    folder = new_folder("containerd")
    _write(folder / "containerd.toml", CONTAINERD.format(folder=folder, pause=images.PAUSE, cni_plugins=CNI_PLUGINS))
    _write(folder / "registries/_default/hosts.toml", NO_REGISTRY)
    _write(folder / "cni/10-test.conflist", json.dumps(network.cni))
    for setting, value in KERNEL_SETTINGS.items():
        _write(folder / "kernel" / setting, value)
    names = " ".join(KERNEL_SETTINGS)
    first = FIRST_PROCESS.format(settings=names, folder=folder, containerd=program("containerd"), shared=_share())
    command = [program("unshare"), "--pid", "--mount", "--fork", "--mount-proc", "--kill-child", "sh", "-c", first]
    cgroup = cgroups.create(network.addresses.interface)
    runtime = Containerd(command=command, folder=folder, port=0, cgroup=cgroup).start()
    runtime.add_image(images.PAUSE, images.HOLD)
    runtime.add_image(images.BUSYBOX)
    return runtime


def _share():
    """Shell commands that make the shared folders."""
    return "\n".join(
        f'mkdir -p "{SHARED / name}" && mount --bind "{folder}" "{SHARED / name}" || exit'
        for name, folder in SHARED_FOLDERS.items()
    )


def start_kubelet(runtime, api, keys, network, settings=None):
    """Start the kubelet on a runtime; `settings` are changes to its configuration."""
    folder, port, health_port = new_folder("kubelet"), free_port(), free_port()
    client = keys.authority.issue(f"system:node:{NAME}", groups=["system:nodes"])
    _write_kubeconfig(folder / "kubeconfig", api, client)
    configuration = _configuration(folder, keys, runtime, network.addresses)
    configuration |= {"port": port, "healthzPort": health_port} | (settings or {})
    _write(folder / "kubelet.json", json.dumps(configuration))
    command = [
        program("nsenter"),
        f"--target={runtime.first_process()}",
        "--pid",
        "--mount",
        f"--wd={folder}",
        built_program("kubelet"),
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--config={folder / 'kubelet.json'}",
        f"--root-dir={folder / 'root'}",
        f"--cert-dir={folder / 'certificates'}",
        f"--hostname-override={NAME}",
        f"--node-ip={network.addresses.node}",
    ]
    health = f"http://{HOST}:{health_port}/healthz"
    return Component(command=command, folder=folder, port=port, health=health).start()


def _write_kubeconfig(path, api, client):
    given = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": api.url, "certificate-authority": str(api.authority)}}],
        "users": [
            {"name": "node", "user": {"client-certificate": str(client.certificate), "client-key": str(client.key)}}
        ],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "node"}}],
        "current-context": "test",
    }
    _write(path, json.dumps(given))


def _configuration(folder, keys, runtime, addresses):
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": addresses.node,
        "healthzBindAddress": HOST,
        "readOnlyPort": 0,
        "tlsCertFile": str(keys.serving.certificate),
        "tlsPrivateKeyFile": str(keys.serving.key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(keys.authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{runtime.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{runtime.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,  # the machine's firewall is left alone
        "localStorageCapacityIsolation": False,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "resolvConf": "",
        "clusterDNS": [addresses.dns],
        "clusterDomain": "cluster.local",
        "volumePluginDir": str(folder / "volume-plugins"),
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 8,
        "syncFrequency": "5s",
        # A container that crashes is back within seconds; by default the pauses grow to five minutes.
        "crashLoopBackOff": {"maxContainerRestartPeriod": "10s"},
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
    }


def _write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)

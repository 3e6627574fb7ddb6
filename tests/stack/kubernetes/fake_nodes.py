"""kwok: nodes that run nothing. Their pods are scheduled, become ready and end like others: for numbers, not for faults.

A pod's state can be set by a test (`api.patch("Pod", …, subresource="/status")`), and its log can be a file of ours (a
`Logs` object of kwok).
"""

from tests.stack.kubernetes import build
from tests.stack.kubernetes.control_plane import SELDOM_COLLECTED, Component, admin_kubeconfig
from tests.stack.process import HOST, free_port, new_folder

# Of a node that kwok plays. The stages of its CRDs that a test may create at any time.
ANNOTATION = "kwok.x-k8s.io/node"
TAINT = {"key": ANNOTATION, "value": "fake", "effect": "NoSchedule"}
DEFINED_BY_OBJECTS = "Logs,ClusterLogs,Exec,ClusterExec,PortForward,ClusterPortForward"

# For the spec of a pod that shall run on a fake node of a cluster that also has a real one.
ON_FAKE_NODE = {
    "nodeSelector": {"type": "kwok"},
    "tolerations": [{"key": ANNOTATION, "operator": "Exists", "effect": "NoSchedule"}],
}
ZONES = ("zone-a", "zone-b", "zone-c")


def start_kwok(api, keys):
    """Start kwok, with its own kinds of objects defined."""
    for file in build.kwok_definitions():
        api.apply(file)
    folder, port = new_folder("kwok"), free_port()
    health = f"http://{HOST}:{port}/healthz"
    command = [
        build.program("kwok"),
        f"--kubeconfig={admin_kubeconfig(keys)}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={ANNOTATION}=fake",
        f"--config={build.kwok_stages()}",
        f"--enable-crds={DEFINED_BY_OBJECTS}",
        f"--server-address={HOST}:{port}",
        f"--node-ip={HOST}",
        f"--node-port={port}",
        "--node-name=localhost",
        "--cidr=10.244.0.0/16",
        "--node-lease-duration-seconds=16",
        f"--tls-cert-file={keys.serving.certificate}",
        f"--tls-private-key-file={keys.serving.key}",
    ]
    environment = SELDOM_COLLECTED | {"KWOK_WORKDIR": str(folder / "work")}
    return Component(command=command, folder=folder, port=port, health=health, environment=environment).start()


def node(number, tainted):
    """The manifest of a fake node; tainted if the cluster has a real node, for whose pods it shall not be taken."""
    name = f"node-{number}"
    room = {"cpu": "32", "memory": "128Gi", "pods": "500"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {ANNOTATION: "fake"},
            "labels": {
                "type": "kwok",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": ZONES[number % len(ZONES)],
            },
        },
        "spec": {"taints": [TAINT]} if tainted else {},
        "status": {"allocatable": room, "capacity": room},
    }


def logs(pod, namespace, container, file, previous=None):
    """The manifest that makes a file the log of a fake pod; its lines are `<RFC 3339 time> stdout F <text>`."""
    given = {"containers": [container], "logsFile": str(file)}
    if previous:
        given["previousLogsFile"] = str(previous)
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Logs",
        "metadata": {"name": pod, "namespace": namespace},
        "spec": {"logs": [given]},
    }

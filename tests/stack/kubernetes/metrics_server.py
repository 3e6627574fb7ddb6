"""The metrics server: what `kubectl top` and the group metrics.k8s.io answer for the real node and its pods."""

from tests.stack.kubernetes import real_node
from tests.stack.kubernetes.build import program
from tests.stack.kubernetes.control_plane import Component, admin_kubeconfig
from tests.stack.process import HOST, free_port, new_folder

RESOLUTION_S = 10  # the shortest that it takes


def start(api, keys):
    """Start it, and tell the API server where it is. It has first values after two rounds, about 25 s."""
    folder, port = new_folder("metrics-server"), free_port()
    kubeconfig = admin_kubeconfig(keys)
    command = [
        program("metrics-server"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--tls-cert-file={keys.serving.certificate}",
        f"--tls-private-key-file={keys.serving.key}",
        "--kubelet-insecure-tls",
        "--kubelet-use-node-status-port",
        "--kubelet-preferred-address-types=InternalIP",
        "--kubelet-request-timeout=5s",
        f"--metric-resolution={RESOLUTION_S}s",
        f"--node-selector=kubernetes.io/hostname={real_node.NAME}",
    ]
    health = f"https://{HOST}:{port}/livez"
    authority = keys.authority.certificate
    server = Component(command=command, folder=folder, port=port, health=health, authority=authority).start()
    api.apply(_registration(port))
    return server


def _registration(port):
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics-server", "namespace": "kube-system"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    group = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "service": {"name": "metrics-server", "namespace": "kube-system", "port": port},
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }
    return [service, group]

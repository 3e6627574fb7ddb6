"""etcd, the API server, the controllers and the scheduler: each a process on loopback."""

import json
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.stack.kubernetes import certificates
from tests.stack.kubernetes.api import Api
from tests.stack.kubernetes.build import program
from tests.stack.kubernetes.certificates import Authority, KeyPair
from tests.stack.kubernetes.network import Addresses
from tests.stack.process import HOST, Process, free_port, new_folder

ADMIN = "admin"
# So that a lost node is seen in seconds; Kubernetes' own default is 50 s.
NODE_MONITOR_GRACE_S = 16
# Most of the work of a program that runs for seconds would be to collect its garbage.
SELDOM_COLLECTED = {"GOGC": "400", "GOMEMLIMIT": "600MiB"}
# Everything that is asked, once, without the bodies.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(kw_only=True)
class Component(Process):
    """A program of the cluster: started once its `health` address says so."""

    health: str
    authority: Path | None = None
    environment: dict[str, str] = field(default_factory=SELDOM_COLLECTED.copy)

    def answers(self):
        try:
            return requests.get(self.health, timeout=2, verify=str(self.authority) if self.authority else True).ok
        except requests.RequestException:
            return False

    def close(self):
        """End it at once: its data are thrown away."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class Credentials:
    """All keys of one cluster."""

    authority: Authority
    serving: KeyPair  # for every server here: they all are on loopback
    kubelet_client: KeyPair  # what the API server shows to kubelets
    front_authority: Authority
    front_client: KeyPair  # what the API server shows to the servers of other API groups
    service_accounts: KeyPair
    admin_token: str

    @classmethod
    def make(cls, addresses: Addresses):
        folder = new_folder("credentials")
        authority = Authority(folder, "kubernetes-ca")
        front = Authority(folder, "front-proxy-ca")
        return cls(
            authority=authority,
            serving=authority.issue(
                "serving",
                names=["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
                addresses=[HOST, addresses.node, addresses.service(1)],
            ),
            kubelet_client=authority.issue("kube-apiserver-kubelet-client", groups=["system:masters"]),
            front_authority=front,
            front_client=front.issue("front-proxy-client"),
            service_accounts=certificates.new_signing_keys(folder),
            admin_token=secrets.token_hex(16),
        )

    @property
    def folder(self):
        return self.authority.folder


def start_etcd():
    folder, port, peers = new_folder("etcd"), free_port(), free_port()
    clients_url, peers_url = f"http://{HOST}:{port}", f"http://{HOST}:{peers}"
    command = [
        program("etcd"),
        "--name=test",
        f"--data-dir={folder / 'data'}",
        f"--listen-client-urls={clients_url}",
        f"--advertise-client-urls={clients_url}",
        f"--listen-peer-urls={peers_url}",
        f"--initial-advertise-peer-urls={peers_url}",
        f"--initial-cluster=test={peers_url}",
        "--unsafe-no-fsync",
        "--log-level=error",
    ]
    return Component(command=command, folder=folder, port=port, health=f"{clients_url}/health").start()


def start_api_server(etcd, keys, addresses, audit=False, options=()):
    """Start the API server; `options` are further flags of it."""
    folder, port = new_folder("kube-apiserver"), free_port()
    tokens = folder / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text(f'{keys.admin_token},{ADMIN},{ADMIN},"system:masters"\n')
    command = [
        program("kube-apiserver"),
        f"--etcd-servers=http://{HOST}:{etcd.port}",
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--advertise-address={HOST}",
        "--endpoint-reconciler-type=none",  # an endpoint may not be a loopback address
        f"--tls-cert-file={keys.serving.certificate}",
        f"--tls-private-key-file={keys.serving.key}",
        f"--client-ca-file={keys.authority.certificate}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys.service_accounts.certificate}",
        f"--service-account-signing-key-file={keys.service_accounts.key}",
        f"--service-cluster-ip-range={addresses.services}",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={keys.kubelet_client.certificate}",
        f"--kubelet-client-key={keys.kubelet_client.key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={keys.front_authority.certificate}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={keys.front_client.certificate}",
        f"--proxy-client-key-file={keys.front_client.key}",
        "--profiling=false",
        *(_audit_options(folder) if audit else ()),
        *options,
    ]
    # Whether it is ready may be asked without a token.
    health = f"https://{HOST}:{port}/readyz"
    authority = keys.authority.certificate
    return Component(command=command, folder=folder, port=port, health=health, authority=authority).start()


def audit_file(api_server):
    return api_server.folder / "audit.log"


def _audit_options(folder):
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT_POLICY))
    # Blocking: a request is answered when its line is written.
    return f"--audit-policy-file={policy}", f"--audit-log-path={folder / 'audit.log'}", "--audit-log-mode=blocking"


def admin_api(api_server, keys):
    """The API as the administrator has it; a kubeconfig for the programs lies beside the keys."""
    api = Api(f"https://{HOST}:{api_server.port}", keys.authority.certificate, keys.admin_token)
    api.write_kubeconfig(admin_kubeconfig(keys))
    return api


def admin_kubeconfig(keys):
    return keys.folder / f"{ADMIN}.kubeconfig"


def start_controllers(keys):
    """Start the controllers; those of a cloud provider are left out."""
    return _start_with_kubeconfig(
        "kube-controller-manager",
        keys,
        "--controllers=*,-node-ipam-controller,-node-route-controller,-cloud-node-lifecycle-controller",
        f"--service-account-private-key-file={keys.service_accounts.key}",
        f"--root-ca-file={keys.authority.certificate}",
        f"--node-monitor-grace-period={NODE_MONITOR_GRACE_S}s",
        "--node-monitor-period=1s",
        "--kube-api-qps=500",
        "--kube-api-burst=500",
    )


def start_scheduler(keys):
    kubeconfig = admin_kubeconfig(keys)
    return _start_with_kubeconfig(
        "kube-scheduler",
        keys,
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    )


def _start_with_kubeconfig(name, keys, *options):
    folder, port = new_folder(name), free_port()
    command = [
        program(name),
        f"--kubeconfig={admin_kubeconfig(keys)}",
        f"--bind-address={HOST}",
        f"--secure-port={port}",
        f"--tls-cert-file={keys.serving.certificate}",
        f"--tls-private-key-file={keys.serving.key}",
        "--leader-elect=false",
        *options,
    ]
    health = f"https://{HOST}:{port}/healthz"
    authority = keys.authority.certificate
    return Component(command=command, folder=folder, port=port, health=health, authority=authority).start()

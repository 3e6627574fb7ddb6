"""A small NeuralLog that really runs: `with stack() as servers, cluster(real_node=True) as c, neurallog(servers, c) as nl:`."""

import base64
import json
import signal
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from nl_forensics import permissions
from tests.stack import billing, postgres, redis
from tests.stack.issuer import Issuer, issuer
from tests.stack.kubernetes import real_node, services
from tests.stack.kubernetes.api import is_true, rolled_out
from tests.stack.kubernetes.cluster import Cluster
from tests.stack.neurallog import discovery, manifests, traffic
from tests.stack.neurallog.manifests import DATA, OPERATOR, OPERATOR_SYSTEM, PORT, SYSTEM, thing
from tests.stack.process import HOST
from tests.stack.stack import Stack
from tests.stack.tls import Server, our_authority, serving

TENANTS = ("acme", "globex", "initech")  # in the database, too: numbers 1, 2, 3
API_KEYS = 60  # of schema.sql: key n belongs to tenant 1 + n % 20
READY_WITHIN_S = 240

MAY = ["get", "list", "watch", "create", "patch"]
OPERATOR_MAY = {  # group: resources
    "": ["namespaces", "resourcequotas", "secrets", "configmaps", "services", "serviceaccounts", "pods"],
    "apps": ["deployments"],
    "networking.k8s.io": ["networkpolicies"],
    manifests.RBAC: ["roles", "rolebindings"],
}


def operator_rules(without=""):
    """What the operator may do, but for one kind of objects."""
    yield {"apiGroups": [manifests.TENANT_GROUP], "resources": ["tenants", "tenants/status"], "verbs": ["*"]}
    for group, resources in OPERATOR_MAY.items():
        if kept := [resource for resource in resources if resource != without]:
            yield {"apiGroups": [group], "resources": kept, "verbs": MAY}


@dataclass
class NeuralLog:
    servers: Stack
    cluster: Cluster
    tenants: tuple[str, ...]
    door: Server
    issuer: Issuer

    def environment(self):
        """The environment variables that nl-forensics needs; they hold passwords."""
        kubeconfig = self.cluster.kubeconfig("nl-forensics", permissions.kubernetes_rules())
        inside = {"KUBECONFIG": str(kubeconfig), "NL_CLUSTER_DNS": self.cluster.addresses.dns}
        door = {"NL_API_URL": self.door.url(), "SSL_CERT_FILE": str(our_authority().root)}
        identity = {"NL_JWKS_URL": self.issuer.url, "NL_TOKEN": self.issuer.token()}
        return {**self.servers.environment(), **inside, **door, **identity}

    def traffic(self, **how):
        """Customers' requests until the end of `with`; see traffic.py."""
        keys = [f"key{n}" for n in range(1, API_KEYS + 1) if n % 20 < len(self.tenants)]
        return traffic.traffic(self.url("api-gateway"), keys, **({"new_token": self.issuer.token} | how))

    def url(self, app, namespace=SYSTEM):
        """Where a service can be reached from this machine."""
        return f"http://{self.cluster.get('Service', app, namespace)['spec']['clusterIP']}:{PORT}"

    def pods(self, app, namespace=SYSTEM):
        return self.cluster.get("Pod", namespace=namespace, labelSelector=f"app={app}")

    def fail(self, app, namespace=SYSTEM, **switches):
        """Set faults in every pod of a program that is to stay, until it is restarted; see programs/faults.py."""
        for pod in self.pods(app, namespace):
            if pod["metadata"].get("deletionTimestamp"):
                continue
            address = f"http://{pod['status']['podIP']}:{PORT}/faults"
            requests.post(address, json=switches, timeout=5).raise_for_status()

    def deploy(self, app, namespace=SYSTEM, **changed):
        """Roll out a program of neurallog-system anew: another `release`, `settings`, `environment`, `replicas`."""
        release = changed.get("release", manifests.RELEASE)
        self.cluster.processes["containerd"].add_image(manifests.image(app, release))
        self.cluster.apply(manifests.application(app, namespace, **changed))

    def wait_until_ready(self):
        """Until every program has rolled out and every tenant is ready."""
        for app, namespace in _applications():
            self.cluster.wait("Deployment", app, namespace, until=rolled_out, within_s=READY_WITHIN_S)
        for name in self.tenants:
            self.cluster.wait("Tenant", name, until=lambda tenant: is_true(tenant, "Ready"), within_s=READY_WITHIN_S)


@contextmanager
def neurallog(servers, cluster, tenants=TENANTS):
    """Run the platform on a cluster with a real node, on the servers of a stack; Prometheus scrapes it from then on.

    Its door is what stands for a load balancer: it ends TLS, and is no part of the cluster.
    """
    with serving(our_authority().chain("localhost")) as door, issuer() as signer:
        running = NeuralLog(servers, cluster, tuple(tenants), door, signer)
        yield from _started(running)


def _started(running):
    servers, cluster, tenants = running.servers, running.cluster, running.tenants
    for app in manifests.PROGRAMS:
        cluster.processes["containerd"].add_image(manifests.image(app))
    _name_tenants(servers, tenants)
    cluster.apply([*_homes(servers, running.issuer), manifests.tenant_definition(), *_operator()])
    for app, namespace in _applications():
        replicas = 2 if app == "api-gateway" else 1
        account = "operator" if app == OPERATOR else "default"
        cluster.apply(manifests.application(app, namespace, replicas, account=account))
    cluster.apply([manifests.tenant(name, number) for number, name in enumerate(tenants, 1)])
    with discovery.start(cluster) as found, scraped(servers.prometheus, cluster, found):
        running.wait_until_ready()
        yield running


def _applications():
    """Programs that are there once, and where; a log-server is there for each tenant."""
    for app in manifests.PROGRAMS:
        if app != "log-server":
            yield app, OPERATOR_SYSTEM if app == OPERATOR else SYSTEM


def _name_tenants(servers, tenants):
    for number, name in enumerate(tenants, 1):
        with servers.postgres.connect() as connection:
            connection.execute("UPDATE tenants SET name = %s WHERE id = %s", [name, number])
        billing.rename(servers.stripe, f"tenant-{number}", name)


def _homes(servers, signer):
    """Namespaces, the way to the databases, and the passwords for them."""
    pooler = f"pgbouncer.{DATA}:6432"
    connections = {
        "NL_DATABASE_URL": f"postgresql://app:{postgres.PASSWORDS['app']}@{pooler}/{postgres.DATABASE}",
        "NL_REDIS_URL": f"redis://default:{redis.PASSWORDS['default']}@redis.{DATA}:6379/0",
    }
    data = {name: base64.b64encode(value.encode()).decode() for name, value in connections.items()}
    return [
        *(manifests.namespace(name) for name in (SYSTEM, OPERATOR_SYSTEM, DATA)),
        *(thing("v1", "Secret", manifests.SECRET, namespace, data=data) for namespace in (SYSTEM, OPERATOR_SYSTEM)),
        _outside("pgbouncer", 6432, servers.pgbouncer),
        _outside("redis", 6379, servers.redis),
        _outside("issuer", 8080, signer),
    ]


def _outside(name, port, server):
    service = thing("v1", "Service", name, DATA, spec={"ports": [{"port": port}]})
    service["metadata"]["annotations"] = {services.FORWARD: f"{HOST}:{server.port}"}
    return service


def _operator():
    """What the operator needs to be allowed."""
    rbac = manifests.RBAC
    subject = {"kind": "ServiceAccount", "name": "operator", "namespace": OPERATOR_SYSTEM}
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": OPERATOR}
    return [
        thing("v1", "ServiceAccount", "operator", OPERATOR_SYSTEM),
        operator_role(),
        thing(f"{rbac}/v1", "ClusterRoleBinding", OPERATOR, subjects=[subject], roleRef=role),
    ]


def operator_role(without=""):
    """The cluster role of the operator, but for one kind of objects."""
    return thing(f"{manifests.RBAC}/v1", "ClusterRole", OPERATOR, rules=list(operator_rules(without)))


@contextmanager
def scraped(prometheus, cluster, found):
    """Let a running Prometheus scrape, too, the pods that ask for it, and what the kubelet knows of all containers."""
    before = (prometheus.folder / "prometheus.json").read_text()
    configuration = json.loads(before)
    pods = {"job_name": "neurallog", "file_sd_configs": [{"files": [str(found.targets)]}]}
    configuration["scrape_configs"] += [pods, _scrape_kubelet(cluster)]
    _configure(prometheus, json.dumps(configuration))
    yield
    _configure(prometheus, before)


def _configure(prometheus, configuration):
    (prometheus.folder / "prometheus.json").write_text(configuration)
    prometheus.popen.send_signal(signal.SIGHUP)  # it reads the file anew


def _scrape_kubelet(cluster):
    keys = cluster.keys
    return {
        "job_name": "kubelet",
        "scheme": "https",
        "metrics_path": "/metrics/cadvisor",
        "tls_config": {
            "ca_file": str(keys.authority.certificate),
            "cert_file": str(keys.kubelet_client.certificate),
            "key_file": str(keys.kubelet_client.key),
        },
        "static_configs": [
            {
                "targets": [f"{cluster.addresses.node}:{cluster.processes['kubelet'].port}"],
                "labels": {"instance": real_node.NAME, "node": real_node.NAME},
            }
        ],
        # Of containers only: it also tells of every other control group of this machine.
        "metric_relabel_configs": [{"source_labels": ["pod"], "regex": ".+", "action": "keep"}],
    }

"""Servers that are reached through a cluster: a service leads to one pod, and the pod to them."""

import os
import socket
import ssl
import threading
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace

from nl_forensics import permissions, sources
from nl_forensics.collection.collect import REACHED
from nl_forensics.connect import open_forward, open_link
from nl_forensics.inputs.platform import Budget, Cluster, Endpoint, KubernetesEndpoint, PortForward, PostgresEndpoint
from nl_forensics.permissions import kubernetes as cluster_permissions
from tests.investigation import QUICK, Investigation
from tests.stack import pgbouncer, postgres, prometheus, redis
from tests.stack.kubernetes import images, real_node, services
from tests.stack.kubernetes.api import is_true
from tests.stack.kubernetes.certificates import Authority
from tests.stack.process import HOST

NAMESPACE, POD, SERVICE = "data", "stores-0", "stores"
PORTS = {"postgres": 5432, "pgbouncer": 6432, "redis": 6379, "prometheus": 9090}
SECURE = {"secure-postgres": 5433, "secure-redis": 6380, "secure-prometheus": 9091}
NOBODY = 7777  # a port of the service behind which nothing listens
INSIDE = 10_000  # what is added to a port of the service: that of the pod
ANALYST, SOMEBODY = "analyst", "somebody"
ASKED = tuple(name for name, one in sources.load().items() if one.system != "kubernetes")
PATIENT = QUICK | {"deadline_s": 20, "connect_s": 3, "question_s": 3}
NAME, OTHER = "stores.example", "others.example"  # in the certificate, and not


@contextmanager
def reached_through(cluster, folder):
    """The cluster, in which a service leads to one pod and the pod to `servers`; `authority` has signed their certificate for NAME."""
    authority = Authority(folder, "authority")
    with ExitStack() as running:
        database = running.enter_context(postgres.start())
        servers = {
            "postgres": database,
            "pgbouncer": running.enter_context(pgbouncer.start(database)),
            "redis": running.enter_context(redis.start()),
            "prometheus": running.enter_context(prometheus.start()),
        }
        ports = {name: one.port for name, one in servers.items()} | _secure_ports(running, servers, authority)
        cluster.pod = _lead_to(cluster, ports)
        start_pod(cluster)
        cluster.kubeconfig(ANALYST, permissions.kubernetes_rules() + cluster_permissions.port_forward_rules())
        yield SimpleNamespace(cluster=cluster, servers=servers, authority=authority)
        cluster.delete("Namespace", NAMESPACE)


def _secure_ports(running, servers, authority):
    """The same servers, with a certificate for NAME."""
    pair = authority.issue("server", names=[NAME])
    database = servers["postgres"]
    for file in (pair.certificate, pair.key):
        copy = database.folder / file.name
        copy.write_bytes(file.read_bytes())
        copy.chmod(0o600)
        if database.user:
            os.chown(copy, *_ids(database.folder / "data"))
    for name, file in (("ssl_cert_file", pair.certificate), ("ssl_key_file", pair.key)):
        database.execute(f"ALTER SYSTEM SET {name} = '{database.folder / file.name}'")
    database.execute("ALTER SYSTEM SET ssl = on")
    database.execute("SELECT pg_reload_conf()")
    return {
        "secure-postgres": database.port,
        "secure-redis": running.enter_context(_with_tls(pair, servers["redis"].port)),
        "secure-prometheus": running.enter_context(_with_tls(pair, servers["prometheus"].port)),
    }


def _lead_to(running, behind):
    """The pod through which these ports are reached, and the services before and behind it."""
    running.apply(thing("Namespace", NAMESPACE, {}))
    for name, port in behind.items():
        way = {services.FORWARD: f"{HOST}:{port}"}
        running.apply(thing("Service", f"outside-{name}", {"ports": [{"port": 1}]}, annotations=way))
    all_ports = PORTS | SECURE | {"nobody": NOBODY}
    ports = [{"name": name, "port": port, "targetPort": port + INSIDE} for name, port in all_ports.items()]
    running.apply(thing("Service", SERVICE, {"selector": {"app": SERVICE}, "ports": ports}))
    return stores({name: running.get("Service", f"outside-{name}", NAMESPACE)["spec"]["clusterIP"] for name in behind})


def _ids(path):
    return path.stat().st_uid, path.stat().st_gid


@contextmanager
def _with_tls(pair, port):
    """A port that speaks TLS, before one that does not."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)

    def copy(one, other):
        with one, other:
            with suppress(OSError):
                while data := one.recv(65536):
                    other.sendall(data)
            for end in (one, other):  # the thread of the other direction wakes
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def serve():
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                with suppress(OSError):
                    client, behind = tls.wrap_socket(client, server_side=True), socket.create_connection((HOST, port))
                    threading.Thread(target=copy, args=(client, behind), daemon=True).start()
                    threading.Thread(target=copy, args=(behind, client), daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def thing(kind, name, spec, **metadata):
    about = {"name": name, **({"namespace": NAMESPACE} if kind != "Namespace" else {})}
    return {"apiVersion": "v1", "kind": kind, "metadata": about | metadata, "spec": spec}


def stores(way):
    """The pod: each of its ports leads to an address outside of it."""
    lines = [f"nc -ll -p {PORTS_INSIDE[name]} -e nc {address} 1 &" for name, address in way.items()]
    container = {
        "name": "main",
        "image": images.BUSYBOX,
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", "\n".join([*lines, "wait"])],
        "readinessProbe": {"exec": {"command": ["test", "!", "-e", "/tmp/tired"]}, "periodSeconds": 1},
    }
    spec = {**real_node.ON_REAL_NODE, "terminationGracePeriodSeconds": 0, "containers": [container]}
    return thing("Pod", POD, spec, labels={"app": SERVICE})


PORTS_INSIDE = {name: port + INSIDE for name, port in (PORTS | SECURE).items()}


def start_pod(running):
    running.apply(running.pod)
    running.wait("Pod", POD, NAMESPACE, until=lambda pod: pod and is_true(pod, "Ready"))
    running.wait("EndpointSlice", namespace=NAMESPACE, until=lambda slices: any(leads_to_pod(one) for one in slices))


def leads_to_pod(one):
    return any(each.get("targetRef") and each["conditions"]["ready"] for each in one.get("endpoints") or [])


def to(port, kind="service", name=SERVICE):
    return {"port_forward": f"{NAMESPACE}/{kind}/{name}:{port}"}


def forward(running, port, user=ANALYST, within_s=3.0, **target):
    way = Cluster("main", KubernetesEndpoint(), str(running.folder / f"{user}.kubeconfig"))
    return open_forward(PortForward(**to(port, **target)), way, Budget(connect_s=within_s))


def linked(running, system, address, port, **target):
    endpoint = PostgresEndpoint(endpoint="X") if system == "postgres" else Endpoint(endpoint="X")
    return open_link(system, address, endpoint, Budget(), forward(running, port, **target))


def through(folder, running, addresses, user=ANALYST, ports=PORTS, budget=PATIENT, **intact):
    """What is asked through the cluster; `intact`: addresses that are reached directly."""
    folder.mkdir(exist_ok=True)
    systems = {name: {"main": address} for name, address in addresses.items()}
    systems |= {"kubernetes": {"main": str(running.folder / f"{user}.kubeconfig")}}
    options = {name: {"via": to(ports[name])} for name in addresses}
    return Investigation(folder, systems | intact, budget, options=options)


def refusals(case, system):
    """The questions to a system that were refused."""
    for name, answers in case.answers.items():
        if name == REACHED or sources.load()[name].system in (system, "database" * (system == "postgres")):
            place = f"{system}-main" if name == REACHED else "main"
            if place in answers and answers[place].error:
                yield answers[place]


def errors(case, system="postgres"):
    return {answer.error for answer in refusals(case, system)}


def remedy(case, system):
    """What would close the gaps."""
    return {answer.remedy for answer in refusals(case, system)}


def is_known(case, system):
    """Whether it was recorded that a system answers or that it does not."""
    return bool(case.answers[REACHED][f"{system}-main"].file)

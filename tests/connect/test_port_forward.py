"""Systems that are reached through the API server: the same findings as directly, nobody else gets in, and every fault is told."""

import os
import re
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import yaml

from nl_forensics import permissions, sources
from nl_forensics.checks import run_checks
from nl_forensics.collection.collect import REACHED
from nl_forensics.connect import kubernetes, open_forward, open_link
from nl_forensics.connect.local_port import LocalPort, is_ours
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable
from nl_forensics.inputs.platform import Budget, Cluster, Endpoint, KubernetesEndpoint, PortForward, PostgresEndpoint
from nl_forensics.permissions import kubernetes as cluster_permissions
from tests.collection.test_collect import outages, timed_collect, workers
from tests.investigation import QUICK, SYSTEMS, UNHURRIED, Investigation
from tests.stack import pgbouncer, postgres, prometheus, redis
from tests.stack.kubernetes import images, real_node, services
from tests.stack.kubernetes.api import is_true
from tests.stack.kubernetes.certificates import Authority
from tests.stack.kubernetes.cluster import cluster
from tests.stack.process import HOST

MONITORING = "10"  # section of the guide

NAMESPACE, POD, SERVICE = "data", "stores-0", "stores"
PORTS = {"postgres": 5432, "pgbouncer": 6432, "redis": 6379, "prometheus": 9090}
SECURE = {"secure-postgres": 5433, "secure-redis": 6380, "secure-prometheus": 9091}
NOBODY = 7777  # a port of the service behind which nothing listens
INSIDE = 10_000  # what is added to a port of the service: that of the pod
ANALYST, SOMEBODY = "analyst", "somebody"
ASKED = tuple(name for name, one in sources.load().items() if one.system != "kubernetes")
PATIENT = QUICK | {"deadline_s": 20, "connect_s": 3, "question_s": 3}
FD_SETSIZE = 1024  # descriptors that select() knows
NAME, OTHER = "stores.example", "others.example"  # in the certificate, and not


# --- A cluster with a pod before the servers --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def servers():
    """Real ones, on this machine: the test can reach them directly, too."""
    with ExitStack() as running:
        database = running.enter_context(postgres.start())
        yield {
            "postgres": database,
            "pgbouncer": running.enter_context(pgbouncer.start(database)),
            "redis": running.enter_context(redis.start()),
            "prometheus": running.enter_context(prometheus.start()),
        }


@pytest.fixture(scope="module")
def addresses(servers):
    of = {"postgres": "dsn", "pgbouncer": "dsn", "redis": "url"}
    return {name: getattr(one, of[name])() if name in of else one.url for name, one in servers.items()}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def secure_ports(servers, authority):
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
    with ExitStack() as running:
        yield {
            "secure-postgres": database.port,
            "secure-redis": running.enter_context(_with_tls(pair, servers["redis"].port)),
            "secure-prometheus": running.enter_context(_with_tls(pair, servers["prometheus"].port)),
        }


def _ids(path):
    return path.stat().st_uid, path.stat().st_gid


@contextmanager
def _with_tls(pair, port):
    """A port that speaks TLS, before one that does not."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)

    def copy(one, other):
        with suppress(OSError), one, other:
            while data := one.recv(65536):
                other.sendall(data)

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


@pytest.fixture(scope="module")
def inside(servers, secure_ports):
    """A cluster in which a service leads to one pod, and the pod to the servers."""
    behind = {name: one.port for name, one in servers.items()} | secure_ports
    with cluster(real_node=True, audit=True) as running:
        running.apply(thing("Namespace", NAMESPACE, {}))
        for name, port in behind.items():
            way = {services.FORWARD: f"{HOST}:{port}"}
            running.apply(thing("Service", f"outside-{name}", {"ports": [{"port": 1}]}, annotations=way))
        all_ports = PORTS | SECURE | {"nobody": NOBODY}
        ports = [{"name": name, "port": port, "targetPort": port + INSIDE} for name, port in all_ports.items()]
        running.apply(thing("Service", SERVICE, {"selector": {"app": SERVICE}, "ports": ports}))
        addresses = {name: running.get("Service", f"outside-{name}", NAMESPACE)["spec"]["clusterIP"] for name in behind}
        running.wait("ServiceAccount", "default", NAMESPACE, until=bool)
        running.pod = stores(addresses)
        start_pod(running)
        running.kubeconfig(ANALYST, permissions.kubernetes_rules() + cluster_permissions.port_forward_rules())
        yield running


def start_pod(running):
    running.apply(running.pod)
    running.wait("Pod", POD, NAMESPACE, until=lambda pod: pod and is_true(pod, "Ready"))
    running.wait("EndpointSlice", namespace=NAMESPACE, until=lambda slices: any(_leads_to_pod(one) for one in slices))


def _leads_to_pod(one):
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


def statuses(case):
    """Of each check about the four systems, all that it says. What Prometheus says of its own youth changes from one look to the next."""
    found = {}
    for finding in (one for one in run_checks(case) if one.section != MONITORING):
        found.setdefault(finding.check, set()).add(finding.status)
    return {name: sorted(status.value for status in said) for name, said in found.items()}


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


# --- The same, through the cluster ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(inside, addresses, servers, tmp_path_factory):
    """The case of a collection through the cluster, then that of the same one without."""
    servers["prometheus"].wait_for("count_over_time(up[1m]) > 3", within_s=60)  # something of the incident
    way = through(tmp_path_factory.mktemp("through"), inside, addresses, budget=UNHURRIED)
    listened = set()

    def look(source, instance):
        if source in ("pg_activity", "pgbouncer_pools", "redis_server"):
            listened.update(listening(workers()))

    case, _ = timed_collect(way, again=ASKED, on_answer=look)
    plainly = Investigation(tmp_path_factory.mktemp("plain"), way.systems, UNHURRIED)
    return SimpleNamespace(forwarded=case, listened=listened, direct=timed_collect(plainly, again=ASKED)[0])


def listening(pids):
    """The ports of IPv4 on which processes listen: [("127.0.0.1", 40123)]."""
    files = set()
    for pid in pids:
        with suppress(OSError):
            files |= {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    places = [row[1].split(":") for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in files]
    return {(socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)) for address, port in places}


def test_the_findings_are_those_of_a_direct_connection(both):
    assert [answer for each in SYSTEMS for answer in refusals(both.forwarded, each)] == []
    assert statuses(both.forwarded) == statuses(both.direct)
    # Of the fifth system, the cluster, nothing was asked here.
    assert {"ok", "problem", "unknown"} <= {status for said in statuses(both.direct).values() for status in said}
    assert outages(both.forwarded) == {}
    assert all(is_known(both.forwarded, system) for system in SYSTEMS)


def test_custody_tells_the_pod_and_the_cluster(both, inside):
    uid = inside.get("Namespace", "kube-system")["metadata"]["uid"]
    reached = {
        one["system"]: one["identity"] for one in both.forwarded.rounds[-1].events() if one["event"] == "reached"
    }
    assert reached.keys() == PORTS.keys()
    for system, identity in reached.items():
        assert identity["through"] == to(PORTS[system]) | {
            "pod": f"{NAMESPACE}/{POD}",
            "port": PORTS[system] + INSIDE,
            "cluster": "main",
            "cluster_uid": uid,
        }
    directly = [one for one in both.direct.rounds[-1].events() if one["event"] == "reached"]
    assert not any("through" in one["identity"] for one in directly)


def test_nothing_is_left(both, servers):
    """Only for libpq does anything listen at all, on loopback, and not for longer than its worker lives."""
    assert {host for host, _ in both.listened} == {HOST}
    for place in both.listened:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(place, timeout=5)
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nl_forensics'"
    deadline = time.monotonic() + 5
    while servers["postgres"].execute(sessions) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_cluster_was_asked_for_nothing_else(both, inside):
    asked = {
        (event["verb"], event.get("objectRef", {}).get("resource"), event.get("objectRef", {}).get("subresource"))
        for event in inside.audit_log(ANALYST)
    }
    assert asked == {
        ("get", None, None),  # /version
        ("get", "namespaces", None),
        ("list", "services", None),
        ("list", "endpointslices", None),
        ("get", "pods", "portforward"),
    }


def test_who_asks_the_cluster_itself_opens_no_way():
    assert not {resource for _, resource in kubernetes.allowed() if "portforward" in resource}


def test_a_pod_by_name_and_several_connections_in_turn(inside, servers, addresses):
    link = linked(inside, "postgres", addresses["postgres"], PORTS_INSIDE["postgres"], kind="pod", name=POD)
    for _ in range(3):
        with link.into("postgres") as other:
            assert next(other.rows("SELECT current_database() AS name"))["name"] == "postgres"
    # An answer that is not read to its end: the driver cancels the statement, over a connection of its own.
    rows = link.rows("SELECT repeat('x', 10000) FROM generate_series(1, 2000000)")
    next(rows)
    began = time.monotonic()
    rows.close()
    assert time.monotonic() - began < 60  # all of it, 20 GB, would take longer than that
    assert len(list(link.rows("SELECT repeat('x', 10000) AS x FROM generate_series(1, 2000)"))) == 2000
    link.close()


def test_a_process_with_many_open_files(inside, addresses):
    """As a notebook's kernel has after a long night: the next descriptor is above 1023."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        while opened.enter_context(Path(os.devnull).open()).fileno() < FD_SETSIZE:
            pass
        link = linked(inside, "redis", addresses["redis"], PORTS["redis"])
        opened.callback(link.close)
        assert link.identity["version"]


def test_what_a_server_says_last_is_heard(inside, servers, addresses):
    """The kubernetes client's own port-forward loses it: then a full server would look like a broken network."""
    with ExitStack() as sessions:
        with suppress(psycopg.OperationalError):
            while True:
                sessions.enter_context(servers["postgres"].connect("nl_forensics"))
        with pytest.raises(NotAllowed, match="too many connections for role"):
            linked(inside, "postgres", addresses["postgres"], PORTS["postgres"])


# --- Who else may use it, and who answers -----------------------------------------------------------------------------

KNOCK = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as other:
    other.settimeout(5)
    try:
        other.sendall(b"hello")
        print(other.recv(10))
    except ConnectionError:
        print(b"")
"""


def test_no_other_process_gets_in(inside, addresses):
    way = forward(inside, PORTS["redis"])
    port = LocalPort(way)
    place = ("127.0.0.1", port.instead["port"])
    knocked = subprocess.run([sys.executable, "-c", KNOCK, str(place[1])], capture_output=True, text=True, check=True)
    assert knocked.stdout == "b''\n"
    with socket.create_connection(place, timeout=5) as ours:
        ours.sendall(b"PING\r\n")
        assert ours.recv(100).startswith(b"-NOAUTH")
    port.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place, timeout=5)
    way.close()


def test_to_look_who_knocks_leaves_no_file_open():
    """Each connection left copies of every file that is no socket, and copies of these copies: it doubled them."""
    with socket.create_server((HOST, 0)) as listener, socket.create_connection(listener.getsockname()) as ours:
        near, _ = listener.accept()
        before = len(list(Path("/dev/fd").iterdir()))
        with near:
            assert is_ours(near)
            ours.close()
            assert not is_ours(near)
            assert len(list(Path("/dev/fd").iterdir())) < before


ROOTS = {
    "postgres": "postgresql://nl_forensics:{password}@{name}:1/neurallog?sslmode=verify-full&sslrootcert={roots}",
    "redis": "rediss://nl_forensics:{password}@{name}:1/0?ssl_ca_certs={roots}",
    "prometheus": "https://{name}",
}


@pytest.mark.parametrize("system", ROOTS)
def test_the_server_must_prove_the_name_in_the_address(inside, authority, monkeypatch, system):
    monkeypatch.setattr("certifi.where", lambda: str(authority.certificate))
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(authority.certificate))
    password = {"postgres": postgres.PASSWORDS, "redis": redis.PASSWORDS}.get(system, {}).get("nl_forensics")
    for name in (NAME, OTHER):
        address = ROOTS[system].format(name=name, password=password, roots=authority.certificate)
        if name == NAME:
            link = linked(inside, system, address, SECURE[f"secure-{system}"])
            assert link.identity["version"]
            link.close()
        else:
            with pytest.raises((BadAnswer, NotReachable), match=re.compile("certificate|hostname", re.IGNORECASE)):
                linked(inside, system, address, SECURE[f"secure-{system}"])


# --- What can go wrong ------------------------------------------------------------------------------------------------


def test_without_the_permission(inside, addresses, tmp_path):
    """Nothing was heard of the systems: that they answer is unknown, and what is to be granted is said once."""
    inside.kubeconfig(SOMEBODY, permissions.kubernetes_rules())
    asked = through(tmp_path, inside, {"postgres": addresses["postgres"]}, SOMEBODY, redis={"main": addresses["redis"]})
    case, _ = timed_collect(asked, again=ASKED)
    assert errors(case) == {"NotAllowed"}
    assert not is_known(case, "postgres")
    assert outages(case) == {}
    assert remedy(case, "postgres") == {f"allow us to get and create pods/portforward in namespace {NAMESPACE}"}
    assert errors(case, "redis") == set()


def test_a_port_where_nothing_listens(inside, addresses):
    for system in SYSTEMS:
        with pytest.raises(
            NotReachable, match=f"nothing listens on port {NOBODY + INSIDE} of pod data/stores-0"
        ) as caught:
            linked(inside, system, addresses[system], NOBODY)
        assert not caught.value.on_the_way
        assert caught.value.remedy


def test_a_service_without_a_ready_pod(inside, addresses, tmp_path):
    """For its clients the system is down, so this is an outage."""
    inside.kubectl("exec", "-n", NAMESPACE, POD, "--", "touch", "/tmp/tired")
    try:
        inside.wait("Pod", POD, NAMESPACE, until=lambda pod: not is_true(pod, "Ready"))
        inside.wait(
            "EndpointSlice", namespace=NAMESPACE, until=lambda slices: not any(_leads_to_pod(one) for one in slices)
        )
        asked = through(tmp_path, inside, addresses)
        case, took = timed_collect(asked, again=ASKED)
        # What runs in a pod that is not ready can be asked by its name.
        link = linked(inside, "redis", addresses["redis"], PORTS_INSIDE["redis"], kind="pod", name=POD)
        link.close()
    finally:
        inside.kubectl("exec", "-n", NAMESPACE, POD, "--", "rm", "/tmp/tired")
        start_pod(inside)
    assert took < PATIENT["deadline_s"]
    assert outages(case).keys() == {f"{name}-main" for name in SYSTEMS}
    assert all("no pod behind service data/stores is ready" in because for because in outages(case).values())


@pytest.mark.parametrize(("kind", "name", "said"), [("pod", "gone", "not found"), ("service", "gone", "no service")])
def test_what_is_not_there(inside, kind, name, said):
    with pytest.raises(NotReachable, match=said) as caught:
        forward(inside, 5432, kind=kind, name=name)
    assert not caught.value.on_the_way


def test_a_revoked_token(inside, addresses, tmp_path):
    inside.kubeconfig("leaver", cluster_permissions.port_forward_rules(), NAMESPACE)
    forward(inside, PORTS["redis"], "leaver").close()  # a Role in that namespace is enough
    inside.revoke("leaver")
    deadline = time.monotonic() + 20
    with pytest.raises(NotAllowed, match="401") as caught:
        while time.monotonic() < deadline:
            forward(inside, PORTS["redis"], "leaver").close()
            time.sleep(0.5)
    assert caught.value.on_the_way
    assert "log in again" in caught.value.remedy
    case, _ = timed_collect(through(tmp_path, inside, {"redis": addresses["redis"]}, "leaver"), again=ASKED)
    assert errors(case, "redis") == {"NotAllowed"}
    assert not is_known(case, "redis")


def test_a_frozen_api_server(inside, addresses, tmp_path, redis_server):
    """It says nothing about the systems behind it; others are asked meanwhile."""
    asked = through(tmp_path, inside, {"postgres": addresses["postgres"]}, redis={"main": redis_server.url()})
    inside.freeze("kube-apiserver")
    try:
        case, took = timed_collect(asked, again=ASKED)
    finally:
        inside.thaw("kube-apiserver")
    assert took < PATIENT["connect_s"] + 6
    assert errors(case) == {"NotReachable"}
    assert not is_known(case, "postgres")
    assert errors(case, "redis") == set()


def test_an_api_server_that_freezes_meanwhile(inside, addresses, tmp_path, redis_server):
    asked = through(tmp_path, inside, {"postgres": addresses["postgres"]}, redis={"main": redis_server.url()})
    frozen = []

    def freeze(source, instance):
        if (source, instance) == ("pg_activity", "main") and not frozen:
            inside.freeze("kube-apiserver")
            frozen.append(True)

    try:
        case, took = timed_collect(asked, again=ASKED, on_answer=freeze)
    finally:
        inside.thaw("kube-apiserver")
    assert frozen
    assert took < PATIENT["deadline_s"] + 2
    assert errors(case) == {"NotReachable"}
    assert is_known(case, "postgres")
    assert not case.answers["pg_activity"]["main"].error
    assert errors(case, "redis") == set()


def test_a_pod_that_is_killed_meanwhile(inside, addresses, tmp_path, redis_server):
    """What came before is kept; that the system is gone is an outage."""
    asked = through(tmp_path, inside, {"postgres": addresses["postgres"]}, redis={"main": redis_server.url()})
    killed = []

    def kill(source, instance):
        if (source, instance) == ("pg_activity", "main") and not killed:
            killed.append(inside.delete("Pod", POD, NAMESPACE))
            inside.wait("EndpointSlice", namespace=NAMESPACE, until=lambda all_: not any(map(_leads_to_pod, all_)))

    try:
        case, took = timed_collect(asked, again=ASKED, on_answer=kill)
    finally:
        start_pod(inside)
    assert killed
    assert took < PATIENT["deadline_s"] + 2
    assert not case.answers["pg_activity"]["main"].error
    assert errors(case) == {"NotReachable"}
    assert outages(case).keys() == {"postgres-main"}
    assert errors(case, "redis") == set()


def test_without_a_kubeconfig(inside, addresses, tmp_path):
    asked = through(tmp_path, inside, {"redis": addresses["redis"]})
    asked.systems["kubernetes"]["main"] = str(tmp_path / "none")
    case = asked.collect(again=ASKED)
    assert errors(case, "redis") == {"NotConfigured"}
    asked = through(tmp_path / "unset", inside, {"redis": addresses["redis"]})
    asked.systems["kubernetes"]["main"] = ""
    case = asked.collect(again=ASKED)
    assert remedy(case, "redis") == {"set TEST_KUBERNETES_MAIN: redis is reached through cluster main"}


def test_a_credential_plugin_that_hangs(inside, addresses, tmp_path):
    """It can only be killed, with the worker: that tells nothing about the system either."""
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["60"]}
    plugin["interactiveMode"] = "Never"
    values = yaml.safe_load((inside.folder / f"{ANALYST}.kubeconfig").read_text())
    values["users"][0]["user"] = {"exec": plugin}
    (tmp_path / "config").write_text(yaml.safe_dump(values))
    asked = through(tmp_path, inside, {"redis": addresses["redis"]}, budget=QUICK)
    asked.systems["kubernetes"]["main"] = str(tmp_path / "config")
    case, took = timed_collect(asked, again=ASKED)
    assert took < QUICK["deadline_s"]
    assert errors(case, "redis") == {"NotReachable"}
    assert not is_known(case, "redis")


def test_an_address_with_several_hosts_is_refused(inside):
    with pytest.raises(NotConfigured, match="several hosts"):
        linked(inside, "postgres", "postgresql://u:p@a:1,b:1/db", PORTS["postgres"])
    with pytest.raises(NotConfigured):
        linked(inside, "redis", "unix:///run/redis.sock", PORTS["redis"])

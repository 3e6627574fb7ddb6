"""Systems that are reached through the API server: the same findings as directly, and nobody else gets in."""

import os
import re
import resource
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from nl_forensics.checks import run_checks
from nl_forensics.connect import kubernetes
from nl_forensics.connect.local_port import LocalPort, is_ours
from nl_forensics.errors import BadAnswer, NotAllowed, NotReachable
from tests.collection.test_collect import outages, timed_collect, workers
from tests.connect.forwarding import (
    ANALYST,
    ASKED,
    INSIDE,
    NAME,
    NAMESPACE,
    OTHER,
    POD,
    PORTS,
    PORTS_INSIDE,
    SECURE,
    forward,
    is_known,
    linked,
    refusals,
    through,
    to,
)
from tests.investigation import SYSTEMS, UNHURRIED, Investigation
from tests.stack import postgres, redis
from tests.stack.process import HOST

MONITORING = "10"  # section of the guide
FD_SETSIZE = 1024  # descriptors that select() knows


def statuses(case):
    """Of each check about the four systems, all that it says. What Prometheus says of its own youth changes from one look to the next."""
    found = {}
    for finding in (one for one in run_checks(case) if one.section != MONITORING):
        found.setdefault(finding.check, set()).add(finding.status)
    return {name: sorted(status.value for status in said) for name, said in found.items()}


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

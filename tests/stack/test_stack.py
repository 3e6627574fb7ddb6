"""The servers of tests/stack: each starts, answers, misbehaves on demand, stops, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
import redis as redis_client
import requests

from tests.stack import exporters, faults, guard, history, pgbouncer, postgres, process, prometheus, redis
from tests.stack.load import load
from tests.stack.stack import stack

TOP = Path(__file__).parents[2]


def assert_gone(server):
    assert guard.processes_in(server.folder) == []
    assert not server.folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((process.HOST, server.port), timeout=1)


def eventually(condition, within_s=10):
    """Wait until `condition()` is true, and return what it gave."""
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.05)
    return result


def test_two_test_runs_never_draw_the_same_port():
    """Not even of those whose server is down at the moment, or not up yet."""
    draw = "from tests.stack.process import free_port; print(*(free_port() for _ in range(400))); input()"
    command = [sys.executable, "-c", draw]
    ours = {process.free_port() for _ in range(400)}
    with subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        theirs = set(map(int, other.stdout.readline().split()))
        other.communicate("\n")
    assert len(ours) == len(theirs) == 400
    assert not ours & theirs


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", postgres.VERSIONS)
def test_postgres_starts_answers_and_leaves_nothing(version):
    with postgres.start(version) as server:
        assert server.execute("SHOW server_version")[0][0].startswith(f"{version}.")
        assert server.execute("SELECT count(*) FROM payments", user="app") == [(12_000,)]
        with server.connect("app") as other:
            other.execute("SELECT 'seen by pg_monitor'")
            seen = server.execute("SELECT query FROM pg_stat_activity WHERE usename = 'app'", user="nl_forensics")
        assert seen == [("SELECT 'seen by pg_monitor'",)]
        statements = "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%FROM payments'"
        assert server.execute(statements, user="nl_forensics") == [(1,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            server.execute("SELECT * FROM payments", user="nl_forensics")
    assert_gone(server)


def test_postgres_refuses_a_wrong_password():
    with postgres.start() as server, pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn(password="wrong"))


def test_postgres_role_has_five_connections():
    with postgres.start() as server:
        sessions = [server.connect("nl_forensics") for _ in range(5)]
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            server.connect("nl_forensics")
        for session in sessions:
            session.close()


def test_postgres_role_can_be_plain():
    with postgres.start(monitor=False) as server, server.connect("app"):
        seen = server.execute("SELECT DISTINCT query FROM pg_stat_activity WHERE usename = 'app'", user="nl_forensics")
        assert seen == [("<insufficient privilege>",)]


def test_postgres_settings_and_restart():
    with postgres.start(settings={"max_connections": 12}) as server:
        assert server.execute("SHOW max_connections") == [("12",)]
        server.execute("CREATE TABLE kept ()")
        port = server.port
        server.stop()
        assert not server.answers()
        server.start()
        assert server.port == port
        assert server.execute("SELECT count(*) FROM kept") == [(0,)]


def test_postgres_freezes_whole_and_thaws():
    with postgres.start() as server, server.connect() as session:
        answers = []
        asking = threading.Thread(target=lambda: answers.append(session.execute("SELECT 1").fetchone()))
        server.freeze()
        asking.start()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(server.dsn(connect_timeout=2))
        assert answers == []
        server.thaw()
        asking.join(timeout=5)
        assert answers == [(1,)]
        server.freeze()
    assert_gone(server)


def test_replica_streams_through_its_slot():
    with postgres.start(settings={"max_connections": 60}) as primary, postgres.replica(of=primary) as replica:
        primary.execute("CREATE TABLE seen_on_the_replica ()")
        eventually(lambda: replica.execute("SELECT to_regclass('seen_on_the_replica')") != [(None,)])
        assert replica.execute("SELECT pg_is_in_recovery()") == [(True,)]
        assert primary.execute("SELECT slot_name, active FROM pg_replication_slots") == [("replica_1", True)]
        assert primary.execute("SELECT application_name FROM pg_stat_replication") == [("replica_1",)]
    assert_gone(replica)


def test_pgbouncer_shows_its_pools():
    with postgres.start() as server, pgbouncer.start(server) as pooler:
        with psycopg.connect(pooler.dsn("app", postgres.DATABASE)) as session:
            assert session.execute("SELECT count(*) FROM tenants").fetchone() == (20,)
            (pool,) = [row for row in pooler.show("POOLS") if row["database"] == postgres.DATABASE]
            assert (pool["user"], pool["cl_active"], pool["sv_active"]) == ("app", 1, 1)
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            psycopg.connect(pooler.dsn(password="wrong"))
    assert_gone(pooler)


# --- Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", redis.VERSIONS)
def test_redis_starts_answers_and_leaves_nothing(version):
    with redis.start(version, settings={"slowlog-log-slower-than": 0}) as server:
        with server.connect() as admin, server.connect("nl_forensics") as reader:
            admin.set("cache:1", "x")
            assert reader.info("server")["redis_version"].startswith(f"{version}.")
            assert any(entry["command"] == b"SET cache:1 x" for entry in reader.slowlog_get())
            assert reader.memory_usage("cache:1") > 0
            for forbidden in (("GET", "cache:1"), ("SET", "cache:1", "y"), ("KEYS", "*"), ("FLUSHDB",)):
                with pytest.raises(redis_client.exceptions.NoPermissionError):
                    reader.execute_command(*forbidden)
        with pytest.raises(redis_client.AuthenticationError):
            redis_client.Redis.from_url(server.url(password="wrong")).ping()
        server.restart()
        assert server.connect().get("cache:1") == "x"
    assert_gone(server)


def test_redis_takes_the_rules_of_its_caller():
    with redis.start(acl="-@all +ping") as server, server.connect("nl_forensics") as reader:
        assert reader.ping()
        with pytest.raises(redis_client.exceptions.NoPermissionError):
            reader.info()


def test_a_server_that_cannot_start_says_why():
    with pytest.raises(process.ServerFailed, match="Bad directive"):
        redis.start(settings={"no-such-setting": 1})


# --- Prometheus, exporters, load: the whole stack --------------------------------------------------------------------


@pytest.fixture(scope="module")
def platform():
    with stack(scrape_s=1) as servers, load(servers.pgbouncer, servers.redis) as work:
        servers.load = work
        yield servers


def test_exporters_series_arrive(platform):
    for promql in ("pg_up == 1", "redis_up == 1", 'pg_replication_lag{instance="postgres-replica-0:9187"} >= 0'):
        assert platform.prometheus.wait_for(promql)
    assert platform.prometheus.wait_for('increase(redis_commands_total{cmd="lpush"}[10s]) > 0')
    assert platform.prometheus.wait_for('increase(pg_stat_database_xact_commit{datname="neurallog"}[10s]) > 0')


def test_every_series_of_the_past_goes_on(platform):
    """A name that an exporter doesn't expose, or other labels, would make a baseline without an incident."""
    now = time.time()
    for target, shapes in history.HEALTHY:
        for series in shapes:
            name = history.with_labels(series, target)
            past = platform.prometheus.query_range(name, now - 7200, now - 3600, 600)
            live = platform.prometheus.wait_for(
                f"last_over_time({name}[20s])", within_s=60
            )  # rules take two evaluations
            assert len(past) == 1, name
            assert past[0]["metric"] in [found["metric"] for found in live], name


def test_no_hole_between_past_and_present(platform):
    platform.prometheus.wait_for("pg_up")
    now = time.time()
    for found in platform.prometheus.query_range("pg_up", now - 3600, now, 15):
        assert len(found["values"]) == 241
    (rate,) = platform.prometheus.query_range(
        "sum(rate(redis_commands_processed_total[2m]))", now - 3600, now - 300, 60
    )
    assert all(50 < float(value) < 300 for _, value in rate["values"])


def test_load_works_without_errors(platform):
    eventually(lambda: {"handle_request", "store_logs", "bill"} <= set(platform.load.done))
    assert not platform.load.errors
    assert platform.postgres.execute("SELECT count(*) FROM log_entries")[0][0] > 20_000


def test_environment_leads_to_every_server(platform):
    environment = platform.environment()
    assert psycopg.connect(environment["NL_POSTGRES_DSN"]).execute("SELECT current_user").fetchone() == (
        "nl_forensics",
    )
    assert psycopg.connect(environment["NL_PGBOUNCER_DSN"], autocommit=True).execute("SHOW POOLS").fetchall()
    assert redis_client.Redis.from_url(environment["NL_REDIS_URL"]).info("server")
    assert requests.get(environment["NL_PROMETHEUS_URL"] + "/-/healthy").ok


def test_prometheus_evaluates_rules():
    alert = {"alert": "Always", "expr": "vector(1)"}
    with prometheus.start(rules={"groups": [{"name": "test", "rules": [alert]}]}) as server:
        assert server.wait_for('ALERTS{alertname="Always", alertstate="firing"}')
    assert_gone(server)


def test_exporter_tells_of_a_dead_server():
    with postgres.start() as server, exporters.start_postgres_exporter(server) as exporter:
        url = f"http://{process.HOST}:{exporter.port}/metrics"
        assert "\npg_up 1\n" in requests.get(url).text
        server.stop()
        assert "\npg_up 0\n" in requests.get(url).text
    assert_gone(exporter)


def test_queue_grows_when_nobody_consumes():
    with postgres.start() as server, redis.start() as cache, load(server, cache, per_second=50, consume=False):
        eventually(lambda: cache.connect().llen("log_queue") > 100)


def test_load_survives_a_restart_of_its_servers():
    with postgres.start() as server, redis.start() as cache, load(server, cache) as work:
        eventually(lambda: work.done["bill"])
        server.restart()
        eventually(lambda: work.errors)
        before = work.done["bill"]
        eventually(lambda: work.done["bill"] > before)


# --- Faults at the wire ----------------------------------------------------------------------------------------------


def test_closed_port_refuses():
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((process.HOST, faults.closed_port()))


def test_never_accepts():
    with faults.never_accepts() as port, pytest.raises(TimeoutError):
        socket.create_connection((process.HOST, port), timeout=0.5)


def test_silent_port_accepts_and_says_nothing():
    with faults.silent() as port, pytest.raises(requests.ReadTimeout):
        requests.get(f"http://{process.HOST}:{port}", timeout=0.5)


@pytest.mark.parametrize("client", faults.ENDLESS_ANSWERS)
def test_dripping_port_sends_a_byte_a_second(client):
    with faults.dripping(client) as port, socket.create_connection((process.HOST, port), timeout=0.5) as connection:
        assert len(connection.recv(100)) == 1
        with pytest.raises(TimeoutError):
            connection.recv(100)


def test_garbage_is_no_answer():
    with faults.garbage() as port:
        with pytest.raises(redis_client.exceptions.RedisError):
            redis_client.Redis(port=port).ping()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://u:p@{process.HOST}:{port}/d")
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://{process.HOST}:{port}")


def test_html_comes_with_status_200():
    with faults.html() as port:
        answer = requests.get(f"http://{process.HOST}:{port}/api/v1/query")
        assert (answer.status_code, answer.content) == (200, faults.HTML)


def test_wrong_certificate_is_not_trusted():
    with faults.wrong_certificate() as port:
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"https://{process.HOST}:{port}")
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            psycopg.connect(f"postgresql://u:p@{process.HOST}:{port}/d?sslmode=verify-full&sslrootcert=system")


# --- What must never happen ------------------------------------------------------------------------------------------


def test_a_missing_server_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setenv("NL_FORENSICS_STACK_CACHE", str(tmp_path))
    with pytest.raises(process.MissingServer, match=r"PostgreSQL 17 is not installed: run tests/stack/install\.sh"):
        postgres.start("17")


STARTS_AND_WAITS = """
from tests.stack import postgres, process, redis
servers = postgres.start(), redis.start()
servers[0].freeze()
print(process.root(), flush=True)
input()
"""


@pytest.mark.server
def test_nothing_outlives_a_killed_parent():
    with subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_WAITS], cwd=TOP, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        root = Path(parent.stdout.readline().strip())
        assert len(guard.processes_in(root)) > 5
        parent.kill()
    eventually(lambda: not root.exists())
    assert guard.processes_in(root) == []


@pytest.mark.server
def test_stack_by_hand_prints_addresses_and_ends_at_ctrl_c():
    with subprocess.Popen(
        [sys.executable, "-m", "tests.stack"], cwd=TOP, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as by_hand:
        lines = [by_hand.stdout.readline() for _ in range(4)]
        assert [line.split("=")[0] for line in lines] == [
            "export NL_POSTGRES_DSN",
            "export NL_PGBOUNCER_DSN",
            "export NL_REDIS_URL",
            "export NL_PROMETHEUS_URL",
        ]
        os.kill(by_hand.pid, signal.SIGINT)
        assert by_hand.wait(20) == 0
        assert "Traceback" not in by_hand.stderr.read()


def test_install_script_leaves_alone_what_is_there():
    done = subprocess.run([TOP / "tests/stack/install.sh"], text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("test servers: complete\n")

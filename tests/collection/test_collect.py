"""A collection ends in time whatever the systems do, tells which of them did not answer, and changes nothing in them."""

import os
import re
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from nl_forensics.checks import run_checks
from nl_forensics.collection.collect import REACHED
from nl_forensics.connect.redis import allowed
from nl_forensics.finding import Status
from tests.investigation import QUICK, SYSTEMS, Investigation
from tests.stack import faults, pgbouncer, postgres, prometheus, redis
from tests.stack.process import HOST

CLIENT_OF = {"postgres": "postgres", "pgbouncer": "postgres", "redis": "redis", "prometheus": "http"}
ADDRESS = {
    "postgres": "postgresql://u:p@{host}:{port}/neurallog",
    "pgbouncer": "postgresql://u:p@{host}:{port}/pgbouncer",
    "redis": "redis://u:p@{host}:{port}/0",
    "prometheus": "http://{host}:{port}",
}
LONG = QUICK | {"deadline_s": 60}  # a collection that ends by itself takes seconds, also on a machine that is busy
TLS_ADDRESS = {
    "postgres": ADDRESS["postgres"] + "?sslmode=verify-full&sslrootcert=system",
    "pgbouncer": ADDRESS["pgbouncer"] + "?sslmode=verify-full&sslrootcert=system",
    "redis": ADDRESS["redis"].replace("redis:", "rediss:"),
    "prometheus": ADDRESS["prometheus"].replace("http:", "https:"),
}


@contextmanager
def closed(_client):
    yield faults.closed_port()


FAULTS = {
    "closed": closed,
    "never_accepts": lambda client: faults.never_accepts(),
    "silent": lambda client: faults.silent(),
    "dripping": faults.dripping,
    "garbage": lambda client: faults.garbage(),
    "html": lambda client: faults.html(),
    "wrong_certificate": lambda client: faults.wrong_certificate(),
}


def timed_collect(asked, **options):
    """The case, which is whole, and how long it took."""
    began = time.monotonic()
    case = asked.collect(**options)
    took = time.monotonic() - began
    assert case.verify() == []
    assert workers() == []
    return case, took


def workers():
    """Processes that a collection of ours left behind: children of the server that forks them."""
    from multiprocessing import forkserver

    parent = forkserver._forkserver._forkserver_pid
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            found += [stat.parent.name] * (int(ppid) == parent and state != "Z")
    return found


def outages(case):
    """Whom `every_system_answers` names, and why."""
    findings = [f for f in run_checks(case) if f.check == "every_system_answers"]
    return {f.subject: f.because for f in findings if f.status is Status.PROBLEM}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_the_wire_is_told_in_time_and_disturbs_nobody_else(fault, tmp_path, redis_server):
    with ExitStack() as ports:
        addresses = TLS_ADDRESS if fault == "wrong_certificate" else ADDRESS
        systems = {
            name: {"main": addresses[name].format(host=HOST, port=ports.enter_context(FAULTS[fault](CLIENT_OF[name])))}
            for name in SYSTEMS
        }
        systems["redis"]["intact"] = redis_server.url()
        case, took = timed_collect(Investigation(tmp_path, systems, LONG))
    assert took < LONG["deadline_s"] / 2
    assert outages(case).keys() == {f"{name}-main" for name in SYSTEMS}
    intact = [answers["intact"] for source, answers in case.answers.items() if "intact" in answers]
    assert intact
    assert [answer for answer in intact if answer.error] == []


def test_frozen_servers(tmp_path):
    with ExitStack() as running:
        database = running.enter_context(postgres.start())
        pooler = running.enter_context(pgbouncer.start(database))
        cache = running.enter_context(redis.start())
        metrics = running.enter_context(prometheus.start())
        asked = Investigation(
            tmp_path,
            {
                "postgres": {"main": database.dsn()},
                "pgbouncer": {"main": pooler.dsn()},
                "redis": {"main": cache.url()},
                "prometheus": {"main": metrics.url},
            },
            LONG,
        )
        for server in (database, pooler, cache, metrics):
            server.freeze()
        case, took = timed_collect(asked)
        for server in (database, pooler, cache, metrics):
            server.thaw()
    assert took < LONG["deadline_s"] / 2
    assert outages(case).keys() == {f"{name}-main" for name in SYSTEMS}
    assert not [f for f in run_checks(case) if f.status is Status.OK]


class Relay:
    """Stands before a server: lets clients wait, and freezes after so many bytes of answers, as if the server hung."""

    def __init__(self, port, delay_s=0):
        self.port_behind, self.delay_s, self.passed, self.limit = port, delay_s, 0, float("inf")
        self.listener = socket.create_server((HOST, 0))
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def port(self):
        return self.listener.getsockname()[1]

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                time.sleep(self.delay_s)
                server = socket.create_connection((HOST, self.port_behind))
                threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source, target, is_answer):
        with suppress(OSError):
            while data := source.recv(65536):
                self.passed += len(data) * is_answer
                if self.passed <= self.limit:
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # closed alone, it would go on waiting
        self.listener.close()
        self.thread.join()


@pytest.mark.parametrize("frozen", SYSTEMS)
def test_a_server_that_freezes_in_the_middle(frozen, tmp_path, four_systems):
    behind = int(re.search(r":(\d+)(?:/|$)", four_systems[frozen]["main"])[1])
    with Relay(behind) as relay:
        systems = {frozen: {"main": four_systems[frozen]["main"].replace(f":{behind}", f":{relay.port}")}}
        for folder in (whole := tmp_path / "whole", cut := tmp_path / "cut"):
            folder.mkdir()
        complete, _ = timed_collect(Investigation(whole, systems, LONG))
        assert outages(complete) == {}
        relay.passed, relay.limit = 0, relay.passed * 0.6
        case, took = timed_collect(Investigation(cut, systems, LONG))
    assert took < LONG["deadline_s"] / 2
    assert outages(case).keys() == {f"{frozen}-main"}
    answered = [name for name, answers in case.answers.items() if name != REACHED and not answers["main"].error]
    assert 0 < len(answered) < len(complete.answers) - 1  # what was answered before is kept


def test_the_deadline_holds_where_every_question_hangs(tmp_path):
    with faults.silent() as port:
        slow = QUICK | {"connect_s": 60, "question_s": 60, "deadline_s": 5}
        asked = Investigation(tmp_path, {"redis": {"main": f"redis://{HOST}:{port}"}}, budget=slow)
        case, took = timed_collect(asked)
    assert 5 <= took < 55  # any question alone would be waited for 60 s
    [finding] = [f for f in run_checks(case) if f.check == "every_system_answers"]
    assert finding.status is Status.UNKNOWN
    assert "redis-main: the deadline of the collection (5 s) was exceeded" in finding.because


def test_with_everything_down_and_the_default_budget(tmp_path):
    with ExitStack() as ports:
        silent = [
            ports.enter_context(fault())
            for fault in (faults.silent, faults.never_accepts, faults.silent, faults.garbage)
        ]
        systems = {
            name: {"main": ADDRESS[name].format(host=HOST, port=port)}
            for name, port in zip(SYSTEMS, silent, strict=True)
        }
        case, took = timed_collect(Investigation(tmp_path, systems, budget={}))
    assert took < 30
    findings = run_checks(case)
    assert findings.oks == []
    assert findings.exit_code() == 1
    assert outages(case).keys() == {f"{name}-main" for name in SYSTEMS}


def test_nothing_is_configured(tmp_path):
    asked = Investigation(tmp_path, {name: {"main": ""} for name in SYSTEMS})
    case, _ = timed_collect(asked)
    findings = run_checks(case)
    assert findings.oks == []
    assert findings.problems == []
    assert "set TEST_REDIS_MAIN, or declare redis absent in the platform file" in list(findings.gaps()["remedy"])


def test_a_killed_worker_is_our_bug_and_no_outage(tmp_path, redis_server):
    """Somebody, or the kernel for want of memory, kills a worker: nothing is concluded from it about the system."""

    def kill(_source, _instance):
        for pid in workers():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(int(pid), 9)

    slow = QUICK | {"readings_s": 5}  # it can't have finished before it is killed
    case, _ = timed_collect(
        Investigation(tmp_path, {"redis": {"main": redis_server.url()}}, budget=slow), on_answer=kill
    )
    assert outages(case) == {}
    assert run_checks(case).exit_code() == 4


def test_a_slow_listener_is_no_outage(tmp_path, redis_server):
    """While a finding is printed nobody listens; what a system said meanwhile is not lost, and its silence not its own."""
    pauses = iter([2])
    with Relay(redis_server.port, delay_s=0.8) as relay:
        slower = redis_server.url().replace(f":{redis_server.port}", f":{relay.port}")
        case, _ = timed_collect(
            Investigation(tmp_path, {"redis": {"main": redis_server.url(), "slower": slower}}, QUICK),
            on_answer=lambda source, instance: time.sleep(next(pauses, 0)),
        )
    assert outages(case) == {}


# --- What is asked, and as whom --------------------------------------------------------------------------------------


def test_a_superuser_is_refused(tmp_path, postgres_server):
    asked = Investigation(tmp_path, {"postgres": {"main": postgres_server.dsn("postgres")}})
    case, _ = timed_collect(asked)
    assert {answer.error for name in case.answers if name != REACHED for answer in case.answers[name].values()} == {
        "NotAllowed"
    }
    assert "set allow_superuser: true in the platform file" in case.gaps("pg_activity")[0].remedy
    assert outages(case) == {}


def test_a_superuser_is_allowed_if_told_so_and_custody_says_it(tmp_path, postgres_server):
    options = {"postgres": {"allow_superuser": True}}
    case, _ = timed_collect(
        Investigation(tmp_path, {"postgres": {"main": postgres_server.dsn("postgres")}}, options=options)
    )
    [reached] = [event for event in case.rounds[0].events() if event["event"] == "reached"]
    assert reached["identity"]["superuser"] is True
    assert not case.answers["pg_activity"]["main"].error


def test_a_session_that_does_not_take_our_settings_is_given_up(tmp_path, four_systems, pgbouncer_server):
    """Behind a pooler a session may lack the read-only transaction and the timeouts."""
    pooled = pgbouncer_server.dsn(database=postgres.DATABASE)
    case, _ = timed_collect(Investigation(tmp_path, {"postgres": {"main": pooled}}))
    assert case.gaps("pg_activity")[0].remedy == "give the address of PostgreSQL itself, not of the pooler"


FIRST_WORDS = re.compile(r"nl_forensics nl_forensics\|LOG:  (?:statement|execute [^:]*):\s*(\w+)")
CHANGES = "SELECT sum(tup_inserted), sum(tup_updated), sum(tup_deleted) FROM pg_stat_database"


def test_postgres_is_only_read(tmp_path):
    with postgres.start(settings={"log_statement": "all", "log_line_prefix": "%u %a|", "autovacuum": "off"}) as server:
        before = server.execute(CHANGES)
        timed_collect(Investigation(tmp_path, {"postgres": {"main": server.dsn()}}))
        assert server.execute(CHANGES) == before
        said = server.log.read_text()
    assert "nl_forensics [unknown]" not in said  # every session of ours has our name
    assert {word.upper() for word in FIRST_WORDS.findall(said)} <= {
        "SELECT",
        "WITH",
        "SHOW",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
    }
    assert len(FIRST_WORDS.findall(said)) > 20


def test_redis_is_only_read(tmp_path):
    with redis.start() as server, server.connect() as admin:
        admin.set("usage:1", 1)
        admin.config_resetstat()
        changes = admin.info()["rdb_changes_since_last_save"]
        timed_collect(Investigation(tmp_path, {"redis": {"main": server.url()}}))
        called = {name.removeprefix("cmdstat_") for name in admin.info("commandstats")}
        assert admin.info()["rdb_changes_since_last_save"] == changes
    assert called - {"auth", "config|resetstat"} <= {*allowed(), "info"}
    assert len(called) > 5


def test_pgbouncer_is_only_shown(tmp_path, postgres_server):
    with pgbouncer.start(postgres_server, settings={"verbose": 2}) as server:
        timed_collect(Investigation(tmp_path, {"pgbouncer": {"main": server.dsn()}}))
        asked = re.findall(r"(?i)command: ?(.*)|got: ?'?(.*)", server.log.read_text())
    assert all("SHOW" in "".join(words).upper() for words in asked)


def test_few_sessions_of_ours_are_open_at_a_time(tmp_path):
    """The role may have few connections: our own, one into another database, and one that is just ending."""
    with postgres.start() as server:
        most, done = [0], threading.Event()

        def watch():
            with server.connect() as admin:
                while not done.is_set():
                    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nl_forensics'"
                    most[0] = max(most[0], admin.execute(count).fetchone()[0])

        watcher = threading.Thread(target=watch)
        watcher.start()
        with suppress(psycopg.Error):
            timed_collect(Investigation(tmp_path, {"postgres": {"main": server.dsn()}}))
        done.set()
        watcher.join()
    assert 1 <= most[0] <= 3


SCRIPT = """
import sys
from pathlib import Path
from nl_forensics.inputs import parameters
from nl_forensics.collection.collect import collect
print(collect(Path(sys.argv[2]), parameters.read(Path(sys.argv[1]))).read("systems_reached").rows.answered.tolist())
"""


def test_a_script_collects_as_one_writes_it(tmp_path, redis_server):
    """Nothing in it waits for `__name__ == "__main__"`: multiprocessing by itself would run it again in every worker."""
    asked = Investigation(tmp_path, {"redis": {"main": redis_server.url()}})
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", asked.file, asked.case_folder]
    done = subprocess.run(command, env=os.environ | asked.addresses, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[True]\n", "")

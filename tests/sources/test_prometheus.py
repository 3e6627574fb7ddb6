"""A real Prometheus with a written past, the real exporters, and a server that answers as Prometheus shouldn't."""

import base64
import json
import time
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

import tests.record.prometheus as faults
from nl_forensics import sources
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable
from tests.asking import as_table, ask, incident, link, offenders, platform
from tests.record.prometheus import past, since
from tests.stack import exporters, in_thread, postgres, prometheus, redis
from tests.stack import faults as wire
from tests.stack.history import REDIS
from tests.stack.prometheus import Target

SERIES = [name for name, one in sources.load().items() if one.system == "prometheus" and one.covers == "window"]
OF_EXPORTERS = [name for name in SERIES if name.startswith(("prom_postgres_", "prom_redis_", "prom_exporter_"))]
ALERTS = {
    "groups": [
        {
            "name": "platform",
            "rules": [
                {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "none"}},
                {"alert": "RedisDown", "expr": "redis_up == 0", "for": "5m", "labels": {"severity": "critical"}},
                {"record": "job:up:sum", "expr": "sum by (job) (up)"},
            ],
        }
    ]
}


# --- A Prometheus that answers as it is told --------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.users.append(self.headers.get("Authorization"))
        status, kind, body, headers = self.server.answer(self.path)
        self.send_response(status)
        for name, value in ({"Content-Type": kind, "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def success(data, **more):
    return 200, "application/json", json.dumps({"status": "success", "data": data} | more).encode(), {}


def healthy(path):
    """What the link asks when it is opened."""
    if path.startswith("/api/v1/status/buildinfo"):
        return success({"version": "2.42.0"})
    if "query=time" in path:
        return success({"resultType": "scalar", "result": [time.time(), str(time.time())]})
    return success({"resultType": "matrix", "result": []})


@contextmanager
def answering(answer):
    """A server on which `answer(path)` gives status, content type, body and headers."""
    with in_thread.answering(ThreadingHTTPServer(("127.0.0.1", 0), Answers)) as server:
        server.answer, server.asked, server.users = answer, [], []
        yield server, f"http://127.0.0.1:{server.server_port}"


def answering_ranges(body):
    """Healthy but for range queries, which get `body`."""
    return answering(lambda path: body if "query_range" in path else healthy(path))


def page(status, text=b"<html>Sign in</html>", **headers):
    return status, "text/html", text, headers


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (page(200), BadAnswer, "is not JSON"),
        (page(302, Location="http://elsewhere/"), BadAnswer, "HTTP 302"),
        (page(401), NotAllowed, "HTTP 401"),
        (page(403), NotAllowed, "HTTP 403"),
        (page(404), BadAnswer, "HTTP 404"),
        (page(502), NotReachable, "HTTP 502"),
        (page(503), NotReachable, "HTTP 503"),
        ((200, "application/json", b"[1, 2]", {}), BadAnswer, "not that of Prometheus"),
        ((200, "application/json", b'{"data": 1}', {}), BadAnswer, "not that of Prometheus"),
        ((200, "application/json", b'{"status": "succ', {}), BadAnswer, "is not JSON"),
        ((200, "application/json", b"[" * 100_000, {}), BadAnswer, "is not JSON"),
    ],
)
def test_answers_of_others(answer, error, says):
    with answering(lambda path: answer) as (server, url):
        with pytest.raises(error, match=says) as raised:
            link("prometheus", url)
        assert raised.value.remedy
        assert len(server.asked) == 1  # neither repeated nor followed


def test_an_error_of_prometheus():
    error = {"status": "error", "errorType": "timeout", "error": "query timed out in expression evaluation"}
    with answering_ranges((503, "application/json", json.dumps(error).encode(), {})) as (_, url):
        opened = link("prometheus", url)
        with pytest.raises(BadAnswer, match="query timed out"):
            ask(opened, "prom_redis_up")


def test_warnings_make_an_answer_partial():
    """As a Thanos gives them when one of its stores is down: HTTP 200, and less than there is."""
    now = round(time.time())
    found = {"metric": {"instance": "redis-0:9121"}, "values": [[now - 15 * n, "1"] for n in range(121)]}
    body = success({"resultType": "matrix", "result": [found]}, warnings=["store-2 is unavailable"])
    with answering_ranges(body) as (_, url):
        heard = ask(link("prometheus", url), "prom_redis_up")
    assert any("store-2 is unavailable" in unseen for unseen in heard.unseen)
    assert len(heard.table) == 121


def test_an_answer_too_large_is_not_read():
    with (
        answering_ranges(success({"resultType": "matrix", "result": [], "more": "x" * 200_000})) as (_, url),
        pytest.raises(BadAnswer, match="larger than 50,000 bytes"),
    ):
        ask(link("prometheus", url, budget={"answer_bytes": 50_000}), "prom_redis_up")


def test_a_compressed_answer_counts_as_what_it_becomes():
    """1.3 MB that would unpack to 300 MB."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(bomb.compress(bytes(1_000_000)) for _ in range(300)) + bomb.flush()
    answer = 200, "application/json", body, {"Content-Encoding": "gzip"}
    with answering_ranges(answer) as (_, url):
        opened = link("prometheus", url, budget={"answer_bytes": 1_000_000})
        began = time.process_time()
        with pytest.raises(BadAnswer, match="larger than 1,000,000 bytes"):
            ask(opened, "prom_redis_up")
    assert time.process_time() - began < 1


def test_user_and_prefix():
    def guarded(path):
        return healthy(path.removeprefix("/prometheus")) if path.startswith("/prometheus/") else page(404)

    with answering(guarded) as (server, url):
        link("prometheus", url.replace("http://", "http://reader:secret@") + "/prometheus/")
    assert all(path.startswith("/prometheus/api/v1/") for path in server.asked)
    assert set(server.users) == {"Basic " + base64.b64encode(b"reader:secret").decode()}


def test_a_wrong_shape_can_t_be_read():
    with answering_ranges(success({"resultType": "matrix", "result": [{"metric": {}, "value": 1}]})) as (_, url):
        opened = link("prometheus", url)
        with pytest.raises(KeyError):
            ask(opened, "prom_redis_up")


def test_addresses():
    for address in ("127.0.0.1:9090", "ftp://127.0.0.1", "redis://127.0.0.1"):
        with pytest.raises(NotConfigured):
            link("prometheus", address)
    with pytest.raises(NotReachable, match="refused"):
        link("prometheus", f"http://127.0.0.1:{wire.closed_port()}")


def test_a_silent_server():
    with wire.silent() as port, pytest.raises(NotReachable, match="timed out"):
        link("prometheus", f"http://127.0.0.1:{port}", budget={"connect_s": 1})


# --- The real one -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stack():
    """Prometheus, which scrapes the real exporters of a real PostgreSQL and a real Redis."""
    with (
        postgres.start("15") as database,
        redis.start() as cache,
        exporters.start_postgres_exporter(database) as of_database,
        exporters.start_redis_exporter(cache) as of_cache,
    ):
        targets = [
            Target("postgres", "postgres-0:9187", of_database.port),
            Target("redis", "redis-0:9121", of_cache.port),
            Target("redis", "redis-1:9121", wire.closed_port()),
        ]
        with cache.connect() as connection:
            connection.rpush("log_queue", "a line")
            connection.get("log_queue:none")
        with prometheus.start(targets, rules=ALERTS) as server:
            server.wait_for('redis_up{instance="redis-0:9121"} == 1')
            server.wait_for("pg_up == 1")
            server.wait_for('count_over_time(pg_up[1m]) > 3 and on () up{instance="redis-1:9121"} == 0')
            yield server


@pytest.fixture(scope="module")
def opened(stack):
    return link("prometheus", stack.url)


@pytest.mark.parametrize("name", OF_EXPORTERS)
def test_the_exporters_have_every_series(opened, name):
    """The names are those of Debian's exporters: postgres 0.11, redis 1.45."""
    heard = ask(opened, name, incident(minutes=0.5))
    assert len(heard.table)
    assert not any("no series" in unseen for unseen in heard.unseen)
    assert as_table(name, heard.table).rows_with_holes.empty
    assert set(heard.table.target) <= {"postgres-0:9187", "redis-0:9121"}


def test_clock(opened):
    assert abs(opened.clock.offset_s) < 0.5


def test_what_was_before_the_first_scrape_is_not_seen(opened):
    heard = ask(opened, "prom_redis_up", incident(minutes=30))
    assert len(heard.unseen) == 1
    assert heard.unseen[0].startswith("incident: no value from ")
    assert heard.unseen[0].endswith("(redis-0:9121)")


def test_a_series_that_nobody_exports(opened):
    heard = ask(opened, "prom_volume_available")
    assert heard.table.empty
    assert "no series of kubelet_volume_stats_available_bytes or node_filesystem_avail_bytes" in heard.unseen[0]


def test_targets(opened):
    table = ask(opened, "prom_targets").table.set_index("target")
    assert table.health.to_dict() == {
        "postgres-0:9187": "up",
        "prometheus-0:9090": "up",
        "redis-0:9121": "up",
        "redis-1:9121": "down",
    }
    assert "connection refused" in table.last_error["redis-1:9121"]


def test_rules_and_alerts(stack, opened):
    stack.wait_for('ALERTS{alertname="Watchdog"}')
    rules = ask(opened, "prom_rules").table.set_index("rule")
    assert rules.kind.to_dict() == {"Watchdog": "alerting", "RedisDown": "alerting", "job:up:sum": "recording"}
    assert rules.state["Watchdog"] == "firing"
    assert rules.severity["RedisDown"] == "critical"
    assert rules.for_s["RedisDown"] == 300
    alerts = ask(opened, "prom_alerts").table
    assert list(alerts.alert) == ["Watchdog"]
    assert list(alerts.severity) == ["none"]


def test_without_rules_the_emptiness_is_proven():
    with prometheus.start() as server:
        opened = link("prometheus", server.url)
        for name in ("prom_rules", "prom_alerts"):
            heard = ask(opened, name)
            assert heard.table.empty
            assert heard.proof


def test_promql_of_the_platform_file(opened):
    own = platform(promql={"prom_redis_up": 'max by (instance) (up{job="redis"})'})
    heard = ask(opened, "prom_redis_up", incident(minutes=0.5), own)
    assert set(heard.table.target) == {"redis-0:9121", "redis-1:9121"}


def test_a_platform_without_selectors_asks_for_all(opened):
    heard = ask(opened, "prom_redis_up", incident(minutes=0.5), platform(selectors={}))
    assert set(heard.table.target) == {"redis-0:9121"}


# --- The past ---------------------------------------------------------------------------------------------------------


def test_incident_and_baseline_together(prometheus_of_ours):
    with past(prometheus_of_ours, REDIS, ("redis_up", since(200, 1)), minutes=90):
        heard = ask(link("prometheus", prometheus_of_ours.url), "prom_redis_up", incident(30, baseline_minutes=30))
    assert set(heard.table.window) == {"incident", "baseline"}
    assert heard.unseen == []


def test_a_gap_in_the_middle_is_named(prometheus_of_ours):
    """A target that was not scraped for ten minutes: after five, Prometheus no longer repeats the last value."""
    scraped = [("redis_up", lambda ago_s: None if 300 < ago_s < 1200 else 1)]
    with past(prometheus_of_ours, REDIS, *scraped):
        heard = ask(link("prometheus", prometheus_of_ours.url), "prom_redis_up", incident(30))
    assert len(heard.unseen) == 1
    assert heard.unseen[0].startswith("incident: no value from ")
    assert offenders("redis_was_up", heard.table).empty


def test_a_rate_covers_the_gap_between_scrapes(prometheus_of_ours):
    with past(prometheus_of_ours, REDIS, ("redis_evicted_keys_total", faults.counting(20, 2))):
        table = ask(link("prometheus", prometheus_of_ours.url), "prom_redis_evictions", incident(30)).table
    assert table.evicted_keys.max() == pytest.approx(600, rel=0.05)


@pytest.fixture
def prometheus_of_ours():
    with prometheus.start() as server:
        yield server


CONTAINERS = (("api", 80), ("auth", 90), ("billing", 20), ("log", 30), ("worker", 40), ("report", 50), ("cache", 10))


def test_of_each_node_the_containers_nearest_to_their_limit_are_told(prometheus_of_ours):
    """And the two that use most. What is out of scope, and the cgroup of a pod, are not asked for."""
    shapes = []
    for namespace in ("neurallog-system", "kube-system"):
        for name, used in (*CONTAINERS, ("", 900)):
            labels = f'{{namespace="{namespace}",pod="{name or "api"}-1",container="{name}"}}'
            limit = 0 if name == "report" else 100
            shapes.append((f"container_memory_working_set_bytes{labels}", since(200, used, used)))
            shapes.append((f"container_spec_memory_limit_bytes{labels}", since(200, limit, limit)))
    with past(prometheus_of_ours, faults.KUBELET, *shapes):
        opened = link("prometheus", prometheus_of_ours.url)
        tables = {name: ask(opened, name, incident(10)) for name in faults.CONTAINER_MEMORY}
    for heard in tables.values():
        assert heard.unseen == []
        assert set(heard.table.namespace) == {"neurallog-system"}
        assert set(heard.table.container) == {"api", "auth", "billing", "log", "worker"}
    assert set(tables["prom_container_memory_limit"].table.limit_bytes) == {100}


def test_the_largest_is_told_though_it_has_no_limit(prometheus_of_ours):
    labels = '{namespace="tenant-acme",pod="report-1",container="report"}'
    with past(prometheus_of_ours, faults.KUBELET, (f"container_memory_working_set_bytes{labels}", since(200, 9, 9))):
        heard = ask(link("prometheus", prometheus_of_ours.url), "prom_container_memory", incident(10))
    assert set(heard.table.container) == {"report"}


def test_where_there_is_no_kubernetes_nobody_is_asked_about_containers():
    own = platform(systems=platform().systems.model_dump() | {"kubernetes": "absent"})
    assert not sources.load()["prom_container_memory"].applies(own)
    assert sources.load()["prom_redis_memory"].applies(own)


def test_requests_of_the_link_are_reads(stack, opened):
    """Prometheus counts what it was asked, by handler: nothing but what the sources declare."""
    text = requests.get(f"{stack.url}/metrics", timeout=5).text
    handlers = {
        line.split('handler="')[1].split('"')[0] for line in text.splitlines() if "http_requests_total{" in line
    }
    asked = {handler for handler in handlers if handler.startswith("/api/")}
    of_the_link = {"/api/v1/query", "/api/v1/status/buildinfo"}
    declared = {path for one in sources.load().values() for path in one.needs.prometheus.split()}
    assert asked <= of_the_link | {path.replace("__name__", ":name") for path in declared}

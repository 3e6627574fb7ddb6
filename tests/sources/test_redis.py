"""Redis 6.2 and 7.0: the link and the sources."""

import socket
import time

import pandas as pd
import pytest
import redis

from nl_forensics import sources
from nl_forensics.errors import BadAnswer, NotAllowed, NotReachable
from tests.asking import as_table, ask, incident, link, offenders, platform
from tests.record.redis.server import with_replica
from tests.record.redis.working import meanwhile
from tests.stack import redis as stack

OURS = [name for name, one in sources.load().items() if one.system == "redis"]


@pytest.fixture(scope="module", params=stack.VERSIONS)
def server(request):
    with stack.start(request.param, {"save": ""}) as running:
        yield running


@pytest.fixture(autouse=True)
def emptied(request):
    """Each test has the server as it was started."""
    if "server" not in request.fixturenames:
        return
    running = request.getfixturevalue("server")
    with running.connect() as connection:
        connection.flushall()
        connection.config_resetstat()
        connection.slowlog_reset()
        connection.execute_command("LATENCY", "RESET")
        values = stack.SETTINGS | {"slowlog-log-slower-than": 10_000, "slowlog-max-len": 128}
        for name in (
            "maxmemory",
            "maxmemory-policy",
            "latency-monitor-threshold",
            "slowlog-log-slower-than",
            "slowlog-max-len",
        ):
            connection.config_set(name, values[name])


@pytest.fixture
def asked(server):
    opened = link("redis", server.url())
    yield opened
    opened.close()


# --- The link ---------------------------------------------------------------------------------------------------------


def test_the_declared_permissions_suffice(server, asked):
    """No question is refused, so none adds to the server's own count of refusals."""
    with server.connect() as connection:
        connection.rpush("log_queue", "a line")
        connection.hset("usage:7", "logs_ingested", 1)
    for name in OURS:
        heard = ask(asked, name)
        assert as_table(name, heard.table).rows_with_holes.empty, name
    with server.connect() as connection:
        assert connection.info("errorstats") == {}


def test_only_declared_commands_are_sent(server, asked):
    for command in (
        ("KEYS", "*"),
        ("GET", "log_queue"),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("FLUSHALL",),
        ("ACL", "LIST"),
    ):
        with pytest.raises(BadAnswer, match="no source declares it"):
            asked.call(*command)
        with pytest.raises(BadAnswer, match="no source declares it"):
            asked.pipeline([command])
    with server.connect() as connection:
        assert "cmdstat_keys" not in connection.info("commandstats")


def test_identity_and_clock(server, asked):
    assert asked.identity["version"].startswith(server.version)
    assert abs(asked.clock.offset_s) < 1


def test_wrong_password(server):
    with pytest.raises(NotAllowed) as refused:
        link("redis", server.url(password="wrong"))
    assert "password" in refused.value.remedy


def test_no_free_connection_is_an_outage(server):
    with server.connect() as connection:
        connection.config_set("maxclients", 1)
        connection.ping()
        with pytest.raises(NotReachable, match="max number of clients"):
            link("redis", server.url())
        connection.config_set("maxclients", 10_000)


# --- What is slow -----------------------------------------------------------------------------------------------------


def test_slowlog_holds_no_values(server, asked):
    with server.connect() as connection:
        connection.config_set("slowlog-log-slower-than", 0)
        connection.hset("usage:customer-4711", "card", "4242424242424242")
        connection.set("session:1", "planted-secret-value")
        connection.set(b"\xff\xfe", "binary")
        with pytest.raises(redis.AuthenticationError):
            connection.execute_command("AUTH", "planted-password")
    heard = ask(asked, "redis_slowlog")
    assert {"HSET usage:*", "SET session:*", "SET *"} <= set(heard.table.command)
    assert "planted" not in heard.text
    assert "4242" not in heard.text
    assert "4711" not in heard.text
    assert heard.table["at"].dt.tz is not None


def test_slowlog_off(server, asked):
    with server.connect() as connection:
        connection.config_set("slowlog-log-slower-than", -1)
    heard = ask(asked, "redis_slowlog")
    assert heard.unseen == ["slow commands: the slow log is off"]
    assert not heard.proof


def test_slowlog_threshold_above_the_rule(server, asked):
    """With 50 ms nothing is known of a command of 20 ms."""
    with server.connect() as connection:
        connection.config_set("slowlog-log-slower-than", 50_000)
    assert "commands that took 10 to 50 ms" in ask(asked, "redis_slowlog").unseen


def test_slowlog_ring_too_short(server, asked):
    with server.connect() as connection:
        connection.config_set("slowlog-max-len", 3)
        connection.config_set("slowlog-log-slower-than", 0)
        for number in range(10):
            connection.set(f"cache:{number}", 1)
        connection.config_set("slowlog-log-slower-than", 10_000)
    heard = ask(asked, "redis_slowlog")
    assert any("the log holds 3 entries" in unseen for unseen in heard.unseen)


def test_slowlog_emptied(server, asked):
    with server.connect() as connection:
        connection.config_set("slowlog-log-slower-than", 0)
        connection.set("cache:1", 1)
        connection.slowlog_reset()
        connection.set("cache:2", 1)
    assert any("SLOWLOG RESET" in unseen for unseen in ask(asked, "redis_slowlog").unseen)


def test_slowlog_is_whole_since_before_the_incident(server):
    """A fresh log, of a server that runs for longer than the incident."""
    with stack.start(server.version) as fresh:
        time.sleep(2.1)
        opened = link("redis", fresh.url())
        assert ask(opened, "redis_slowlog", incident(minutes=1 / 60)).unseen == []
        heard = ask(opened, "redis_slowlog", incident(minutes=30))
        opened.close()
    assert any("the server started then" in unseen for unseen in heard.unseen)


def test_blocking_commands_are_not_slow(server, asked):
    """A consumer that waits in BLPOP holds nobody up: its waiting time is in no slow log and in no percentile."""
    with server.connect() as connection:
        connection.blpop("log_queue", timeout=0.2)
    assert ask(asked, "redis_slowlog").table.empty
    percentiles = ask(asked, "redis_latency_percentiles").table
    assert offenders("redis_commands_are_fast", percentiles).empty


def test_latency_monitor_off(server, asked):
    with server.connect() as connection:
        connection.config_set("latency-monitor-threshold", 0)
    heard = ask(asked, "redis_latency_events")
    assert heard.unseen == ["latency events: not measured"]
    assert not heard.proof


def test_percentiles_need_redis_7(server, asked):
    heard = ask(asked, "redis_latency_percentiles")
    if server.version == "6.2":
        assert heard.unseen == [f"latency percentiles of commands: Redis {asked.version} does not measure them"]
        assert not heard.proof
    else:
        assert "info" in set(heard.table.command)


# --- Counters ---------------------------------------------------------------------------------------------------------


def test_deltas(server, asked):
    with meanwhile(server, lambda connection: connection.get("cache:1"), every_s=0.05):
        table = ask(asked, "redis_counters").table
        commands = ask(asked, "redis_commands").table.set_index("command")
    assert table.misses_delta[0] >= 3
    assert 0.4 < table.seconds[0] < 1
    assert commands.calls_delta["get"] >= 3


def test_an_error_that_appears_between_the_readings(server, asked):
    """INFO lists an error from its first occurrence on: before, it was zero, not unknown."""

    def push_to_a_string(connection):
        connection.set("cache:1", "x")
        connection.lpush("cache:1", "y")

    with meanwhile(server, push_to_a_string, every_s=0.1):
        table = ask(asked, "redis_errors").table.set_index("error")
    assert table.answers_delta["WRONGTYPE"] >= 1


def test_no_errors_are_proven(asked):
    heard = ask(asked, "redis_errors")
    assert heard.table.empty
    assert heard.proof


# --- Memory -----------------------------------------------------------------------------------------------------------


def test_a_small_instance_is_not_fragmented(server, asked):
    """With 1 MB of data the ratio is 8 to 13: the process itself is most of it. MEMORY DOCTOR says nothing below 5 MB, nor do we."""
    memory = ask(asked, "redis_memory").table
    assert memory.fragmentation_ratio[0] > 1.4
    assert offenders("redis_memory_is_not_fragmented", memory).empty


# --- Clients and the server -------------------------------------------------------------------------------------------


def test_clients_without_ours(server, asked):
    with server.connect() as connection:
        connection.client_setname("api-gateway")
        table = ask(asked, "redis_clients").table
    assert list(table.name) == ["api-gateway"]
    assert list(table.user) == ["default"]
    assert list(table.kind) == ["client"]


def test_consumers_may_wait(server, asked):
    """A consumer in BLPOP waits by design."""
    import threading

    def wait_for_work():
        with server.connect() as connection:
            connection.blpop("log_queue", timeout=1)

    thread = threading.Thread(target=wait_for_work)
    thread.start()
    time.sleep(0.2)
    clients = ask(asked, "redis_clients").table
    thread.join()
    assert list(clients.blocked) == [True]
    assert offenders("no_client_is_blocked_by_redis", clients).empty


def test_replication(server):
    with stack.start(server.version) as primary, with_replica(primary) as replica:
        deadline = time.monotonic() + 10
        while True:
            links = [link("redis", one.url()) for one in (primary, replica)]
            tables = [ask(opened, "redis_replication").table for opened in links]
            for opened in links:
                opened.close()
            if all(len(table) and table.state.isin({"up", "online"}).all() for table in tables):
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert [table.direction[0] for table in tables] == ["to", "from"]
    for check in ("every_redis_replica_is_linked", "redis_replicas_keep_up"):
        assert offenders(check, pd.concat(tables)).empty


# --- Keys -------------------------------------------------------------------------------------------------------------


def test_key_sample(server, asked):
    with server.connect() as connection:
        connection.rpush("log_queue", *range(30))
        connection.hset("usage:customer-4711", mapping={str(n): n for n in range(20)})
        for number in range(10):
            connection.set(f"cache:{number}", "x" * 100, ex=100 if number else None)
        connection.set(b"\xff\xfe:1", "binary")
    prefixes = ask(asked, "redis_prefixes")
    rows = prefixes.table.set_index("key")
    assert prefixes.unseen == []
    assert rows["keys"].to_dict() == {"log_queue": 1, "usage:*": 1, "cache:*": 10, "*": 1}
    assert rows.keys_with_ttl["cache:*"] == 9
    assert rows.kind.to_dict() == {"log_queue": "queue", "usage:*": "precious", "cache:*": "cache", "*": ""}
    assert rows.longest["usage:*"] == 20
    assert "4711" not in prefixes.text
    assert list(offenders("cache_keys_expire", prefixes.table)["key"]) == ["cache:*"]
    assert len(ask(asked, "redis_big_keys").table) == 13


def test_hot_keys_need_an_lfu_policy(server, asked):
    heard = ask(asked, "redis_hot_keys")
    assert heard.table.empty
    assert not heard.proof
    assert "LFU" in heard.unseen[0]


def test_other_databases_are_named(server, asked):
    with redis.Redis.from_url(server.url("default", database=3)) as connection:
        connection.set("cache:1", 1)
    assert "the keys of db3" in ask(asked, "redis_prefixes").unseen


def test_precious_keys_outside_the_sample_matter_only_where_keys_are_evicted(server):
    small = platform(budget={"redis_scan_keys": 500})
    with server.connect() as connection:
        connection.mset({f"cache:{number}": 1 for number in range(3_000)})
        connection.rpush(
            "log_queue", "a line"
        )  # in the sample or not: without time to live it is out of reach of volatile-*
        for policy, gap in (("noeviction", False), ("allkeys-lru", True), ("volatile-lru", True)):
            connection.config_set("maxmemory-policy", policy)
            opened = link("redis", server.url())
            heard = ask(opened, "redis_precious", platform_=small)
            opened.close()
            assert bool(heard.unseen) == gap


def test_the_time_budget_ends_the_walk(server):
    hurried = platform(budget={"redis_scan_s": 0.1, "redis_scan_keys": 1_000_000})
    with server.connect() as connection:
        connection.mset({f"cache:{number}": 1 for number in range(50_000)})
    opened = link("redis", server.url())
    heard = ask(opened, "redis_prefixes", platform_=hurried)
    opened.close()
    assert any("of the 50,000 keys" in unseen for unseen in heard.unseen)


# --- Queues -----------------------------------------------------------------------------------------------------------


def test_a_missing_queue_is_not_known_to_be_empty(server, asked):
    """An empty list is no key in Redis, and neither is a misspelt one: that row is a hole, so health can't be granted."""
    table = ask(asked, "redis_queues").table
    assert as_table("redis_queues", table).whole_rows.empty


def test_a_queue_that_was_emptied_meanwhile_is_empty(server, asked):
    with server.connect() as connection:
        connection.rpush("log_queue", "a line")

        def empty(connection):
            connection.delete("log_queue")

        with meanwhile(server, empty, every_s=0.25):
            table = ask(asked, "redis_queues").table
    assert list(table.type.unique()) == ["list"]
    assert table.depth.iloc[-1] == 0
    assert as_table("redis_queues", table).rows_with_holes.empty


def test_a_stream_with_pending_items(server, asked):
    with server.connect() as connection:
        for _ in range(5):
            connection.xadd("log_queue", {"line": "planted"})
        connection.xgroup_create("log_queue", "billing", id="0")
        connection.xreadgroup("billing", "worker", {"log_queue": ">"}, count=3)
    heard = ask(asked, "redis_queues")
    assert set(heard.table.type) == {"stream"}
    assert set(heard.table.depth) == {5}
    assert set(heard.table.pending) == {3}
    assert "planted" not in heard.text


def test_raw_socket_is_closed(server):
    """A link leaves no connection behind."""
    opened = link("redis", server.url())
    opened.close()
    with server.connect() as connection, socket.create_connection(("127.0.0.1", server.port)):
        users = [client["user"] for client in connection.client_list()]
    assert "nl_forensics" not in users

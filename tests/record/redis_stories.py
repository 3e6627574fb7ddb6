"""Incidents of Redis."""

import json
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from tests.record.past import Ramp, Turn, always, down, past
from tests.record.postgres_sessions import busy, session
from tests.record.postgres_stories import SETTLED_S, UNGUARDED
from tests.record.postgres_tables import wait_until
from tests.record.redis.working import repeating
from tests.record.stories import story
from tests.stack import history
from tests.stack.history import Counter, Gauge
from tests.stack.load import load

MIB = 1024**2
QUEUE_LENGTH = 'redis_key_size{db="db0",key="log_queue"}'


@contextmanager
def again_and_again(server, work, every_s):
    """Do `work(connection)` beside everything else, on one connection."""
    with server.connect() as connection, repeating(lambda: work(connection), every_s):
        yield


@story("Sessions are gone, and logs are refused")
def redis_down(stage):
    """Redis was stopped, and nobody started it again."""
    told = past(12, redis=down(history.REDIS_SERIES, "redis_up"))

    def before(clock, primary, replica, cache):
        cache.stop()

    with stage.servers(told, before) as servers, load(servers.pgbouncer, servers.redis):
        time.sleep(SETTLED_S)
        stage.record(servers.environment())


@story("The API stutters every few seconds")
def redis_big_key(stage):
    """A report reads a hash of 200,000 fields in one go, again and again; everybody else waits meanwhile."""
    told = past(
        12,
        redis={
            'redis_commands_duration_seconds_total{cmd="hgetall"}': Counter(0.12),
            "redis_last_slow_execution_duration_seconds": Gauge(0.2, 0.2),
            "redis_slowlog_last_id": Ramp(0, 240, whole=True),
            "redis_slowlog_length": Ramp(0, 128, whole=True),
            "redis_memory_used_bytes": Gauge(19e6, 0.03, whole=True),
        },
    )
    with stage.servers(told) as servers, load(servers.pgbouncer, servers.redis):
        archive_usage(servers.redis)
        with again_and_again(servers.redis, lambda connection: connection.hgetall("usage:archive"), every_s=1.5):
            time.sleep(SETTLED_S)
            stage.record(servers.environment())


def archive_usage(server):
    """A hash of 200,000 fields."""
    with server.connect() as connection:
        for begin in range(0, 200_000, 1_000):
            fields = {f"tenant-{n}": f"{n} log lines" for n in range(begin, begin + 1_000)}
            connection.hset("usage:archive", mapping=fields)


@story("Customers are logged out, and log lines are missing")
def redis_memory(stage):
    """The cache has filled the memory, and the policy throws out any key: sessions, unbilled usage, the log queue."""
    filling = Turn(Gauge(1.8e6, 0.05, whole=True), Ramp(1.9e6, 25.1e6, whole=True), 13)
    filled = Turn(filling, Gauge(25.1e6, 0.002, whole=True), 12)
    told = past(
        12,
        redis={
            "redis_memory_max_bytes": always(Gauge(24 * MIB)),
            "redis_memory_used_bytes": filled,
            "redis_memory_used_peak_bytes": Ramp(2e6, 25.16e6),
            "redis_evicted_keys_total": Counter(150, start=0),
            'redis_db_keys{db="db0"}': Ramp(620, 19_000, whole=True),
        },
    )
    small = {"maxmemory": "24mb", "maxmemory-policy": "allkeys-lfu"}
    with stage.servers(told, redis_settings=small) as servers, load(servers.pgbouncer, servers.redis):
        with servers.redis.connect() as connection:
            for _ in range(3):
                cache_results(connection, 8_000)
        with again_and_again(servers.redis, lambda connection: cache_results(connection, 100), every_s=0.3):
            time.sleep(SETTLED_S)
            stage.record(servers.environment())


def cache_results(connection, number):
    """Search results, kept for an hour."""
    with connection.pipeline(transaction=False) as batch:
        for n in range(number):
            batch.set(f"cache:search:{time.monotonic_ns()}:{n}", "x" * 1_000, ex=3_600)
        batch.execute()


@story("New log lines don't appear")
def queue_growing(stage):
    """The log processor was scaled to nothing: the queue grows."""
    told = past(12, redis={QUEUE_LENGTH: Ramp(20, 43_000, whole=True)})
    with (
        stage.servers(told) as servers,
        load(servers.pgbouncer, servers.redis, consume=False),
    ):
        lines = [json.dumps({"tenant": 7, "level": "info", "message": f"line {n}"}) for n in range(1_000)]
        with servers.redis.connect() as connection:
            for _ in range(43):
                connection.lpush("log_queue", *lines)
        time.sleep(SETTLED_S)
        stage.record(servers.environment())


@story("The API stutters, and invoices can't be opened")
def two_faults_at_once(stage):
    """A payment was left open, and a report reads a hash of 200,000 fields in Redis: neither has to do with the other."""

    def before(clock, primary, replica, cache):
        clock.set(timedelta(minutes=13))
        pay = "UPDATE invoices SET status = 'paid' WHERE tenant_id = 7"
        stuck.enter_context(session(primary, "BEGIN", pay, application="billing-service"))
        clock.set(timedelta(minutes=11))
        for _ in range(5):
            stuck.enter_context(busy(primary, pay, application="api-gateway"))
        wait_until(primary, "SELECT count(*) > 4 FROM pg_locks WHERE NOT granted")

    with (
        ExitStack() as stuck,
        stage.servers(past(13), before, postgres_settings=UNGUARDED) as servers,
        load(servers.pgbouncer, servers.redis),
        stuck,  # it ends before the servers do
    ):
        archive_usage(servers.redis)
        with again_and_again(servers.redis, lambda connection: connection.hgetall("usage:archive"), every_s=1.5):
            time.sleep(SETTLED_S)
            stage.record(servers.environment())

"""Memory, and the keys in it."""

import time
from contextlib import contextmanager

import redis

from tests.record.redis.working import configure, fill, meanwhile
from tests.record.specimens import edited, specimen


@specimen("redis_memory_is_below_its_limit", sources=("redis_memory",))
@contextmanager
def memory_nearly_full(server):
    fill(server, 20_000, 200)
    with server.connect() as connection:
        memory = connection.info("memory")
    configure(server, maxmemory=int((memory["used_memory"] - memory["mem_not_counted_for_evict"]) * 1.06))
    yield


@edited("redis_fits_into_its_machine", sources=("redis_memory",))
def machine_nearly_full(source, answer):
    """The memory of the machine that runs the tests is not for filling: that of a real answer is made smaller."""
    return answer | {"total_system_memory": int(answer["used_memory_rss"] * 1.05)}


@specimen("no_critical_key_can_be_evicted", sources=("redis_precious", "redis_counters"))
@contextmanager
def precious_among_the_evicted(server):
    """Cache and queue share a full memory whose policy takes any key."""
    with server.connect() as connection:
        connection.hset("usage:7:2026112310", mapping={"logs_ingested": 12})
    configure(server, maxmemory="4mb", maxmemory_policy="allkeys-lru")
    fill(server, 10_000, 500)

    def use(connection):
        connection.rpush("log_queue", "one more line")
        connection.hincrby("usage:7:2026112310", "logs_ingested", 1)
        connection.set(f"cache:{time.time()}", "x" * 5_000, ex=3600)

    with meanwhile(server, use, every_s=0.05):
        yield


@specimen("no_write_is_refused_for_memory", sources=("redis_errors",))
@contextmanager
def writes_refused_for_memory(server):
    configure(server, maxmemory="2mb", maxmemory_policy="noeviction")
    fill(server, 20_000, 500)
    with meanwhile(server, lambda connection: connection.set("cache:more", "x", ex=3600)):
        yield


def _fill_and_thin_out(server):
    """Of many keys one in ten is left, scattered over all pages of memory."""
    fill(server, 100_000, 800)
    with server.connect() as connection:
        for first in range(0, 100_000, 1000):
            connection.delete(*(f"cache:{number}" for number in range(first, first + 1000) if number % 10))


@specimen("redis_memory_is_not_fragmented", sources=("redis_memory",))
@contextmanager
def fragmented_memory(server):
    _fill_and_thin_out(server)
    yield


@specimen("redis_memory_is_near_its_peak", sources=("redis_memory",))
@contextmanager
def memory_after_a_peak(server):
    _fill_and_thin_out(server)
    yield


@specimen("no_key_is_too_big", sources=("redis_big_keys",))
@contextmanager
def big_key(server):
    with server.connect() as connection:
        connection.hset("usage:7:2026112310", mapping={f"metric_{number}": "x" * 2_000 for number in range(6_000)})
    yield


@specimen("no_key_is_too_hot", sources=("redis_hot_keys",))
@contextmanager
def hot_key(server):
    """With lfu-log-factor 0 the counter rises with each use, so that hundreds do for hundreds of thousands."""
    configure(server, maxmemory_policy="volatile-lfu", lfu_log_factor=0)
    with server.connect() as connection:
        connection.set("cache:dashboard:7", "x", ex=3600)
        for _ in range(200):
            connection.get("cache:dashboard:7")
    yield


@specimen("cache_keys_expire", sources=("redis_prefixes",))
@contextmanager
def cache_for_ever(server):
    with server.connect() as connection:
        for number in range(100):
            connection.set(f"cache:dashboard:{number}", "x", ex=3600 if number < 40 else None)
    yield


@specimen("redis_keyspace_is_simple", sources=("redis_keyspace",))
@contextmanager
def two_databases(server):
    for database in (0, 1):
        with redis.Redis.from_url(server.url("default", database=database)) as connection:
            connection.set("cache:1", "x")
    yield

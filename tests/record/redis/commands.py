"""Commands that are slow, refused or forbidden, and queues."""

from contextlib import contextmanager

from tests.record.redis.server import break_snapshots
from tests.record.redis.working import meanwhile
from tests.record.specimens import specimen
from tests.stack.process import HOST, free_port

SLOW_SCRIPT = "local sum = 0 for n = 1, 3e7 do sum = sum + n end return sum"


@contextmanager
def _slow_script(server):
    with server.connect() as connection:
        connection.eval(SLOW_SCRIPT, 0)
    yield


@specimen("no_command_blocks_redis", sources=("redis_slowlog",))
@contextmanager
def slow_command(server):
    """A script that computes for some hundred milliseconds."""
    with _slow_script(server):
        yield


@specimen("redis_has_no_latency_event", sources=("redis_latency_events",))
@contextmanager
def latency_spike(server):
    """A script that computes for some hundred milliseconds."""
    with _slow_script(server):
        yield


@specimen("redis_commands_are_fast", sources=("redis_latency_percentiles",))
@contextmanager
def slow_percentile(server):
    """A script that computes for some hundred milliseconds."""
    with _slow_script(server):
        yield


@specimen("no_command_walks_all_keys", sources=("redis_commands",))
@contextmanager
def keys_command(server):
    with meanwhile(server, lambda connection: connection.keys("usage:*")):
        yield


@specimen("redis_was_not_flushed", sources=("redis_commands",))
@contextmanager
def flushed(server):
    """The cache was cleared, and the queue went with it."""
    with server.connect() as connection:
        connection.rpush("log_queue", *range(50))
        connection.flushdb()
    yield


@specimen("redis_answers_without_errors", sources=("redis_errors",))
@contextmanager
def writes_refused_after_failed_snapshot(server):
    break_snapshots(server)
    with meanwhile(server, lambda connection: connection.set("cache:1", 1)):
        yield


@specimen("lookups_find_their_key", sources=("redis_counters",))
@contextmanager
def cache_that_misses(server):
    def look_up(connection):
        for number in range(50):
            connection.get(f"cache:{number}")

    with meanwhile(server, look_up):
        yield


@specimen("every_queue_is_a_queue", sources=("redis_queues",))
@contextmanager
def queue_of_wrong_type(server):
    with server.connect() as connection:
        connection.set("log_queue", "oops")
    yield


@specimen("every_queue_takes_writes", sources=("redis_queues",))
@contextmanager
def queue_on_a_replica(server):
    with server.connect() as connection:
        connection.rpush("log_queue", "a line")
        connection.replicaof(HOST, free_port())
        yield
        connection.replicaof("NO", "ONE")


@specimen("every_queue_drains", sources=("redis_queues",))
@contextmanager
def queue_without_consumer(server):
    with server.connect() as connection:
        connection.rpush("log_queue", *["a line"] * 500)
    with meanwhile(server, lambda connection: connection.rpush("log_queue", *["a line"] * 20)):
        yield

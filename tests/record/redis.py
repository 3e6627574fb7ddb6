"""Faults of Redis. Each is made on a fresh server of `tests.stack.redis`, which is thrown away afterwards."""

import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import redis

from tests.record.specimens import edited, specimen
from tests.stack import redis as stack
from tests.stack.process import HOST, free_port

SLOW_SCRIPT = "local sum = 0 for n = 1, 3e7 do sum = sum + n end return sum"


@contextmanager
def meanwhile(server, work, every_s=0.2):
    """Do `work(connection)` again and again, beside the readings."""
    ended = threading.Event()

    def loop():
        while not ended.wait(every_s):
            with server.connect() as connection, suppress(redis.RedisError):
                work(connection)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def configure(server, **settings):
    with server.connect() as connection:
        for name, value in settings.items():
            connection.config_set(name.replace("_", "-"), value)


def fill(server, keys, size, prefix="cache"):
    """Write keys in batches, for as long as they are accepted."""
    with server.connect() as connection, suppress(redis.exceptions.OutOfMemoryError):
        for first in range(0, keys, 1000):
            with connection.pipeline(transaction=False) as batch:
                for number in range(first, min(first + 1000, keys)):
                    batch.set(f"{prefix}:{number}", "x" * size, ex=3600)
                batch.execute()


# --- The server -------------------------------------------------------------------------------------------------------


@specimen("redis_has_loaded_its_data", sources=("redis_server",))
@contextmanager
def loading_its_data(server):
    """A start with data, slowed down by a setting that Redis has for its own tests."""
    fill(server, 20_000, 10)
    server.stop()
    command = [*server.command, "--key-load-delay", "2000"]  # microseconds for each key
    with server.log.open("ab") as log:
        server.popen = subprocess.Popen([str(word) for word in command], cwd=server.folder, stdout=log, stderr=log)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection((HOST, server.port), timeout=1).close()
            break
        time.sleep(0.05)
    yield


def _break_snapshots(server):
    """A folder where the snapshot should go: it can't be put in place."""
    (server.folder / "dump.rdb").mkdir()
    with server.connect() as connection:
        connection.set("usage:1", 1)
        connection.bgsave()
        deadline = time.monotonic() + 10
        while connection.info("persistence")["rdb_last_bgsave_status"] == "ok" and time.monotonic() < deadline:
            time.sleep(0.05)


@specimen("redis_saves_its_data", sources=("redis_persistence",))
@contextmanager
def snapshot_failed(server):
    _break_snapshots(server)
    yield


@edited("redis_saved_its_data_lately", sources=("redis_persistence",))
def snapshot_three_days_old(source, answer):
    """No server can be left without a snapshot for three days: the time of a real answer is moved back."""
    saved = answer["rdb_last_save_time"] - 3 * 86_400
    return answer | {"rdb_last_save_time": saved, "rdb_changes_since_last_save": 1200, "aof_enabled": 0}


@specimen("every_redis_replica_is_linked", sources=("redis_replication",))
@contextmanager
def replica_without_primary(server):
    """Its primary is gone."""
    with server.connect() as connection:
        connection.replicaof(HOST, free_port())
        time.sleep(1.2)  # the first attempt to connect comes with the next tick of the replication
        yield
        connection.replicaof("NO", "ONE")


@contextmanager
def with_replica(server):
    configure(server, repl_diskless_sync_delay=0)
    follow = {"replicaof": f"{HOST} {server.port}", "masterauth": stack.PASSWORDS["default"]}
    # With an append-only file, it would rewrite that after the first copy, and refuse to end meanwhile.
    with stack.start(server.version, follow | {"appendonly": "no"}) as replica:
        yield replica


@specimen("redis_replicas_keep_up", sources=("redis_replication",))
@contextmanager
def replica_behind(server):
    """The replica hangs, while the primary writes more than half of its backlog."""
    with with_replica(server) as replica:
        with server.connect() as connection:
            deadline = time.monotonic() + 10
            while connection.info("replication").get("slave0", {}).get("state") != "online":
                assert time.monotonic() < deadline
                time.sleep(0.05)
        replica.freeze()
        fill(server, 10_000, 80)
        yield


@specimen("no_redis_replica_needs_a_full_copy", sources=("redis_counters",))
@contextmanager
def full_copy(server):
    """A new replica arrives between the two readings."""
    with ExitStack() as replicas:
        arrival = threading.Timer(2, lambda: replicas.enter_context(with_replica(server)))
        arrival.start()
        yield
        arrival.join()


@specimen("redis_has_free_connections", sources=("redis_server",))
@contextmanager
def connections_nearly_used_up(server):
    configure(server, maxclients=20)
    with ExitStack() as open_connections:
        for _ in range(18):
            open_connections.enter_context(server.connect()).ping()
        yield


@specimen("redis_rejects_no_connection", sources=("redis_counters",))
@contextmanager
def too_many_clients(server):
    """Services connect again and again, and most of them in vain."""
    configure(server, maxclients=10)
    with ExitStack() as open_connections:
        for _ in range(8):
            open_connections.enter_context(server.connect()).ping()

        def crowd():
            time.sleep(1)
            with suppress(redis.RedisError):
                for _ in range(20):
                    open_connections.enter_context(server.connect()).ping()

        def knock():
            for _ in range(20):
                with suppress(redis.RedisError), server.connect() as connection:
                    connection.ping()
                time.sleep(0.2)

        threads = [threading.Thread(target=work) for work in (crowd, knock)]
        for thread in threads:
            thread.start()
        yield
        for thread in threads:
            thread.join()


@specimen("no_client_is_blocked_by_redis", sources=("redis_clients",))
@contextmanager
def writes_paused(server):
    """As during a failover: writes wait."""
    with server.connect() as connection:
        connection.execute_command("CLIENT", "PAUSE", 20_000, "WRITE")

        def write():
            with server.connect() as writer, suppress(redis.RedisError):
                writer.client_setname("log-processor")
                writer.set("cache:1", 1)

        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.3)
        yield
        connection.execute_command("CLIENT", "UNPAUSE")
        thread.join()


@contextmanager
def _client_that_does_not_read(server):
    with server.connect() as connection:
        connection.set("cache:report", "x" * 1_000_000, ex=3600)
    with socket.create_connection((HOST, server.port)) as client:
        password = stack.PASSWORDS["default"]
        client.sendall(f"AUTH default {password}\r\nCLIENT SETNAME report\r\n".encode() + b"GET cache:report\r\n" * 30)
        time.sleep(0.5)
        yield


@specimen("every_client_reads_its_answers", sources=("redis_clients",))
@contextmanager
def answers_not_read(server):
    with _client_that_does_not_read(server):
        yield


@specimen("connections_of_redis_are_small", sources=("redis_server",))
@contextmanager
def connections_grown_large(server):
    with _client_that_does_not_read(server):
        yield


@specimen("redis_is_configured_with_care", sources=("redis_settings",))
@contextmanager
def careless_settings(server):
    configure(server, maxmemory=0, save="", appendonly="no", latency_monitor_threshold=0)
    yield


# --- Memory -----------------------------------------------------------------------------------------------------------


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


# --- Commands ---------------------------------------------------------------------------------------------------------


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
    _break_snapshots(server)
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


# --- Keys -------------------------------------------------------------------------------------------------------------


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


# --- Queues -----------------------------------------------------------------------------------------------------------


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

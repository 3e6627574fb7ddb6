"""The server itself: its start, its snapshots, its replicas and its clients."""

import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import redis

from tests.record.redis.working import configure, fill
from tests.record.specimens import edited, specimen
from tests.stack import redis as stack
from tests.stack.process import HOST, free_port


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


def break_snapshots(server):
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
    break_snapshots(server)
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

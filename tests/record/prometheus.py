"""Faults in the past that exporters tell of. A server can't be brought to a past, so it is written into Prometheus before it starts."""

import time
from contextlib import contextmanager

from tests.record.specimens import specimen
from tests.stack.history import POSTGRES, REDIS, REPLICA, with_labels
from tests.stack.process import program, run

STEP_S = 30
MINUTES = 45
DISK = {"job": "node", "instance": "node-0:9100"}
KUBELET = {"job": "kubelet", "instance": "worker-1"}
CONTAINER = (
    '{namespace="neurallog-system",pod="billing-service-68fdd444ff-6clwh",container="billing-service",id="/kubepods/1"}'
)
MIB = 1024**2
GB = 1024**3


def since(minutes, value, before=0.0):
    """A level that changed some minutes ago."""
    return lambda ago_s: value if ago_s < minutes * 60 else before


def counting(minutes, per_s, start=0.0):
    """A counter that began to rise some minutes ago."""
    return lambda ago_s: start + max(0.0, minutes * 60 - ago_s) * per_s


@contextmanager
def past(server, target, *shapes, minutes=MINUTES):
    """Let the series of one target have had these values: (name and labels, value by seconds ago, None where it was not scraped)."""
    now, lines = time.time(), []
    for series, value in shapes:
        full_name = with_labels(series, target)
        values = ((ago_s, value(ago_s)) for ago_s in range(minutes * 60, 0, -STEP_S))
        lines += [f"{full_name} {known:.10g} {now - ago_s:.3f}" for ago_s, known in values if known is not None]
    server.stop()
    history = server.folder / "fault.txt"
    history.write_text("\n".join([*lines, "# EOF"]) + "\n")
    run([program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", history, server.folder / "data"])
    server.start()
    yield


@specimen("postgres_was_up", sources=("prom_postgres_up",))
@contextmanager
def postgres_outage(server):
    """For ten minutes of the incident the exporter got no connection."""
    with past(server, POSTGRES, ("pg_up", lambda ago_s: 0 if 300 < ago_s < 900 else 1)):
        yield


@specimen("connections_stayed_below_the_limit", sources=("prom_postgres_connections", "prom_postgres_slots"))
@contextmanager
def connections_used_up(server):
    """Sessions that are idle in transaction pile up, and go again."""
    with past(
        server,
        POSTGRES,
        ('pg_stat_activity_count{datname="neurallog",state="active"}', since(MINUTES, 2)),
        (
            'pg_stat_activity_count{datname="neurallog",state="idle in transaction"}',
            lambda ago_s: 43 if 300 < ago_s < 900 else 1,
        ),
        ("pg_settings_max_connections", since(MINUTES, 50)),
        ("pg_settings_superuser_reserved_connections", since(MINUTES, 3)),
    ):
        yield


@specimen("postgres_had_no_deadlocks", sources=("prom_postgres_deadlocks",))
@contextmanager
def deadlocks_happened(server):
    shape = counting(12, 0.2)
    with past(server, POSTGRES, ('pg_stat_database_deadlocks{datid="16388",datname="neurallog"}', shape)):
        yield


@specimen("no_transaction_lasted_long", sources=("prom_postgres_longest_transaction",))
@contextmanager
def transaction_lasted(server):
    """Idle in transaction for 19 minutes, and still."""
    series = 'pg_stat_activity_max_tx_duration{datname="neurallog",state="idle in transaction"}'
    with past(server, POSTGRES, (series, lambda ago_s: max(0, 1_150 - ago_s))):
        yield


@specimen("replicas_kept_up", sources=("prom_postgres_replication_lag",))
@contextmanager
def replica_lagged(server):
    with past(server, REPLICA, ("pg_replication_lag", lambda ago_s: max(0, 600 - ago_s))):
        yield


@specimen("queries_fit_into_work_mem", sources=("prom_postgres_temp",))
@contextmanager
def sorts_on_disk(server):
    shape = counting(20, 8e6)
    with past(server, POSTGRES, ('pg_stat_database_temp_bytes{datid="16388",datname="neurallog"}', shape)):
        yield


@specimen("redis_was_up", sources=("prom_redis_up",))
@contextmanager
def redis_outage(server):
    """For ten minutes of the incident the exporter got no answer."""
    with past(server, REDIS, ("redis_up", lambda ago_s: 0 if 300 < ago_s < 900 else 1)):
        yield


@specimen("redis_memory_stayed_below_its_limit", sources=("prom_redis_memory", "prom_redis_memory_limit"))
@contextmanager
def redis_was_full(server):
    """Nearly full for ten minutes; by now there is room again."""
    with past(
        server,
        REDIS,
        ("redis_memory_used_bytes", lambda ago_s: 250e6 if 300 < ago_s < 900 else 40e6),
        ("redis_memory_max_bytes", since(MINUTES, 256 * 1024 * 1024)),
    ):
        yield


@specimen("redis_evicted_nothing", sources=("prom_redis_evictions",))
@contextmanager
def redis_evicted(server):
    with past(server, REDIS, ("redis_evicted_keys_total", counting(12, 40))):
        yield


@specimen("redis_rejected_no_connection", sources=("prom_redis_rejected_connections",))
@contextmanager
def redis_turned_away(server):
    with past(server, REDIS, ("redis_rejected_connections_total", counting(12, 2))):
        yield


@specimen("redis_had_time_to_spare", sources=("prom_redis_command_time",))
@contextmanager
def redis_was_busy(server):
    """KEYS took most of the time."""
    with past(
        server,
        REDIS,
        ('redis_commands_duration_seconds_total{cmd="keys"}', counting(12, 0.85)),
        ('redis_commands_duration_seconds_total{cmd="get"}', counting(MINUTES, 0.05)),
    ):
        yield


@specimen("queues_drained", sources=("prom_redis_queue_depth", "prom_redis_up"))
@contextmanager
def queue_grew(server):
    """The consumer stopped a quarter of an hour ago."""
    with past(
        server,
        REDIS,
        ('redis_key_size{db="db0",key="log_queue"}', counting(15, 60, start=20)),
        ("redis_up", since(MINUTES, 1)),
    ):
        yield


@specimen("disks_do_not_fill", sources=("prom_volume_available", "prom_volume_size", "prom_volume_growth"))
@contextmanager
def disk_filled(server):
    """One of 20 GB loses 1.5 GB an hour, and has 2 GB left."""
    labels = '{device="/dev/sdb",fstype="ext4",mountpoint="/var/lib/postgresql"}'
    with past(
        server,
        DISK,
        (f"node_filesystem_avail_bytes{labels}", lambda ago_s: 2 * GB + ago_s / 3600 * 1.5 * GB),
        (f"node_filesystem_size_bytes{labels}", since(8 * 60, 20 * GB)),
        minutes=8 * 60,
    ):
        yield


def _of_container(used):
    """Its memory, by seconds ago, its limit, and when it began."""
    return (
        (f"container_memory_working_set_bytes{CONTAINER}", used),
        (f"container_spec_memory_limit_bytes{CONTAINER}", since(MINUTES, 160 * MIB)),
        (f"container_start_time_seconds{CONTAINER}", since(MINUTES, 1.79e9)),
    )


CONTAINER_MEMORY = ("prom_container_memory", "prom_container_memory_limit")


@specimen("containers_stayed_below_their_memory_limit", sources=CONTAINER_MEMORY)
@contextmanager
def container_was_full(server):
    """For five minutes it used nearly all that it may."""
    with past(server, KUBELET, *_of_container(lambda ago_s: (154 if 600 < ago_s < 900 else 60) * MIB)):
        yield


@specimen("no_container_grows_towards_its_memory_limit", sources=(*CONTAINER_MEMORY, "prom_container_start"))
@contextmanager
def container_leaked(server):
    """1 MiB a minute, and nothing is given back."""
    with past(server, KUBELET, *_of_container(lambda ago_s: (100 - ago_s / 60) * MIB)):
        yield

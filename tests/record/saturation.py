"""What was used up in the past: CPU, pools of connections, time; as the kubelet and the services told Prometheus: see prometheus.py."""

from contextlib import contextmanager

from tests.record.past import of_container
from tests.record.prometheus import KUBELET, MINUTES, past, since
from tests.record.services import LOG_SERVER, growing
from tests.record.specimens import specimen

EVERY_PERIOD = growing((0, 10))  # of 100 ms
CPU = ("prom_cpu_throttled", "prom_cpu_used", "prom_cpu_limit")
POOL = ("prom_pool_in_use", "prom_pool_size", "prom_pool_waiting")
HALF_A_CORE = 0.5


def of_cpu(throttled, used, limit=HALF_A_CORE, app="billing-service", periods=EVERY_PERIOD):
    """The series of one container: periods in which it was held back, and seconds used, as counters by seconds ago."""
    shapes = [
        ("container_spec_cpu_period", since(2 * MINUTES, 1e5)),
        ("container_cpu_usage_seconds_total", used),
    ]
    if limit:
        shapes += [
            ("container_spec_cpu_quota", since(2 * MINUTES, limit * 1e5)),
            ("container_cpu_cfs_periods_total", periods),
            ("container_cpu_cfs_throttled_periods_total", throttled),
        ]
    return [(of_container(metric, app), shape) for metric, shape in shapes]


@specimen("no_container_is_throttled", sources=CPU)
@contextmanager
def container_throttled(server):
    """Held back in six of ten periods since 25 minutes, and uses nearly all that it may."""
    with past(server, KUBELET, *of_cpu(growing((25, 0), (0, 6)), growing((25, 0.1), (0, 0.47))), minutes=2 * MINUTES):
        yield


@specimen("containers_stayed_below_their_cpu_limit", sources=CPU[1:])
@contextmanager
def container_used_its_cpu_up(server):
    """It uses all of its half core since 25 minutes."""
    with past(server, KUBELET, *of_cpu(growing((25, 0), (0, 0.5)), growing((25, 0.1), (0, 0.49))), minutes=2 * MINUTES):
        yield


@specimen("services_spend_little_time_on_garbage", sources=("prom_gc_time",), baseline=True)
@contextmanager
def garbage_takes_time(server):
    """A third of the time goes into garbage collection since 12 minutes."""
    collected = growing((12, 0.01), (0, 0.33))
    with past(server, LOG_SERVER, ("python_gc_seconds_total", collected), minutes=2 * MINUTES):
        yield


@specimen("no_connection_pool_is_exhausted", sources=POOL)
@contextmanager
def pool_used_up(server):
    """All ten connections are in use since 12 minutes, and requests wait."""
    with past(
        server,
        LOG_SERVER,
        ('database_pool_in_use{service="log-server"}', since(12, 10, 2)),
        ('database_pool_size{service="log-server"}', since(2 * MINUTES, 10)),
        ('database_pool_waiting{service="log-server"}', since(12, 25)),
        minutes=2 * MINUTES,
    ):
        yield


REQUESTS = 'http_request_duration_seconds_sum{service="log-server",method="GET",route="/v1/lines"}'
STATEMENTS = 'database_statement_seconds_sum{service="log-server",route="/v1/lines"}'


@specimen("services_wait_little_for_the_database", sources=("prom_database_time", "prom_route_time"), baseline=True)
@contextmanager
def waits_for_the_database(server):
    """Requests take ten times as long since 12 minutes, and all that is more is the database's."""
    with past(
        server,
        LOG_SERVER,
        ("up", since(2 * MINUTES, 1)),
        (REQUESTS, growing((12, 0.05), (0, 0.5))),
        (STATEMENTS, growing((12, 0.005), (0, 0.455))),
        minutes=2 * MINUTES,
    ):
        yield

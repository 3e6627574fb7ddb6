"""A past with the incident in it: what Prometheus had recorded by the time the story is told."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random

from tests.stack import history
from tests.stack.history import Counter, Gauge
from tests.stack.kubernetes.real_node import NAME
from tests.stack.postgres import DATABASE

HOURS = 6
VOLUMES = {"job": "kubelet", "instance": "node-1:10250"}
CONTAINERS = {"job": "kubelet", "instance": NAME, "node": NAME}
MIB, GIB = 1024**2, 1024**3


@dataclass(frozen=True)
class Ramp:
    """A value that goes evenly from one level to another."""

    first: float
    last: float
    wobble: float = 0.0
    whole: bool = False

    def values(self, chance: Random, steps: int, step_s: float) -> Iterator[float]:
        for number in range(1, steps + 1):
            value = self.first + (self.last - self.first) * number / steps
            value *= 1 + chance.uniform(-self.wobble, self.wobble)
            yield round(value) if self.whole else value


@dataclass(frozen=True)
class Gone:
    """No value: what would have said it is down."""

    def values(self, chance: Random, steps: int, step_s: float) -> Iterator[None]:
        yield from [None] * steps


@dataclass(frozen=True)
class Turn:
    """One shape until some minutes ago, another since then. A counter goes on from where it was."""

    before: "Gauge | Counter | Ramp | Turn"
    after: "Gauge | Counter | Ramp | Gone"
    minutes: float

    def values(self, chance: Random, steps: int, step_s: float) -> Iterator[float | None]:
        turned, value = max(0, steps - round(self.minutes * 60 / step_s)), 0.0
        for value in self.before.values(chance, turned, step_s):
            yield value
        after = replace(self.after, start=value) if isinstance(self.after, Counter) else self.after
        yield from after.values(chance, steps - turned, step_s)


def _claim(name: str, claim: str) -> str:
    return f'{name}{{namespace="neurallog-system",persistentvolumeclaim="{claim}"}}'


# What the kubelet says of the volumes; no exporter of the tests' stack does.
VOLUME_SERIES = {
    _claim("kubelet_volume_stats_capacity_bytes", "data-postgres-0"): Gauge(20 * GIB),
    _claim("kubelet_volume_stats_available_bytes", "data-postgres-0"): Ramp(14.02 * GIB, 14 * GIB),
    _claim("kubelet_volume_stats_capacity_bytes", "data-redis-0"): Gauge(2 * GIB),
    _claim("kubelet_volume_stats_available_bytes", "data-redis-0"): Gauge(1.8 * GIB, 0.0005),
}
POSTGRES_VOLUME = _claim("kubelet_volume_stats_available_bytes", "data-postgres-0")


def of_container(metric: str, app: str) -> str:
    """Of a pod before those of the story's cluster, which is minutes old."""
    return f'{metric}{{namespace="neurallog-system",pod="{app}-7d9c5f4b6d-x2x4q",container="{app}"}}'


APPS = ("api-gateway", "auth-service", "billing-service")
# What one container does: memory, and half of a core that it may use little of.
USUAL = {
    "container_memory_working_set_bytes": Gauge(70e6, 0.01),
    "container_spec_memory_limit_bytes": Gauge(160 * MIB),
    "container_start_time_seconds": Gauge(1.79e9),
    "container_cpu_usage_seconds_total": Counter(0.03, start=100),
    "container_cpu_cfs_periods_total": Counter(4, start=1_000),
    "container_cpu_cfs_throttled_periods_total": Counter(0.02, start=10),
    "container_spec_cpu_quota": Gauge(50_000),
    "container_spec_cpu_period": Gauge(100_000),
}
CONTAINER_SERIES = {of_container(metric, app): shape for metric, shape in USUAL.items() for app in APPS}


# What CoreDNS says; the tests' own DNS says nothing.
DNS = {"job": "coredns", "instance": "10.96.0.10:9153"}
DNS_BUCKETS_S = tuple(0.00025 * 2**number for number in range(16))


def dns_answers(rcode: str) -> str:
    return f'coredns_dns_responses_total{{server="dns://:53",zone=".",view="",rcode="{rcode}",plugin="kubernetes"}}'


def dns_bucket(le: float | str) -> str:
    return f'coredns_dns_request_duration_seconds_bucket{{server="dns://:53",zone=".",view="",le="{le}"}}'


DNS_SERIES = {
    dns_answers("NOERROR"): Counter(20),
    dns_answers("NXDOMAIN"): Counter(30),
    dns_answers("SERVFAIL"): Counter(0, start=3),
    "coredns_panics_total": Counter(0, start=0),
    # Half of the answers within a quarter of a millisecond, all of them within four.
    **{dns_bucket(le): Counter(50 if le >= 0.004 else 25, 0) for le in DNS_BUCKETS_S},
    dns_bucket("+Inf"): Counter(50, 0),
}


def of_database(series: str) -> str:
    """The name of a series of pg_stat_database, with its labels."""
    return next(name for name in history.POSTGRES_SERIES if name.startswith(f"{series}{{"))


def connections(state: str) -> str:
    return f'pg_stat_activity_count{{datname="{DATABASE}",state="{state}"}}'


def longest_transaction(state: str) -> str:
    return f'pg_stat_activity_max_tx_duration{{datname="{DATABASE}",state="{state}"}}'


UNCHANGED: Mapping = {}


def past(
    minutes: float = 0,
    postgres=UNCHANGED,
    replica=UNCHANGED,
    redis=UNCHANGED,
    volumes=UNCHANGED,
    services=(),
) -> str:
    """OpenMetrics text of the hours before now; the named series took another shape `minutes` ago, or when their own `Turn` says.

    services   whose pods were there, as in history.SERVICES. Those of a story's cluster, which is minutes old, are others: these end
               without a word, and would look like a hole in a story of minutes
    """
    told = (
        (history.POSTGRES, history.POSTGRES_SERIES, postgres),
        (history.REPLICA, history.REPLICA_SERIES, replica),
        (history.REDIS, history.REDIS_SERIES, redis),
        (VOLUMES, VOLUME_SERIES, volumes),
        (CONTAINERS, CONTAINER_SERIES, UNCHANGED),
        (DNS, DNS_SERIES, UNCHANGED),
    )
    instances = [(target, _turned(shapes, after, minutes)) for target, shapes, after in told]
    return history.healthy(HOURS, instances=[*instances, *services, *history.WATCHED])


def _turned(shapes: Mapping, after: Mapping, minutes: float) -> dict:
    if unknown := after.keys() - shapes.keys():
        raise KeyError(f"no series of a healthy past is called {unknown}")
    turns = {name: Turn(shapes[name], shape, minutes) for name, shape in after.items() if not isinstance(shape, Turn)}
    return {**shapes, **after, **turns}


def down(shapes: Mapping, up: str) -> dict:
    """What is left when a server is down: its exporter says so, and is scraped."""
    stays = {"up", "scrape_duration_seconds", up}
    return {name: Gone() for name in shapes if name not in stays} | {up: Gauge(0)}


def always(shape) -> Turn:
    """A shape in place of the healthy one, from the first hour on."""
    return Turn(shape, shape, 0)

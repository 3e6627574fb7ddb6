"""A healthy past for Prometheus: the exporters' series as the platform's usual load makes them, back-dated.

A story needs hours of baseline; a test has seconds. The names and labels are those of the live scrape (a test compares
them), so every series goes on from this past into the present. Counters start again at the seam, as they do when a
server is restarted, which `rate()` knows how to read.
"""

import random
import re
import time
from dataclasses import dataclass
from itertools import pairwise

from tests.stack import postgres, rules

POSTGRES = {"job": "postgres", "instance": "postgres-0:9187"}
REPLICA = {"job": "postgres", "instance": "postgres-replica-0:9187"}
REDIS = {"job": "redis", "instance": "redis-0:9121"}
PROMETHEUS = {"job": "prometheus", "instance": "prometheus-0:9090"}
ALERTMANAGER = {"job": "alertmanager", "instance": "alertmanager-0:9093"}
QUICK = {
    "0.005": 0.2,
    "0.01": 0.5,
    "0.025": 0.9,
    "0.05": 0.97,
    "0.1": 1.0,
    "1.0": 1.0,
    "2.5": 1.0,
    "5.0": 1.0,
    "10.0": 1.0,
}
ALERTING: dict[str, str] = {}  # an alert has the labels of its rule and its expression only


@dataclass(frozen=True)
class Gauge:
    """A value that stays near `level`, `wobble` (a share of it) up or down; `whole`: a count of things."""

    level: float
    wobble: float = 0.0
    whole: bool = False

    def values(self, chance, steps, step_s):
        for _ in range(steps):
            value = self.level * (1 + chance.uniform(-self.wobble, self.wobble))
            yield round(value) if self.whole else value


@dataclass(frozen=True)
class Counter:
    """A value that grows by about `per_s` a second."""

    per_s: float
    wobble: float = 0.15
    start: float = 10_000

    def values(self, chance, steps, step_s):
        value = self.start
        for _ in range(steps):
            value += self.per_s * step_s * (1 + chance.uniform(-self.wobble, self.wobble))
            yield value


def _database(series):
    """The label set of pg_stat_database; the oid is that of the prepared data folder."""
    return f'{series}{{datid="16388",datname="{postgres.DATABASE}"}}'


def _commands(per_s, microseconds):
    """Calls and time of Redis commands."""
    return {f'redis_commands_total{{cmd="{command}"}}': Counter(rate) for command, rate in per_s.items()} | {
        f'redis_commands_duration_seconds_total{{cmd="{command}"}}': Counter(
            rate * microseconds[command] / 1e6, start=1
        )
        for command, rate in per_s.items()
    }


ANY_POSTGRES_SERIES = {
    "up": Gauge(1),
    "scrape_duration_seconds": Gauge(0.012, 0.3),
    "pg_up": Gauge(1),
    "pg_exporter_last_scrape_error": Gauge(0),
    "pg_settings_max_connections": Gauge(50),
    "pg_settings_superuser_reserved_connections": Gauge(3),
    _database("pg_stat_database_deadlocks"): Counter(0, start=0),
    _database("pg_stat_database_conflicts"): Counter(0, start=0),
}

POSTGRES_SERIES = ANY_POSTGRES_SERIES | {
    f'pg_stat_activity_count{{datname="{postgres.DATABASE}",state="active"}}': Gauge(1, 0.9, whole=True),
    f'pg_stat_activity_count{{datname="{postgres.DATABASE}",state="idle"}}': Gauge(3, 0.3, whole=True),
    f'pg_stat_activity_count{{datname="{postgres.DATABASE}",state="idle in transaction"}}': Gauge(0),
    f'pg_stat_activity_max_tx_duration{{datname="{postgres.DATABASE}",state="active"}}': Gauge(0.02, 0.9),
    f'pg_stat_activity_max_tx_duration{{datname="{postgres.DATABASE}",state="idle in transaction"}}': Gauge(0),
    f'pg_locks_count{{datname="{postgres.DATABASE}",mode="rowexclusivelock"}}': Gauge(1, 0.9, whole=True),
    f'pg_locks_count{{datname="{postgres.DATABASE}",mode="accessexclusivelock"}}': Gauge(0),
    f'pg_database_size_bytes{{datname="{postgres.DATABASE}"}}': Counter(5_000, 0.3, start=15e6),
    _database("pg_stat_database_numbackends"): Gauge(4, 0.3, whole=True),
    _database("pg_stat_database_xact_commit"): Counter(70),
    _database("pg_stat_database_xact_rollback"): Counter(0.02, start=10),
    _database("pg_stat_database_blks_hit"): Counter(1_000, start=1e6),
    _database("pg_stat_database_blks_read"): Counter(4),
    _database("pg_stat_database_blk_read_time"): Counter(0.03, start=100),
    _database("pg_stat_database_tup_returned"): Counter(2_500, start=1e6),
    _database("pg_stat_database_tup_fetched"): Counter(280),
    _database("pg_stat_database_tup_inserted"): Counter(67),
    _database("pg_stat_database_tup_updated"): Counter(5),
    _database("pg_stat_database_tup_deleted"): Counter(0.1, start=10),
    _database("pg_stat_database_temp_bytes"): Counter(0, start=0),
    "pg_stat_bgwriter_checkpoints_timed_total": Counter(1 / 300, 0, start=100),
    "pg_stat_bgwriter_checkpoints_req_total": Counter(0, start=2),
    "pg_stat_bgwriter_buffers_checkpoint_total": Counter(3),
    "pg_stat_bgwriter_buffers_backend_total": Counter(0.5),
    "pg_stat_archiver_failed_count": Counter(0, start=0),
    "pg_replication_lag": Gauge(0),
    'pg_replication_slots_active{slot_name="replica_1"}': Gauge(1),
    'pg_replication_slots_pg_wal_lsn_diff{slot_name="replica_1"}': Gauge(600, 0.9, whole=True),
}

# Nobody queries the replica: its counters stand still.
REPLICA_SERIES = (
    {name: Counter(0, start=0) for name in POSTGRES_SERIES if name.startswith("pg_stat_database_")}
    | ANY_POSTGRES_SERIES
    | {
        f'pg_stat_activity_count{{datname="{postgres.DATABASE}",state="idle"}}': Gauge(0),
        f'pg_stat_activity_max_tx_duration{{datname="{postgres.DATABASE}",state="idle"}}': Gauge(0),
        "pg_replication_lag": Gauge(0.05, 0.8),
    }
)

REDIS_SERIES = {
    "up": Gauge(1),
    "scrape_duration_seconds": Gauge(0.005, 0.3),
    "redis_up": Gauge(1),
    "redis_exporter_last_scrape_error": Gauge(0),
    "redis_memory_max_bytes": Gauge(256 * 1024 * 1024),
    "redis_memory_used_bytes": Gauge(1.8e6, 0.05, whole=True),
    "redis_memory_used_peak_bytes": Gauge(2.0e6),
    "redis_memory_used_rss_bytes": Gauge(12.9e6, 0.02, whole=True),
    "redis_mem_fragmentation_ratio": Gauge(7, 0.05),
    "redis_config_maxclients": Gauge(10_000),
    "redis_connected_clients": Gauge(5, 0.1, whole=True),
    "redis_connected_slaves": Gauge(0),
    "redis_blocked_clients": Gauge(0),
    "redis_rejected_connections_total": Counter(0, start=0),
    "redis_connections_received_total": Counter(0.2, start=100),
    "redis_evicted_keys_total": Counter(0, start=0),
    "redis_expired_keys_total": Counter(2.5),
    "redis_keyspace_hits_total": Counter(21),
    "redis_keyspace_misses_total": Counter(2.8),
    "redis_commands_processed_total": Counter(120, start=1e6),
    "redis_slowlog_length": Gauge(0),
    "redis_slowlog_last_id": Gauge(0),
    "redis_last_slow_execution_duration_seconds": Gauge(0),
    'redis_db_keys{db="db0"}': Gauge(620, 0.02, whole=True),
    'redis_db_keys_expiring{db="db0"}': Gauge(618, 0.02, whole=True),
    'redis_key_size{db="db0",key="log_queue"}': Gauge(20, 0.8, whole=True),
    "redis_rdb_last_bgsave_status": Gauge(1),
    "redis_aof_last_write_status": Gauge(1),
    "redis_uptime_in_seconds": Counter(1, 0, start=200_000),
    **_commands(
        per_s={
            "get": 20,
            "set": 23,
            "lpush": 20,
            "rpop": 2,
            "hincrby": 20,
            "expire": 20,
            "scan": 6,
            "hgetall": 4,
            "del": 4,
        },
        microseconds={
            "get": 4,
            "set": 12,
            "lpush": 7,
            "rpop": 19,
            "hincrby": 5,
            "expire": 3,
            "scan": 120,
            "hgetall": 4,
            "del": 3,
        },
    ),
}

GROUP = f'{{rule_group="rules.json;{rules.RULES["groups"][0]["name"]}"}}'
PROMETHEUS_SERIES = {
    "up": Gauge(1),
    "scrape_duration_seconds": Gauge(0.006, 0.3),
    "prometheus_config_last_reload_successful": Gauge(1),
    "prometheus_tsdb_head_series": Gauge(1_900, 0.01, whole=True),
    "prometheus_notifications_dropped_total": Counter(0, start=0),
    f"prometheus_rule_evaluation_failures_total{GROUP}": Counter(0, start=0),
    f"prometheus_rule_group_iterations_missed_total{GROUP}": Counter(0, start=0),
}
ALERTMANAGER_SERIES = {
    "up": Gauge(1),
    "scrape_duration_seconds": Gauge(0.004, 0.3),
    "alertmanager_config_last_reload_successful": Gauge(1),
    'alertmanager_notifications_failed_total{integration="webhook"}': Counter(0, start=0),
}
ALERTING_SERIES = {'ALERTS{alertname="Watchdog",alertstate="firing",severity="none"}': Gauge(1)}
WATCHED = ((PROMETHEUS, PROMETHEUS_SERIES), (ALERTMANAGER, ALERTMANAGER_SERIES), (ALERTING, ALERTING_SERIES))

HEALTHY = ((POSTGRES, POSTGRES_SERIES), (REPLICA, REPLICA_SERIES), (REDIS, REDIS_SERIES), *WATCHED)


def _pod(number, namespace, app):
    """A pod of the past, as Prometheus finds the pods of the small NeuralLog (tests/stack/neurallog)."""
    pod = {"namespace": namespace, "pod": f"{app}-{number}", "app": app}
    return {"job": "neurallog", "instance": f"10.0.0.{number}:8080", **pod}


def _answered(service, **per_s):
    """Requests to a service that were answered well, by method, how long they took, and its target's `up`."""
    route = {"api-gateway": "/v1/logs", "auth-service": "/v1/key"}.get(service, "/v1/lines")
    shapes = {"up": Gauge(1)}
    for method, rate in per_s.items():
        labels = f'service="{service}",method="{method}",route="{route}"'
        shapes[f'http_requests_total{{{labels},status="200"}}'] = Counter(rate)
        shapes |= took(labels, rate)
    return shapes


def took(labels, per_s, within_s=QUICK):
    """A histogram of so many requests a second, of whom a share took so many seconds at most: {seconds: share}."""
    name, whole = "http_request_duration_seconds", within_s | {"+Inf": 1.0}
    buckets = {
        f'{name}_bucket{{{labels},le="{le}"}}': Counter(per_s * share, 0, start=0) for le, share in whole.items()
    }
    # Without a wobble: a wider bucket never holds less than a narrower one.
    return buckets | {
        f"{name}_count{{{labels}}}": Counter(per_s, 0, start=0),
        f"{name}_sum{{{labels}}}": Counter(per_s * mean_s(within_s), 0, start=0),
    }


def mean_s(within_s):
    """Of requests that lie in the middle of their buckets."""
    levels, shares = [0.0, *(float(le) for le in within_s)], [0.0, *within_s.values()]
    return sum(
        (share - before) * (low + high) / 2
        for (low, high), (before, share) in zip(pairwise(levels), pairwise(shares), strict=True)
    )


def _inside(service, connections=0, route="", database_ratio=0.0):
    """Garbage collection, the pool of connections, and how much of each second requests to a route wait for the database."""
    waited = f'database_statement_seconds_sum{{service="{service}",route="%s"}}'
    pool = {
        f'database_pool_in_use{{service="{service}"}}': Gauge(0.5, 1, whole=True),
        f'database_pool_size{{service="{service}"}}': Gauge(connections),
        f'database_pool_waiting{{service="{service}"}}': Gauge(0),
        waited % "/health": Counter(0.0005, start=1),
        waited % "background": Counter(0.01, start=1),
    }
    asked = {waited % route: Counter(database_ratio, start=1)} if route else {}
    collected = {"python_gc_seconds_total": Counter(0.001, start=0.1)}
    return collected | asked | (pool if connections else {})


def _lines(tenant, per_s):
    """Taken in and stored alike: the same wobble, but for the seed of its chance."""
    names = ("log_lines_received_total", "log_lines_stored_total")
    return {f'{name}{{tenant="{tenant}"}}': Counter(per_s, 0.02) for name in names}


# Of the services of the small NeuralLog under its usual traffic: for those who run it.
SERVICES = (
    (_pod(1, "neurallog-system", "api-gateway"), _answered("api-gateway", POST=3.3, GET=1.6) | _inside("api-gateway")),
    (_pod(2, "neurallog-system", "api-gateway"), _answered("api-gateway", POST=3.3, GET=1.6) | _inside("api-gateway")),
    (
        _pod(3, "neurallog-system", "auth-service"),
        _answered("auth-service", GET=9.8) | _inside("auth-service", 3, "/v1/key", 0.002),
    ),
    (_pod(4, "neurallog-system", "billing-service"), {"up": Gauge(1)} | _inside("billing-service", 3)),
    (
        _pod(5, "neurallog-operator-system", "neurallog-operator-controller-manager"),
        {"up": Gauge(1)} | _inside("neurallog-operator-controller-manager"),
    ),
    *(
        (
            _pod(6 + number, f"tenant-{tenant}", "log-server"),
            _answered("log-server", POST=2.2, GET=1.1)
            | _inside("log-server", 3, "/v1/lines", 0.003)
            | _lines(tenant, 11),
        )
        for number, tenant in enumerate(("acme", "globex", "initech"))
    ),
)


def healthy(hours=6, step_s=30, until=None, instances=HEALTHY, **levels):
    """OpenMetrics text of the last hours before `until` (epoch seconds, default now).

    levels   gauges that a story sets differently: `pg_settings_max_connections=20`
    """
    until = time.time() if until is None else until
    steps = int(hours * 3600 / step_s)
    lines = []
    for target, shapes in instances:
        for series, shape in shapes.items():
            if series in levels:
                shape = Gauge(levels[series])
            # The same past each time: a text as seed does not change from run to run.
            chance = random.Random(f"{series} {target}")
            full_name = with_labels(series, target)
            for number, value in enumerate(shape.values(chance, steps, step_s)):
                # The last sample lies one step back: the scrapes that follow must all be younger.
                if value is not None:
                    lines.append(f"{full_name} {value:.10g} {until - (steps - number) * step_s:.3f}")
    return "\n".join([*lines, "# EOF"]) + "\n"


def with_labels(series, target):
    """Add the target's labels, and the label `server` that every series of the PostgreSQL exporter's queries has."""
    name, labels = re.fullmatch(r"(\w+)(?:{(.*)})?", series).groups()
    added = dict(target)
    if name.startswith("pg_") and name not in ("pg_up", "pg_exporter_last_scrape_error"):
        added["server"] = target["instance"].split(":")[0] + ":5432"
    words = [labels] if labels else []
    words += [f'{label}="{value}"' for label, value in added.items()]
    return f"{name}{{{','.join(words)}}}"

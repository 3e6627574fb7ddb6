"""Every chart: one question, one picture, and the same in words. `nl.charts.slow_commands(case)` draws one."""

from nl_forensics.charts.chart import CHARTS, Chart
from nl_forensics.charts.connectivity import certificates_served, hop_times, needed_flows
from nl_forensics.charts.containers import container_ends
from nl_forensics.charts.events import probe_failures, warnings_over_time
from nl_forensics.charts.latency import routes_by_time, slowest_answers, usual_answers
from nl_forensics.charts.logs import log_errors, log_errors_over_time
from nl_forensics.charts.monitoring import alerts_over_time, cardinality
from nl_forensics.charts.nodes import node_conditions, node_room
from nl_forensics.charts.over_time import (
    cache_hit,
    connections_over_time,
    container_memory,
    disk_filling,
    dns_answers,
    dns_slowest,
    evictions,
    lines_not_stored,
    lines_taken_and_stored,
    notification_failures,
    queue_depth_over_time,
    reachability,
    redis_busy,
    redis_memory,
    replication_lag,
    rule_failures,
    scrape_age,
    series_in_memory,
    service_errors,
    service_requests,
    services_answered,
    targets_up,
)
from nl_forensics.charts.pods import pods_not_ready, quota_use
from nl_forensics.charts.redis import (
    big_keys,
    command_time,
    key_prefixes,
    queue_depth,
    redis_memory_now,
    slow_commands,
)
from nl_forensics.charts.rollouts import changes, rollouts
from nl_forensics.charts.saturation import (
    cpu_of_limit,
    cpu_throttling,
    database_share,
    garbage_collection,
    pools_over_time,
)
from nl_forensics.charts.services import service_overview
from nl_forensics.charts.sessions import (
    connections_by_application,
    connections_by_state,
    lock_tree,
    open_transactions,
    pool_clients,
    wait_profile,
)
from nl_forensics.charts.statements import top_statements
from nl_forensics.charts.storage import cache_misses, dead_rows, table_sizes, unused_indexes, wraparound
from nl_forensics.charts.usage import api_health, container_usage, node_usage
from nl_forensics.charts.volumes import volumes_missing

__all__ = [
    "CHARTS",
    "Chart",
    "alerts_over_time",
    "api_health",
    "big_keys",
    "cache_hit",
    "cache_misses",
    "cardinality",
    "certificates_served",
    "changes",
    "command_time",
    "connections_by_application",
    "connections_by_state",
    "connections_over_time",
    "container_ends",
    "container_memory",
    "container_usage",
    "cpu_of_limit",
    "cpu_throttling",
    "database_share",
    "dead_rows",
    "disk_filling",
    "dns_answers",
    "dns_slowest",
    "evictions",
    "garbage_collection",
    "hop_times",
    "key_prefixes",
    "lines_not_stored",
    "lines_taken_and_stored",
    "lock_tree",
    "log_errors",
    "log_errors_over_time",
    "needed_flows",
    "node_conditions",
    "node_room",
    "node_usage",
    "notification_failures",
    "open_transactions",
    "pods_not_ready",
    "pool_clients",
    "pools_over_time",
    "probe_failures",
    "queue_depth",
    "queue_depth_over_time",
    "quota_use",
    "reachability",
    "redis_busy",
    "redis_memory",
    "redis_memory_now",
    "replication_lag",
    "rollouts",
    "routes_by_time",
    "rule_failures",
    "scrape_age",
    "series_in_memory",
    "service_errors",
    "service_overview",
    "service_requests",
    "services_answered",
    "slow_commands",
    "slowest_answers",
    "table_sizes",
    "targets_up",
    "top_statements",
    "unused_indexes",
    "usual_answers",
    "volumes_missing",
    "wait_profile",
    "warnings_over_time",
    "wraparound",
]

"""Every chart: one question, one picture, and the same in words. `nl.charts.slow_commands(case)` draws one."""

from nl_forensics.charts.chart import CHARTS, Chart
from nl_forensics.charts.monitoring import alerts_over_time, cardinality
from nl_forensics.charts.over_time import (
    cache_hit,
    connections_over_time,
    disk_filling,
    evictions,
    notification_failures,
    queue_depth_over_time,
    reachability,
    redis_busy,
    redis_memory,
    replication_lag,
    rule_failures,
    scrape_age,
    series_in_memory,
    targets_up,
)
from nl_forensics.charts.redis import (
    big_keys,
    command_time,
    key_prefixes,
    queue_depth,
    redis_memory_now,
    slow_commands,
)
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

__all__ = [
    "CHARTS",
    "Chart",
    "alerts_over_time",
    "big_keys",
    "cache_hit",
    "cache_misses",
    "cardinality",
    "command_time",
    "connections_by_application",
    "connections_by_state",
    "connections_over_time",
    "dead_rows",
    "disk_filling",
    "evictions",
    "key_prefixes",
    "lock_tree",
    "notification_failures",
    "open_transactions",
    "pool_clients",
    "queue_depth",
    "queue_depth_over_time",
    "reachability",
    "redis_busy",
    "redis_memory",
    "redis_memory_now",
    "replication_lag",
    "rule_failures",
    "scrape_age",
    "series_in_memory",
    "slow_commands",
    "table_sizes",
    "targets_up",
    "top_statements",
    "unused_indexes",
    "wait_profile",
    "wraparound",
]

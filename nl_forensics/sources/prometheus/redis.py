"""Redis, as its exporter sees it. The names are those of prometheus-redis-exporter 1.45 and later."""

from nl_forensics.sources.prometheus.series import series

series(
    "prom_redis_up",
    "max by (instance) (redis_up{{{redis}}})",
    value="up",
    meaning="1: the exporter reached Redis; 0: it did not",
    guide=("C021",),
    doc="""Whether the exporter reached Redis, per step: a second, independent source on an outage.

    No value: the exporter itself was not scraped, so the state of Redis is unknown.""",
)

series(
    "prom_redis_memory",
    "max by (instance) (redis_memory_used_bytes{{{redis}}})",
    value="used_bytes",
    meaning="memory that Redis requested from its allocator",
    guide=("C074",),
    doc="""Memory of Redis, per step.""",
)

series(
    "prom_redis_memory_limit",
    "max by (instance) (redis_memory_max_bytes{{{redis}}} or redis_config_maxmemory{{{redis}}})",
    value="limit_bytes",
    meaning="maxmemory; 0: no limit",
    guide=("C074",),
    doc="""Memory limit of Redis, per step.""",
)

series(
    "prom_redis_evictions",
    "sum by (instance) (increase(redis_evicted_keys_total{{{redis}}}[{range}]))",
    value="evicted_keys",
    meaning="keys evicted for lack of memory in the 5 min (one step, if longer) before the step",
    guide=("C074",),
    doc="""Redis evictions, per step.""",
)

series(
    "prom_redis_clients",
    "max by (instance) (redis_connected_clients{{{redis}}})",
    value="clients",
    meaning="connected clients",
    doc="""Clients of Redis, per step.""",
)

series(
    "prom_redis_blocked_clients",
    "max by (instance) (redis_blocked_clients{{{redis}}})",
    value="blocked_clients",
    meaning="clients that wait in a blocking command, as consumers of queues do, or are paused",
    doc="""Blocked clients of Redis, per step.""",
)

series(
    "prom_redis_rejected_connections",
    "sum by (instance) (increase(redis_rejected_connections_total{{{redis}}}[{range}]))",
    value="rejected_connections",
    meaning="connections rejected at maxclients in the 5 min (one step, if longer) before the step",
    doc="""Connections that Redis rejected, per step.""",
)

series(
    "prom_redis_commands",
    "sum by (instance) (rate(redis_commands_processed_total{{{redis}}}[{range}]))",
    value="commands_per_s",
    meaning="commands processed",
    doc="""Commands of Redis, per step.""",
)

series(
    "prom_redis_command_time",
    "sum by (instance, cmd) (rate(redis_commands_duration_seconds_total{{{redis}}}[{range}]))",
    value="busy_ratio",
    meaning="share of the main thread's time that the command took; all commands together near 1: Redis is saturated",
    labels=("target", "command"),
    guide=("C076",),
    doc="""Utilisation of the main thread of Redis by command, per step.""",
)

series(
    "prom_redis_hits",
    "sum by (instance) (rate(redis_keyspace_hits_total{{{redis}}}[{range}]))"
    " / (sum by (instance) (rate(redis_keyspace_hits_total{{{redis}}}[{range}])"
    " + rate(redis_keyspace_misses_total{{{redis}}}[{range}])) > 0)",
    value="hit_ratio",
    meaning="share of lookups that found their key",
    sparse=True,
    doc="""Cache hit ratio of Redis, per step.

    No value where there were no lookups.""",
)

series(
    "prom_redis_slow_commands",
    "sum by (instance) (increase(redis_slowlog_last_id{{{redis}}}[{range}]))",
    value="slow_commands",
    meaning="commands added to SLOWLOG in the 5 min (one step, if longer) before the step",
    guide=("C076",),
    doc="""Slow commands of Redis, per step.

    Shows that there were slow commands even after the ring lost them. The very first one has number 0, so it is not counted.""",
)

series(
    "prom_redis_queue_depth",
    'max by (instance, key) (redis_key_size{{key=~"{queues}",{redis}}})',
    value="items",
    meaning="items in the queue",
    labels=("target", "key"),
    sparse=True,
    guide=("C031",),
    doc="""Length of each queue in the platform file, per step.

    No value where the queue was empty: Redis has no empty lists. The exporter must be configured with the key (`-check-single-keys`).""",
)

"""Redis, as its exporter sees it. The names are those of prometheus-redis-exporter 1.45 and later."""

from nl_forensics.sources.prometheus.series import series

series(
    "prom_redis_up",
    "max by (instance) (redis_up{{{redis}}})",
    value="up",
    guide=("C021",),
    doc="""Whether the exporter could reach Redis: 1 or 0, per step. The second witness of an outage.

    No value: the exporter itself was not scraped, so nothing is known of Redis.""",
)

series(
    "prom_redis_memory",
    "max by (instance) (redis_memory_used_bytes{{{redis}}})",
    value="used_bytes",
    guide=("C074",),
    doc="""Memory that Redis asked its allocator for.""",
)

series(
    "prom_redis_memory_limit",
    "max by (instance) (redis_memory_max_bytes{{{redis}}} or redis_config_maxmemory{{{redis}}})",
    value="limit_bytes",
    guide=("C074",),
    doc="""maxmemory; 0: no limit.""",
)

series(
    "prom_redis_evictions",
    "sum by (instance) (increase(redis_evicted_keys_total{{{redis}}}[{range}]))",
    value="evicted_keys",
    guide=("C074",),
    doc="""Keys thrown out for lack of memory in the 5 min (one step, where that is longer) that end at `at`.""",
)

series(
    "prom_redis_clients",
    "max by (instance) (redis_connected_clients{{{redis}}})",
    value="clients",
    doc="""Connected clients.""",
)

series(
    "prom_redis_blocked_clients",
    "max by (instance) (redis_blocked_clients{{{redis}}})",
    value="blocked_clients",
    doc="""Clients that wait in a blocking command, as consumers of queues do, or that were paused.""",
)

series(
    "prom_redis_rejected_connections",
    "sum by (instance) (increase(redis_rejected_connections_total{{{redis}}}[{range}]))",
    value="rejected_connections",
    doc="""Connections turned away at maxclients in the 5 min (one step, where that is longer) that end at `at`.""",
)

series(
    "prom_redis_commands",
    "sum by (instance) (rate(redis_commands_processed_total{{{redis}}}[{range}]))",
    value="commands_per_s",
    doc="""Commands processed a second.""",
)

series(
    "prom_redis_command_time",
    "sum by (instance, cmd) (rate(redis_commands_duration_seconds_total{{{redis}}}[{range}]))",
    value="busy_ratio",
    labels=("target", "command"),
    guide=("C076",),
    doc="""Share of the one thread's time that a command took, 0 to 1. All commands together near 1: Redis can do no more.""",
)

series(
    "prom_redis_hits",
    "sum by (instance) (rate(redis_keyspace_hits_total{{{redis}}}[{range}]))"
    " / (sum by (instance) (rate(redis_keyspace_hits_total{{{redis}}}[{range}])"
    " + rate(redis_keyspace_misses_total{{{redis}}}[{range}])) > 0)",
    value="hit_ratio",
    sparse=True,
    doc="""Share of the lookups that found their key, 0 to 1. No value where nothing was looked up.""",
)

series(
    "prom_redis_slow_commands",
    "sum by (instance) (increase(redis_slowlog_last_id{{{redis}}}[{range}]))",
    value="slow_commands",
    guide=("C076",),
    doc="""Commands that entered the slow log in the 5 min (one step, where that is longer) that end at `at`.

    It tells when there were some, even where the ring has lost them. The number of the very first one is 0, so it is not counted.""",
)

series(
    "prom_redis_queue_depth",
    'max by (instance, key) (redis_key_size{{key=~"{queues}",{redis}}})',
    value="items",
    labels=("target", "key"),
    sparse=True,
    guide=("C031",),
    doc="""Items in each queue that the platform file names.

    No value where the queue was empty: Redis has no empty lists. The exporter must be told the key (`-check-single-keys`).""",
)

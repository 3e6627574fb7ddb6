"""PostgreSQL, as its exporter sees it. The names are those of prometheus-postgres-exporter 0.11 to 0.17."""

from nl_forensics.sources.prometheus.series import series

series(
    "prom_postgres_up",
    "max by (instance) (pg_up{{{postgres}}})",
    value="up",
    meaning="1: the exporter reached PostgreSQL; 0: it did not",
    guide=("C020",),
    doc="""Whether the exporter reached PostgreSQL, per step: a second, independent source on an outage.

    No value: the exporter itself was not scraped, so the state of PostgreSQL is unknown.""",
)

series(
    "prom_postgres_connections",
    "sum by (instance, state) (pg_stat_activity_count{{{postgres}}})",
    value="connections",
    meaning="connections in this state, including the exporter's own",
    labels=("target", "state"),
    guide=("C066", "C067"),
    doc="""Connections of PostgreSQL by state, per step.

    Peaks between two scrapes are not visible.""",
)

series(
    "prom_postgres_slots",
    "max by (instance) (pg_settings_max_connections{{{postgres}}})"
    " - max by (instance) (pg_settings_superuser_reserved_connections{{{postgres}}})"
    " - (max by (instance) (pg_settings_reserved_connections{{{postgres}}})"
    " or 0 * max by (instance) (pg_settings_max_connections{{{postgres}}}))",
    value="slots",
    meaning="max_connections without those reserved for superusers and, from PostgreSQL 16 on, for a role",
    guide=("C067",),
    doc="""Usable connections of PostgreSQL, per step.""",
)

series(
    "prom_postgres_transactions",
    "sum by (instance) (rate(pg_stat_database_xact_commit{{{postgres}}}[{range}])"
    " + rate(pg_stat_database_xact_rollback{{{postgres}}}[{range}]))",
    value="transactions_per_s",
    meaning="transactions that ended, committed or rolled back",
    doc="""Transactions of PostgreSQL, per step.""",
)

series(
    "prom_postgres_cache_hit",
    "sum by (instance) (rate(pg_stat_database_blks_hit{{{postgres}}}[{range}]))"
    " / (sum by (instance) (rate(pg_stat_database_blks_hit{{{postgres}}}[{range}])"
    " + rate(pg_stat_database_blks_read{{{postgres}}}[{range}])) > 0)",
    value="hit_ratio",
    meaning="share of block reads that shared_buffers served",
    sparse=True,
    doc="""Cache hit ratio of PostgreSQL, per step.

    No value where no block was read. Reads that the page cache of the operating system served count as misses.""",
)

series(
    "prom_postgres_deadlocks",
    "sum by (instance, datname) (increase(pg_stat_database_deadlocks{{{postgres}}}[{range}]))",
    value="deadlocks",
    meaning="deadlocks in the 5 min (one step, if longer) before the step; extrapolated, so 1 can read 1.07",
    labels=("target", "database"),
    doc="""Deadlocks by database, per step.""",
)

series(
    "prom_postgres_temp",
    "sum by (instance, datname) (rate(pg_stat_database_temp_bytes{{{postgres}}}[{range}]))",
    value="temp_bytes_per_s",
    meaning="rate of writes to temporary files, by sorts and hashes that exceed work_mem",
    labels=("target", "database"),
    doc="""Temporary files of PostgreSQL by database, per step.""",
)

series(
    "prom_postgres_longest_transaction",
    "max by (instance, state) (pg_stat_activity_max_tx_duration{{{postgres}}})",
    value="longest_s",
    meaning="age of the oldest transaction in this state",
    labels=("target", "state"),
    guide=("C068",),
    doc="""Oldest transaction by state, per step.

    Backups and autovacuum are included.""",
)

series(
    "prom_postgres_replication_lag",
    "max by (instance) (pg_replication_lag{{{postgres}}} or pg_replication_lag_seconds{{{postgres}}})",
    value="lag_s",
    meaning="age of the newest transaction that the replica replayed; 0 on a primary",
    doc="""Replication lag of replicas, per step.

    While the primary writes nothing, the lag grows although no data are missing. Only exporters with this query (0.11: a custom one,
    later: built in) have this series.""",
)

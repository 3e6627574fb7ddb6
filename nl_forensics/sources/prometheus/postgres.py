"""PostgreSQL, as its exporter sees it. The names are those of prometheus-postgres-exporter 0.11 to 0.17."""

from nl_forensics.sources.prometheus.series import series

series(
    "prom_postgres_up",
    "max by (instance) (pg_up{{{postgres}}})",
    value="up",
    guide=("C020",),
    doc="""Whether the exporter could reach PostgreSQL: 1 or 0, per step. The second witness of an outage.

    target   the exporter that was scraped

    No value: the exporter itself was not scraped, so nothing is known of PostgreSQL.""",
)

series(
    "prom_postgres_connections",
    "sum by (instance, state) (pg_stat_activity_count{{{postgres}}})",
    value="connections",
    labels=("target", "state"),
    guide=("C066", "C067"),
    doc="""Connections by state, per step; the exporter's own is among them.

    state   `active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`, …

    A moment between two scrapes is not seen.""",
)

series(
    "prom_postgres_slots",
    "max by (instance) (pg_settings_max_connections{{{postgres}}})"
    " - max by (instance) (pg_settings_superuser_reserved_connections{{{postgres}}})"
    " - (max by (instance) (pg_settings_reserved_connections{{{postgres}}})"
    " or 0 * max by (instance) (pg_settings_max_connections{{{postgres}}}))",
    value="slots",
    guide=("C067",),
    doc="""Connections that anyone may open.

    max_connections without what is reserved for superusers and, from PostgreSQL 16 on, for a role.""",
)

series(
    "prom_postgres_transactions",
    "sum by (instance) (rate(pg_stat_database_xact_commit{{{postgres}}}[{range}])"
    " + rate(pg_stat_database_xact_rollback{{{postgres}}}[{range}]))",
    value="transactions_per_s",
    doc="""Transactions that ended, committed or rolled back, a second.""",
)

series(
    "prom_postgres_cache_hit",
    "sum by (instance) (rate(pg_stat_database_blks_hit{{{postgres}}}[{range}]))"
    " / (sum by (instance) (rate(pg_stat_database_blks_hit{{{postgres}}}[{range}])"
    " + rate(pg_stat_database_blks_read{{{postgres}}}[{range}])) > 0)",
    value="hit_ratio",
    sparse=True,
    doc="""Share of the blocks that were found in shared_buffers, 0 to 1.

    No value where no block was asked for. What the cache of the operating system spared the disk is not seen.""",
)

series(
    "prom_postgres_deadlocks",
    "sum by (instance, datname) (increase(pg_stat_database_deadlocks{{{postgres}}}[{range}]))",
    value="deadlocks",
    labels=("target", "database"),
    doc="""Deadlocks in the 5 min (one step, where that is longer) that end at `at`. Prometheus extrapolates: 1 can read 1.07.""",
)

series(
    "prom_postgres_temp",
    "sum by (instance, datname) (rate(pg_stat_database_temp_bytes{{{postgres}}}[{range}]))",
    value="temp_bytes_per_s",
    labels=("target", "database"),
    doc="""Bytes written to temporary files a second, by sorts and hashes that did not fit into work_mem.""",
)

series(
    "prom_postgres_longest_transaction",
    "max by (instance, state) (pg_stat_activity_max_tx_duration{{{postgres}}})",
    value="longest_s",
    labels=("target", "state"),
    guide=("C068",),
    doc="""Age of the oldest transaction, by state, seconds. Backups and autovacuum are among them.""",
)

series(
    "prom_postgres_replication_lag",
    "max by (instance) (pg_replication_lag{{{postgres}}} or pg_replication_lag_seconds{{{postgres}}})",
    value="lag_s",
    doc="""Age of the newest transaction that a replica replayed, seconds; 0 on a primary.

    While the primary writes nothing, the age grows though nothing is missing. Only exporters with the query (0.11: one of your own,
    later: built in) have this series.""",
)

"""Every chart: one question, one picture, and the same in words. `nl.charts.slow_commands(case)` draws one."""

from nl_forensics.charts.billing.events import event_delay
from nl_forensics.charts.billing.money import money_at_risk
from nl_forensics.charts.billing.payments import payments_by_reason, stripe_latency
from nl_forensics.charts.billing.usage import usage_gaps, usage_recorded
from nl_forensics.charts.chart import CHARTS, Chart
from nl_forensics.charts.kubernetes.access import account_rights
from nl_forensics.charts.kubernetes.api import api_health
from nl_forensics.charts.kubernetes.containers import container_ends
from nl_forensics.charts.kubernetes.events import probe_failures, warnings_over_time
from nl_forensics.charts.kubernetes.logs import log_errors, log_errors_over_time
from nl_forensics.charts.kubernetes.nodes import node_conditions, node_room
from nl_forensics.charts.kubernetes.pod_security import container_rights
from nl_forensics.charts.kubernetes.pods import pods_not_ready, quota_use
from nl_forensics.charts.kubernetes.rollouts import changes, rollouts
from nl_forensics.charts.kubernetes.usage import (
    container_memory,
    container_usage,
    cpu_of_limit,
    cpu_throttling,
    node_usage,
)
from nl_forensics.charts.kubernetes.volumes import disk_filling, volumes_missing
from nl_forensics.charts.monitoring.alerts import alerts_over_time, notification_failures, rule_failures
from nl_forensics.charts.monitoring.prometheus import cardinality, series_in_memory
from nl_forensics.charts.monitoring.scrapes import reachability, scrape_age, targets_up
from nl_forensics.charts.network.certificates import certificates_served
from nl_forensics.charts.network.connectivity import hop_times
from nl_forensics.charts.network.dns import dns_answers, dns_slowest
from nl_forensics.charts.network.policies import needed_flows
from nl_forensics.charts.postgres.replication import replication_lag
from nl_forensics.charts.postgres.sessions import (
    connections_by_application,
    connections_by_state,
    connections_over_time,
    lock_tree,
    open_transactions,
    pool_clients,
    wait_profile,
)
from nl_forensics.charts.postgres.statements import top_statements
from nl_forensics.charts.postgres.storage import (
    cache_hit,
    cache_misses,
    dead_rows,
    table_sizes,
    unused_indexes,
    wraparound,
)
from nl_forensics.charts.redis.commands import command_time, redis_busy, slow_commands
from nl_forensics.charts.redis.keys import big_keys, key_prefixes
from nl_forensics.charts.redis.memory import evictions, redis_memory, redis_memory_now
from nl_forensics.charts.redis.queues import queue_depth, queue_depth_over_time
from nl_forensics.charts.services.ingestion import lines_not_stored, lines_taken_and_stored
from nl_forensics.charts.services.latency import routes_by_time, slowest_answers, usual_answers
from nl_forensics.charts.services.overview import service_overview
from nl_forensics.charts.services.rejections import rejected_requests, rejections_over_time
from nl_forensics.charts.services.requests import service_errors, service_requests, services_answered
from nl_forensics.charts.services.saturation import database_share, garbage_collection, pools_over_time
from nl_forensics.charts.tenants.isolation import tenant_flows
from nl_forensics.charts.tenants.provisioning import tenant_steps
from nl_forensics.charts.tenants.use import tenant_lines, tenant_quotas, tenant_shares

__all__ = [
    "CHARTS",
    "Chart",
    "account_rights",
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
    "container_rights",
    "container_usage",
    "cpu_of_limit",
    "cpu_throttling",
    "database_share",
    "dead_rows",
    "disk_filling",
    "dns_answers",
    "dns_slowest",
    "event_delay",
    "evictions",
    "garbage_collection",
    "hop_times",
    "key_prefixes",
    "lines_not_stored",
    "lines_taken_and_stored",
    "lock_tree",
    "log_errors",
    "log_errors_over_time",
    "money_at_risk",
    "needed_flows",
    "node_conditions",
    "node_room",
    "node_usage",
    "notification_failures",
    "open_transactions",
    "payments_by_reason",
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
    "rejected_requests",
    "rejections_over_time",
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
    "stripe_latency",
    "table_sizes",
    "targets_up",
    "tenant_flows",
    "tenant_lines",
    "tenant_quotas",
    "tenant_shares",
    "tenant_steps",
    "top_statements",
    "unused_indexes",
    "usage_gaps",
    "usage_recorded",
    "usual_answers",
    "volumes_missing",
    "wait_profile",
    "warnings_over_time",
    "wraparound",
]

"""Every table of a notebook that is more than a recorded answer. `nl.tables.last_lines(case)` makes one."""

from nl_forensics.charts.billing.events import undelivered_events, webhook_endpoints
from nl_forensics.charts.billing.money import invoices_recomputed
from nl_forensics.charts.billing.payments import failed_payments
from nl_forensics.charts.identity import issuer_keys, token_claims, token_tests
from nl_forensics.charts.kubernetes.access import access_changes, account_bindings, denied_requests
from nl_forensics.charts.kubernetes.logs import last_lines
from nl_forensics.charts.kubernetes.rollouts import changed
from nl_forensics.charts.network.certificates import certificates_issued
from nl_forensics.charts.network.policies import ingress_rules, policy_rules
from nl_forensics.charts.postgres.replication import postgres_elsewhere
from nl_forensics.charts.redis.persistence import redis_saved
from nl_forensics.charts.services.rejections import rejected_clients
from nl_forensics.charts.services.requests import failed_requests, routes_in_logs
from nl_forensics.charts.table import TABLES, Table
from nl_forensics.charts.tenants.isolation import tenant_tables
from nl_forensics.charts.tenants.provisioning import operator_errors

__all__ = [
    "TABLES",
    "Table",
    "access_changes",
    "account_bindings",
    "certificates_issued",
    "changed",
    "denied_requests",
    "failed_payments",
    "failed_requests",
    "ingress_rules",
    "invoices_recomputed",
    "issuer_keys",
    "last_lines",
    "operator_errors",
    "policy_rules",
    "postgres_elsewhere",
    "redis_saved",
    "rejected_clients",
    "routes_in_logs",
    "tenant_tables",
    "token_claims",
    "token_tests",
    "undelivered_events",
    "webhook_endpoints",
]

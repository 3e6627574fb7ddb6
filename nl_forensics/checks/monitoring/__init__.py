"""Rules about monitoring: without samples and alerts, a quiet dashboard is no proof of health."""

from nl_forensics.checks.monitoring import alerts, grafana, notifications, prometheus, requests, rules, scrapes  # noqa: F401

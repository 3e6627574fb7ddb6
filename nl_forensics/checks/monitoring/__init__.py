"""Rules about what watches the platform: where it did not look, nothing that it says is health."""

from nl_forensics.checks.monitoring import alerts, grafana, notifications, prometheus, requests, rules, scrapes  # noqa: F401

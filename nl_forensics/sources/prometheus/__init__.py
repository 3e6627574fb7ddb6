"""What Prometheus knows: exporter series of PostgreSQL and Redis, a second witness that needs no database credential and the only
past that counters have; how full the volumes are; what Prometheus says of itself, and its alerts.
"""

from nl_forensics.sources.prometheus import alerting, health, itself, postgres, redis, volumes  # noqa: F401

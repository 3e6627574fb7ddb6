"""What Prometheus knows: exporter series of PostgreSQL and Redis, a second witness that needs no database credential and the only
past that counters have; what the services of the platform report: requests, latency and internals; what
containers use, by the kubelet; how full the volumes are; and what Prometheus says of itself, and its alerts.
"""

from nl_forensics.sources.prometheus import (  # noqa: F401
    alerting,
    containers,
    cpu,
    dns,
    health,
    itself,
    latency,
    postgres,
    redis,
    runtime,
    services,
    tenants,
    volumes,
)

"""Rules about services, measured from outside: requests, latency, errors, saturation, ingestion."""

from nl_forensics.checks.services import errors, ingestion, latency, requests, saturation  # noqa: F401

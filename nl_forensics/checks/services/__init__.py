"""Rules about services, by their metrics and logs: requests, latency, errors, saturation, ingestion."""

from nl_forensics.checks.services import errors, ingestion, latency, rejections, requests, saturation  # noqa: F401

"""Rules about the way of a request: names, certificates, hops."""

from nl_forensics.checks.network import certificates, connectivity, dns  # noqa: F401

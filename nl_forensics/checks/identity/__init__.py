"""Every rule about tokens and the keys of their issuer."""

from nl_forensics.checks.identity import keys, token  # noqa: F401

"""What the issuer of tokens publishes, and what a given token is."""

from nl_forensics.sources.identity import keys, token  # noqa: F401

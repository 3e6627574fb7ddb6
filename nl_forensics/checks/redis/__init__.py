"""Rules that a healthy Redis keeps. One module per subject."""

from nl_forensics.checks.redis import commands, keys, memory, queues, server  # noqa: F401

"""Faults of Redis. Each is made on a fresh server of `tests.stack.redis`, which is thrown away afterwards."""

from tests.record.redis import commands, memory, server  # noqa: F401

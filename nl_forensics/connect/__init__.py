"""The only package that opens a connection: deadlines, read-only sessions, bounded answers.

A link is one open connection. Whatever the system, it has

    identity    who answered: version and what names this server, a dict of JSON values
    clock       how far the server's clock is from ours
    close()

and the methods with which its sources ask.
"""

import importlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from nl_forensics.platform import Budget, Endpoint


class Clock(NamedTuple):
    """Server time minus our time, seconds; `error_s` is half the round trip."""

    offset_s: float
    error_s: float


def measured_clock(server_time: Callable[[], datetime]) -> Clock:
    """Ask a server for its time (UTC) once."""
    before, began = datetime.now(UTC), time.monotonic()
    there = server_time()
    took = time.monotonic() - began
    return Clock(round((there - before).total_seconds() - took / 2, 4), round(took / 2, 4))


def open_link(system: str, address: str, endpoint: Endpoint, budget: Budget):
    """Connect to one instance. Raises a SourceError that says why not, and what to do."""
    module = importlib.import_module(f"nl_forensics.connect.{system}")
    return module.connect(address, endpoint, budget)

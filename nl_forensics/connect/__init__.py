"""The only package that opens a connection: deadlines, read-only sessions, bounded answers.

A link is one open connection. Whatever the system, it has

    identity    version of the server, and what identifies it, a dict of JSON values
    clock       how far the server's clock is from ours; None: unknown
    close()

and the methods with which its sources ask.
"""

import importlib
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from nl_forensics.connect.cleartext import guarded
from nl_forensics.errors import NotConfigured, SourceError
from nl_forensics.inputs.platform import Budget, Cluster, Endpoint, PortForward

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward


HALF_SECOND = 0.5
IN_CLEAR = "password_unencrypted"  # of an identity: the password crossed the network in clear


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


def clock_of(date: str | None, before: datetime, took_s: float) -> Clock | None:
    """By the Date header of a response; None, which is unknown and never right, where it has none that can be read.

    The header has whole seconds, so the server's time is half a second later on average.
    """
    try:
        there = parsedate_to_datetime(date or "")
    except (TypeError, ValueError):
        return None
    there = there if there.tzinfo else there.replace(tzinfo=UTC)
    offset_s = (there - before).total_seconds() + HALF_SECOND - took_s / 2
    return Clock(round(offset_s, 4), round(HALF_SECOND + took_s / 2, 4))


def open_forward(via: PortForward, cluster: Cluster, budget: Budget) -> "Forward":
    """The way to a system inside a cluster. Raises a SourceError: `on_the_way` where it says nothing about the system."""
    return load_client("forward").Forward(via, cluster, budget)


def open_link(system: str, address: str, endpoint: Endpoint, budget: Budget, forward: "Forward | None" = None):
    """Connect to one instance. Raises a SourceError that says why not, and what to do."""
    if _is_ambiguous(address):
        raise NotConfigured(
            "the address holds a character that ends the password too early",
            "percent-encode the user and the password: @ as %40, / as %2F, # as %23, ? as %3F",
        )
    address, in_clear = guarded(system, address, endpoint)
    if not forward:
        link = load_client(system).connect(address, endpoint, budget)
        link.identity |= {IN_CLEAR: True} if in_clear else {}
        return link
    try:
        link = load_client(system).connect(address, endpoint, budget, forward)
    except SourceError as error:
        forward.close()
        raise forward.failure or error from None
    link.identity |= {"through": forward.through}
    return link


def load_client(system: str) -> ModuleType:
    """The module that connects to a system. It takes up to a second, which must not count as the system's."""
    return importlib.import_module(f"nl_forensics.connect.{system}")


def _is_ambiguous(address: str) -> bool:
    """An unescaped @ / # ? in a password: a part of it would be taken for the host, and be shown in messages."""
    _, is_url, rest = address.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    return bool(is_url) and (authority.count("@") > 1 or "@" in rest[len(authority) :])

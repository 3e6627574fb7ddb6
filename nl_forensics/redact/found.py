"""What a rule finds in a text."""

from typing import NamedTuple

MAX_MATCHES = 25_000  # of one rule in one text; real evidence is far below it
UNREAD = "unread"  # the text after the last match: it is not searched, so it is not kept


class Found(NamedTuple):
    """Bytes of a text that must not be written down. `label`: the kind of a secret or the class of an identifier.

    quote   to be put around what stands in: JSON stays JSON where a number becomes a string
    """

    start: int
    end: int
    label: str
    quote: bytes = b""

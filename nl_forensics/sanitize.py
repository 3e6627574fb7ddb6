"""Logs, events and error messages are untrusted text: makes them safe for a terminal, a page and JSON.

Not printable are control characters, terminal escapes, bidirectional marks and lone surrogates.
"""

import json
import re
from typing import Any

UNUSUAL = re.compile(r"[^\x20-\x7e\n]+")


def printable(text: str) -> str:
    """One line, with what is not printable replaced by blanks."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)


def of_page(text: str) -> str:
    """A whole page, without what is not printable; its lines stay lines."""
    return UNUSUAL.sub(lambda found: "".join(sign for sign in found[0] if sign.isprintable() or sign in "\t\xa0"), text)


def as_json(value: Any) -> str:
    """JSON in which what is not printable is escaped: the same value, and safe to print."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return UNUSUAL.sub(lambda found: "".join(sign if sign.isprintable() else _escaped(sign) for sign in found[0]), text)


def _escaped(sign: str) -> str:
    return json.dumps(sign)[1:-1]

"""Logs, events and error messages are untrusted text: makes them safe for a terminal."""

import json


def printable(text: str) -> str:
    """One line, with control characters, terminal escapes and bidirectional marks replaced by blanks."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)


def printable_json(text: str) -> str:
    """The same JSON, with the characters that would move or reorder something on a terminal as escapes."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else json.dumps(sign)[1:-1] for sign in text)

"""Logs, events and error messages are untrusted text: makes them safe for a terminal."""


def printable(text: str) -> str:
    """One line, with control characters, terminal escapes and bidirectional marks replaced by blanks."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)

"""Logs, events and error messages are hostile text: what of it may be shown on a terminal."""


def printable(text: str) -> str:
    """On one line, without control characters, terminal escapes, and marks that turn the direction of writing: each becomes a blank."""
    return text if text.isprintable() else "".join(sign if sign.isprintable() else " " for sign in text)

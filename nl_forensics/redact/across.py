"""Secrets that span records: a log is read line by line, and a key has many lines.

What was begun in one record is removed from the following ones: the body of a private key, a block of YAML under a secret's name, the
password in a `.netrc`, the data of a manifest of a Secret.
"""

from collections.abc import Iterator

import re2

from nl_forensics.redact.found import Found
from nl_forensics.redact.shapes import is_base64

PATIENCE = 200  # records after the last line that belonged to it

_BEGINS_KEY = re2.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File|Private-Lines:")
_ENDS_KEY = re2.compile(rb"-----END [A-Z0-9 ]*PRIVATE KEY|Private-MAC:")
_BODY = re2.compile(rb"(?:^|[\s|>\"'])([A-Za-z0-9+/]{4,}={0,2})(?:\\[nr])*[\"',]*\s*\z")
_BEGINS_BLOCK = re2.compile(
    rb"(?i)^([\s-]*)[\"']?[\w.-]*(?:password|passwd|passphrase|secret|token|private[_-]?key|api[_-]?key)[\"']?:\s*[|>][+-]?\d?\s*\z"
)
_BEGINS_MANIFEST = re2.compile(rb"(?i)^\s*\"?kind\"?:\s*[\"']?secret[\"']?,?\s*\z")
_DATA = re2.compile(rb"^(\s*)\"?(?:data|stringData)\"?:\s*\{?\s*\z")
_ENTRY = re2.compile(rb"^(\s*)[\"']?[\w.-]+[\"']?:\s+[\"']?([^\s\"'].*?)[\"']?,?\s*\z")
_BEGINS_LOGIN = re2.compile(rb"^\s*(?:machine\s+\S+|default)(?:\s+login\s+\S+)?\s*\z|^\s*login\s+\S+\s*\z")
_LOGIN_PASSWORD = re2.compile(rb"^\s*(?:password|account)\s+(\S+)\s*\z")


class Across:
    """What is open at this point of a stream of records."""

    def __init__(self) -> None:
        self._left = 0
        self._open = ""
        self._indent = 0
        self._field = ""

    def next_record(self) -> None:
        self._left = max(0, self._left - 1)
        if not self._left:
            self._open = ""

    def find(self, text: bytes, field: str) -> Iterator[Found]:
        """What a text continues, in the field in which it was begun; then, what it begins."""
        if self._open and field == self._field:
            yield from getattr(self, f"_in_{self._open}")(text)
        if b"\n" not in text.rstrip(b"\r\n") or b"KEY" in text:
            self._begin(text, field)

    def _begin(self, text: bytes, field: str) -> None:
        before = self._open
        self._look_for_beginning(text)
        if self._open != before:
            self._field = field

    def _look_for_beginning(self, text: bytes) -> None:
        begins = (
            list(_BEGINS_KEY.finditer(text)) if b"rivate-" in text or b"-----BEGIN" in text or b"PuTTY" in text else []
        )
        if begins and not _ENDS_KEY.search(text, begins[-1].end()):
            self._opened("key")
        elif text.rstrip().endswith((b"|", b">", b"-", b"+")) and (block := _BEGINS_BLOCK.match(text)):
            self._opened("block", len(block[1]))
        elif self._open == "manifest" or not self._open:
            self._begin_place(text)

    def _begin_place(self, text: bytes) -> None:
        if len(text) > 300:
            return
        if _BEGINS_MANIFEST.match(text):
            self._opened("manifest")
        elif data := self._open == "manifest" and _DATA.match(text):
            self._opened("data", len(data[1]))
        elif _BEGINS_LOGIN.match(text):
            self._opened("login")

    def _opened(self, what: str, indent: int = 0) -> None:
        self._open, self._left, self._indent = what, PATIENCE, indent

    def _in_key(self, text: bytes) -> Iterator[Found]:
        body = _BODY.search(text)
        if body and (len(body[1]) >= 40 or body[1].endswith(b"=") or is_base64(body[1])):
            self._left = PATIENCE
            yield Found(body.start(1), body.end(1), "private_key")
        if _ENDS_KEY.search(text):
            self._open = ""

    def _in_block(self, text: bytes) -> Iterator[Found]:
        """Lines that are indented deeper than the name."""
        start = len(text) - len(text.lstrip(b" \t"))
        if start > self._indent:
            yield Found(start, len(text), "block")
        elif text.strip():
            self._open = ""

    def _in_manifest(self, text: bytes) -> Iterator[Found]:
        """Only its data are secret."""
        return iter(())

    def _in_data(self, text: bytes) -> Iterator[Found]:
        entry = _ENTRY.match(text)
        if entry and len(entry[1]) > self._indent:
            yield Found(entry.start(2), entry.end(2), "secret")
        elif text.strip() and len(text) - len(text.lstrip(b" \t")) <= self._indent:
            self._open = ""

    def _in_login(self, text: bytes) -> Iterator[Found]:
        if password := _LOGIN_PASSWORD.match(text):
            yield Found(password.start(1), password.end(1), "password")
        if not _BEGINS_LOGIN.match(text):
            self._open = ""

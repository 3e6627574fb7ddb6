"""Stable names in place of identifiers, their key, and the vault that maps them back.

The same identifier gets the same pseudonym in every field and every case of an organisation, so that joins survive; without the key
none can be computed, so an identifier can't be guessed and tried.
"""

import base64
import contextlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from nl_forensics.errors import ParameterError
from nl_forensics.redact.shapes import address_of

KEY_BYTES = 32


def normal_form(label: str, value: str) -> str:
    """One spelling for one identifier: `Joe@Example.com` is joe@example.com, `::ffff:192.0.2.1` is 192.0.2.1."""
    if label == "email":
        return unquote(value).strip().casefold()
    if label == "ip":
        return str(address_of(value) or value)
    return value.strip()


def pseudonym(key: bytes, label: str, normal: str) -> str:
    """`email~k3f9q2mzx4abc`: 64 bits of a keyed hash of the class and the normal form."""
    digest = hmac.digest(key, f"{label}\0{normal}".encode(), "sha256")[:8]
    return f"{label}~{base64.b32encode(digest).decode().rstrip('=').lower()}"


def keyed_digest(key: bytes, value: str) -> str:
    """Equal for equal values, within one key: a dictionary can't be tried without it."""
    return hmac.digest(key, b"digest\0" + value.encode(errors="replace"), "sha256")[:8].hex()


def organisation_key(home: Path) -> bytes:
    """The key of this machine's pseudonyms, created on first use. Copy the file to compare cases that were collected elsewhere."""
    path = home / "pseudonym.key"
    if not path.exists():
        _create(path, secrets.token_bytes(KEY_BYTES))
    _refuse_if_others_can_read(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ParameterError(
            f"{path} holds {len(key)} bytes instead of {KEY_BYTES}: restore it, or move it away for a new key"
        )
    return key


def _create(path: Path, content: bytes) -> None:
    """Write a file that only we can read, whole or not at all; if another process was faster, its file stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()


def _refuse_if_others_can_read(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & 0o077:
        raise ParameterError(f"{path} can be read by others (mode {mode & 0o777:o}): chmod 600 {path}")


class Vault:
    """Maps pseudonyms back: an append-only file outside every case, one JSON object per line."""

    def __init__(self, path: Path):
        self._path = path
        self._known: dict[str, str] | None = None

    def remember(self, pseudonym: str, original: str) -> None:
        """Record the original of a pseudonym once."""
        known = self._read()
        if pseudonym not in known:
            known[pseudonym] = original
            self._append({"pseudonym": pseudonym, "original": original})

    def reveal(self, pseudonym: str) -> str | None:
        """The original of a pseudonym, if this vault has it."""
        return self._read().get(pseudonym)

    def _read(self) -> dict[str, str]:
        if self._known is None:
            self._known = dict(self._lines()) if self._path.exists() else {}
        return self._known

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Skips incomplete lines of a killed writer: their pseudonyms were never recorded."""
        _refuse_if_others_can_read(self._path)
        for line in self._path.read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                yield entry["pseudonym"], entry["original"]

    def _append(self, entry: dict[str, str]) -> None:
        """One write per line, preceded by a line break, so that processes can share the file."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, b"\n" + json.dumps(entry).encode())
        finally:
            os.close(handle)

"""Who asked what, when, and what came back: a hash chain while a round is open, a BagIt bag when it is sealed.

A round is a folder. `custody.jsonl` has one line per event, and each line names the SHA-256 of the line before it. Sealing writes
the manifests of RFC 8493, so that `sha256sum -c`, any BagIt tool, or `verify` here can tell whether anything was altered.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from nl_forensics.errors import CaseError

CHAIN = "custody.jsonl"
MANIFEST = "manifest-sha256.txt"
TAGS = "tagmanifest-sha256.txt"
BAGIT = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_synced(path: Path, text: str) -> None:
    """Write a whole file, or none: a reader never sees half of it, not even after a power cut."""
    draft = path.with_name(f"{path.name}.part")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _line(event: dict) -> str:
    return json.dumps(event, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


class Chain:
    """The custody of one round, append-only. `after`: what the first line is chained to: the seal of the round before."""

    def __init__(self, folder: Path, after: str = ""):
        self._path = folder / CHAIN
        events = list(self.events())
        self._last = _digest(_line(events[-1])) if events else after
        self._count = len(events)

    def mend_torn_tail(self) -> None:
        """A killed writer can leave half a line at the end: it was never acknowledged, so it is cut off."""
        if self._path.exists() and not (text := self._path.read_bytes()).endswith(b"\n"):
            write_synced(self._path, text[: text.rfind(b"\n") + 1].decode())

    def append(self, event: str, **facts) -> None:
        """Add an event, and return only when it is on the disk."""
        line = _line({"seq": self._count, "at": utc_now(), "event": event, "prev": self._last} | facts)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._last, self._count = _digest(line), self._count + 1

    def events(self) -> Iterator[dict]:
        """Every event in order. Raises CaseError where a line can't be read."""
        if not self._path.exists():
            return
        whole, _, _torn = self._path.read_text(encoding="utf-8").rpartition("\n")
        for number, line in enumerate(whole.split("\n") if whole else [], 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise CaseError(
                    f"{self._path}, line {number}: is not JSON: the chain of custody was altered"
                ) from error


def seal(folder: Path, identifier: str, agent: str) -> str:
    """Make the round a BagIt bag, and return its seal: the SHA-256 of the tag manifest, which names the whole round."""
    payload = sorted(path for path in (folder / "data").rglob("*") if path.is_file())
    octets = sum(path.stat().st_size for path in payload)
    bag_info = {
        "Bagging-Date": utc_now()[:10],
        "Bag-Software-Agent": agent,
        "External-Identifier": identifier,
        "Payload-Oxum": f"{octets}.{len(payload)}",
    }
    write_synced(folder / "bagit.txt", BAGIT)
    write_synced(folder / "bag-info.txt", "".join(f"{name}: {value}\n" for name, value in bag_info.items()))
    write_synced(folder / MANIFEST, _manifest(folder, payload))
    tags = sorted(path for path in folder.iterdir() if path.is_file() and path.name != TAGS)
    write_synced(folder / TAGS, _manifest(folder, tags))
    return seal_of(folder)


def _manifest(folder: Path, files: list[Path]) -> str:
    return "".join(f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)


def seal_of(folder: Path) -> str:
    """The seal of a round, or "" while it is open."""
    return sha256(folder / TAGS) if (folder / TAGS).exists() else ""


def verify(folder: Path, after: str) -> list[str]:
    """Everything that is wrong with a sealed round, one line each; empty when it is whole.

    Checks both manifests, that there is no file beside theirs and no link, every link of the chain, and that every recorded
    answer is the one that custody names. `after` is the seal of the round before.
    """
    if not (folder / TAGS).is_file():
        return [f"{folder.name}: is not sealed: run `nl-forensics collect` again to finish it"]
    try:
        listed = _read_manifest(folder / TAGS) | _read_manifest(folder / MANIFEST)
        faults = [fault for path, digest in listed.items() if (fault := _fault(folder, path, digest))]
        return faults + _strangers(folder, listed) + _chain_faults(folder, after, listed)
    except (CaseError, OSError, UnicodeDecodeError) as error:
        return [f"{folder.name}: {error}"]


def _read_manifest(path: Path) -> dict[str, str]:
    """{path: digest}. A path that leaves the round is refused."""
    listed = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        if not name or name.startswith("/") or ".." in Path(name).parts:
            raise CaseError(f"{path.name}: can't be read: {line[:80]!r}")
        listed[name] = digest
    return listed


def _fault(folder: Path, name: str, digest: str) -> str:
    path, shown = folder / name, f"{folder.name}/{name}"
    if path.is_symlink():
        return f"{shown}: was replaced by a link"
    if not path.is_file():
        return f"{shown}: is missing"
    return "" if sha256(path) == digest else f"{shown}: was altered after it was recorded"


def _strangers(folder: Path, listed: dict[str, str]) -> list[str]:
    """Files and links that nobody recorded. The tag manifest can't list itself."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = (path.relative_to(folder).as_posix() for path in found)
    return [
        f"{folder.name}/{name}: was added, nobody recorded it" for name in sorted(names) if name not in {*listed, TAGS}
    ]


def _chain_faults(folder: Path, after: str, listed: dict[str, str]) -> list[str]:
    faults, last, answers = [], after, {}
    for number, event in enumerate(Chain(folder).events()):
        if event.get("prev") != last or event.get("seq") != number:
            faults.append(f"{folder.name}/{CHAIN}, line {number + 1}: the chain is broken here")
        last = _digest(_line(event))
        if event.get("file"):
            answers[event["file"]] = event["sha256"]
    payload = {name: digest for name, digest in listed.items() if name.startswith("data/")}
    unlike = sorted(name for name in payload.keys() | answers.keys() if payload.get(name) != answers.get(name))
    return faults + [f"{folder.name}/{name}: custody and manifest differ" for name in unlike]

"""The chain of custody: what was asked, when, and what came back; a hash chain while a round is open, a BagIt bag when it is sealed.

A round is a folder. `custody.jsonl` has one line per event, and each line names the SHA-256 of the line before it. Sealing writes
the manifests of RFC 8493, so that `sha256sum -c`, any BagIt tool, or `verify` here can show whether anything was altered.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from nl_forensics import private
from nl_forensics.errors import CaseError
from nl_forensics.evidence import reading

CHAIN = "custody.jsonl"
MANIFEST = "manifest-sha256.txt"
TAGS = "tagmanifest-sha256.txt"
BAGIT = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def sha256(path: Path) -> str:
    return hashlib.sha256(reading.content(path)).hexdigest()


def write_synced(path: Path, text: str) -> None:
    """Write a whole file, or none: a reader never sees half of it, not even after a power cut."""
    draft = path.with_name(f"{path.name}.part")
    with private.opened(draft, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def _line(event: dict) -> str:
    text = json.dumps(event, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()  # a note may hold bytes that are no text


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


class Chain:
    """The custody of one round, append-only. `after`: what the first line is chained to: the seal of the round before."""

    def __init__(self, folder: Path, after: str = ""):
        self._path = folder / CHAIN
        events = list(self.events())
        self._last = _digest(_line(events[-1])) if events else after
        self._count = len(events)

    def drop_partial_line(self) -> None:
        """A killed writer can leave half a line at the end: it was never acknowledged, so it is cut off."""
        if self._path.exists() and not (text := reading.content(self._path)).endswith(b"\n"):
            write_synced(self._path, text[: text.rfind(b"\n") + 1].decode())

    def append(self, event: str, **facts) -> None:
        """Add an event, and return only when it is on the disk."""
        line = _line({"seq": self._count, "at": utc_now(), "event": event, "prev": self._last} | facts)
        with private.opened(self._path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._last, self._count = _digest(line), self._count + 1

    def events(self) -> Iterator[dict]:
        """Every event in order. Raises CaseError where a line can't be read."""
        if not self._path.is_file():
            return
        whole, _, _torn = reading.content(self._path).rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if whole else [], 1):
            try:
                event = reading.event(line)
                if _line(event).encode() != line:
                    raise ValueError("it is not written as we write it")
            except ValueError as error:
                why = f"is no event, {error}: the chain of custody was altered"
                raise CaseError(f"{self._path}, line {number}: {why}") from None
            yield event


def seal(folder: Path, identifier: str, agent: str) -> str:
    """Make the round a BagIt bag, and return its seal: the SHA-256 of the tag manifest, which names the whole round."""
    for leftover in folder.glob("*.part"):
        leftover.unlink()  # of a writer that was killed
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


def check_tags(folder: Path) -> None:
    """Raises CaseError where the question, the custody or a manifest of a sealed round was altered, without reading the answers."""
    if faults := _listed_faults(folder, TAGS):
        raise CaseError(
            f"{faults[0]}: nothing is concluded from an altered case: `nl-forensics verify` lists every fault"
        )


def verify(folder: Path, after: str) -> list[str]:
    """Everything that is wrong with a sealed round, one line each; empty when it is whole.

    Checks both manifests, that there is no file beside theirs and no link, every link of the chain, and that every recorded
    answer is the one that custody names. `after` is the seal of the round before.
    """
    if folder.is_symlink():
        return [f"{folder.name}: was replaced by a link"]
    if (folder / TAGS).is_symlink():
        return [f"{folder.name}/{TAGS}: was replaced by a link"]
    if not (folder / TAGS).is_file():
        return [f"{folder.name}/{TAGS}: is missing: the round is not sealed, `nl-forensics collect` finishes it"]
    faults = _listed_faults(folder, TAGS) + _listed_faults(folder, MANIFEST)
    return list(dict.fromkeys([*faults, *_unlisted_files(folder), *_chain_faults(folder, after)]))


def _read_manifest(folder: Path, name: str) -> dict[str, str]:
    """{path: digest}. Raises CaseError for a line that is none, and for a path that leaves the round."""
    try:
        lines = reading.content(folder / name).decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(f"{folder.name}/{name}: can't be read: {error}") from None
    listed = {}
    for number, line in enumerate(lines[:-1], 1):
        digest, _, path = line.partition("  ")
        if not re.fullmatch("[0-9a-f]{64}", digest) or not path or path.startswith("/") or ".." in Path(path).parts:
            raise CaseError(f"{folder.name}/{name}, line {number}: is no line of a manifest: it was altered")
        listed[path] = digest
    if lines[-1]:
        raise CaseError(f"{folder.name}/{name}: its last line is cut off")
    return listed


def _listed_faults(folder: Path, manifest: str) -> list[str]:
    try:
        listed = _read_manifest(folder, manifest)
    except CaseError as error:
        return [str(error)]
    return [fault for path, digest in listed.items() if (fault := _fault(folder, path, digest, manifest))]


def _fault(folder: Path, name: str, digest: str, manifest: str) -> str:
    """A difference does not show which of the two was altered, so both are named."""
    path, shown = folder / name, f"{folder.name}/{name}"
    if path.is_symlink():
        return f"{shown}: was replaced by a link"
    if not path.is_file():
        return f"{shown}: is missing, though {manifest} lists it"
    try:
        return "" if sha256(path) == digest else f"{shown}: was altered, it is not what {manifest} says"
    except CaseError:
        return f"{shown}: was altered, it is larger than any recorded file"
    except OSError as error:
        return f"{shown}: can't be read: {error.strerror}"


def _unlisted_files(folder: Path) -> list[str]:
    """Files and links that no manifest lists. The tag manifest can't list itself."""
    try:
        listed = {TAGS, *_read_manifest(folder, TAGS), *_read_manifest(folder, MANIFEST)}
    except CaseError:
        return []  # a fault that is reported already
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = (path.relative_to(folder).as_posix() for path in found)
    return [f"{folder.name}/{name}: was added, no manifest lists it" for name in sorted(names) if name not in listed]


def _chain_faults(folder: Path, after: str) -> list[str]:
    """Where the chain is broken, and answers that are not those which it names."""
    where = f"{folder.name}/{CHAIN}"
    try:
        events = list(Chain(folder).events())
        payload = {
            name: digest for name, digest in _read_manifest(folder, MANIFEST).items() if name.startswith("data/")
        }
    except CaseError as error:
        return [str(error)]
    faults, last = [], after
    for number, event in enumerate(events):
        if event.get("prev") != last or event.get("seq") != number:
            before = "the line before it" if number else "the seal of the round before: that round was rewritten"
            faults.append(f"{where}, line {number + 1}: the chain is broken here, it does not follow {before}")
        last = _digest(_line(event))
    if not events or events[-1]["event"] != "sealed":
        faults.append(f"{where}: the last line is not the seal: lines were removed or added")
    answers = {event["file"]: event.get("sha256") for event in events if isinstance(event.get("file"), str)}
    unlike = sorted(name for name in payload.keys() | answers.keys() if payload.get(name) != answers.get(name))
    return faults + [f"{folder.name}/{name}: custody and {MANIFEST} differ about it" for name in unlike]

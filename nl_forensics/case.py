"""What was answered: a folder of sealed rounds, from which every table, chart and finding is computed."""

import fcntl
import getpass
import gzip
import json
import os
import platform as machine
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from nl_forensics import custody, sources
from nl_forensics.errors import CaseError
from nl_forensics.parameters import Parameters, home
from nl_forensics.redact import Redactor, Vault, organisation_key

DEMO = Path(__file__).parent / "demo"
PARAMETERS = "parameters.json"
LOCK = ".open"


class Gap(NamedTuple):
    """A part of a table that was not seen. `closes`: what would close it."""

    source: str
    instance: str
    unseen: str
    closes: str
    window: str = "incident"


@dataclass(frozen=True)
class Answer:
    """One line of custody about one question: what was recorded, or why there is nothing.

    asked_at    when the answer was given, corrected to the clock of the server that gave it
    file        the recorded answer, relative to the case; "" when there is none
    error       kind of the SourceError (`NotReachable`, …); "" when the question was answered
    """

    source: str
    instance: str
    asked_at: str
    file: str = ""
    sha256: str = ""
    rows: int = 0
    error: str = ""
    why: str = ""
    closes: str = ""
    proof: str = ""
    partial: tuple[tuple[str, str, str], ...] = ()
    by_hand: bool = False

    @property
    def gaps(self) -> list[Gap]:
        """What this answer doesn't show."""
        refused = [Gap(self.source, self.instance, self.why, self.closes)] if self.error else []
        return refused + [Gap(self.source, self.instance, *part) for part in self.partial]

    @property
    def is_whole(self) -> bool:
        return not self.error and not self.partial


@dataclass
class Recording:
    """An answer while it arrives: every record is redacted, then written, compressed and flushed, in that order."""

    chain: custody.Chain
    folder: Path
    redactor: Redactor
    source: str
    instance: str
    path: Path
    rows: int = 0
    parts: list[tuple[str, str, str]] = field(default_factory=list)
    proof: str = ""

    def __post_init__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._before = Counter(self.redactor.counts)
        self._raw = self._draft.open("wb")
        self._zip = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0)

    @property
    def _draft(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")

    def write(self, items: Iterable) -> None:
        """Records, and `Partial` and `Proof` beside them. Flushed, so that a killed collection keeps them."""
        for item in items:
            if isinstance(item, sources.Partial):
                self.parts.append((self.redactor.text(item.unseen), item.closes, item.window))
            elif isinstance(item, sources.Proof):
                self.proof = self.redactor.text(item.shown_by)
            else:
                line = json.dumps(self.redactor.record(item), sort_keys=True, ensure_ascii=False, default=str)
                self._zip.write(line.encode("utf-8", "replace") + b"\n")
                self.rows += 1
        self._zip.flush()

    def close(self, asked_at: str, error: str = "", why: str = "", closes: str = "", **facts) -> None:
        """Seal the answer into the chain of custody. A question that failed before its first record leaves no file."""
        self._zip.close()
        os.fsync(self._raw.fileno())
        self._raw.close()
        kept = {}
        if self.rows or not error:
            self._draft.rename(self.path)
            name = self.path.relative_to(self.folder).as_posix()
            kept = {"file": name, "sha256": custody.sha256(self.path), "bytes": self.path.stat().st_size}
        else:
            self._draft.unlink()
        self.chain.append(
            "answered",
            source=self.source,
            instance=self.instance,
            asked_at=asked_at,
            rows=self.rows,
            partial=self.parts,
            proof=self.proof,
            error=error,
            why=self.redactor.text(why),
            closes=closes,
            redacted=dict(self.redactor.counts - self._before),
            **kept,
            **facts,
        )


class Round:
    """One round of questions: open while it is collected, then sealed for ever."""

    def __init__(self, folder: Path, after: str = ""):
        self.folder = folder
        self._after = after

    @property
    def seal(self) -> str:
        """What names the whole round; "" while it is open."""
        return custody.seal_of(self.folder)

    def events(self) -> Iterator[dict]:
        return custody.Chain(self.folder, self._after).events()

    def answers(self) -> Iterator[Answer]:
        """Every answer and refusal in the order of recording."""
        names = set(Answer.__dataclass_fields__)
        for event in self.events():
            if event["event"] == "answered":
                facts = {name: value for name, value in event.items() if name in names}
                file = f"{self.folder.name}/{event['file']}" if event.get("file") else ""
                yield Answer(**facts | {"file": file, "partial": tuple(map(tuple, event["partial"]))})

    def best_answers(self) -> dict[tuple[str, str], Answer]:
        """One answer per question: the last with records, else the last refusal.

        An attempt that was cut short has records and an error: it still proves problems where a later attempt was refused.
        """
        best: dict[tuple[str, str], Answer] = {}
        for answer in self.answers():
            key = answer.source, answer.instance
            if answer.file or key not in best or not best[key].file:
                best[key] = answer
        return best


class OpenRound(Round):
    """The one writer of a round. A second one is refused while the first lives."""

    def __init__(self, folder: Path, after: str, redactor: Redactor):
        super().__init__(folder, after)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder.parent / LOCK)
        self.redactor = redactor
        self.chain = custody.Chain(folder, after)
        self.chain.mend_torn_tail()

    def record(self, source: str, instance: str) -> Recording:
        """Begin to record an answer. Never overwrites: a second attempt has a file of its own."""
        place = self.folder / "data" / source
        attempts = (place / f"{instance}{n}.ndjson.gz" for n in ["", *(f".{again}" for again in range(2, 1000))])
        path = next(path for path in attempts if not path.exists())
        return Recording(self.chain, self.folder, self.redactor, source, instance, path)

    def adopt_orphans(self) -> None:
        """Keep what a killed collection had received: it is recorded as a cut answer, to be asked again."""
        known = {event["file"] for event in self.events() if event.get("file")}
        for path in sorted((self.folder / "data").rglob("*")):
            if path.is_file() and path.relative_to(self.folder).as_posix() not in known:
                self._adopt(path)

    def _adopt(self, path: Path) -> None:
        records = list(_readable(path))
        path.unlink()
        source, instance = path.parent.name, path.name.split(".")[0]
        recording = self.record(source, instance)
        recording.write(records)
        recording.close(custody.utc_now(), "Interrupted", "the collection was killed while it asked", "collect again")

    def finish(self) -> str:
        """Seal the round for ever, and return its seal."""
        self.chain.append("sealed", answers=sum(1 for _ in self.answers()))
        digest = custody.seal(self.folder, self.folder.parent.name, f"nl_forensics {version('nl_forensics')}")
        self.close()
        return digest

    def close(self) -> None:
        """Let go of the round without sealing it: it can be resumed."""
        os.close(self._lock)
        (self.folder.parent / LOCK).unlink(missing_ok=True)


def _locked(path: Path) -> int:
    """An exclusive lock that the kernel drops when we die."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise CaseError(
            f"{path.parent} is being collected by another process: wait for it, or name another case"
        ) from None
    return lock


def _readable(path: Path) -> Iterator[dict]:
    """The whole records at the beginning of a file that may be cut anywhere."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        try:
            for line in lines:
                yield json.loads(line)
        except (EOFError, OSError, ValueError):
            return


class Case:
    """An investigated incident: its question, and everything that was answered.

    Raises CaseError when the folder holds no case.
    """

    def __init__(self, folder: Path | str, upto: int | None = None):
        self.folder = Path(folder)
        self._upto = upto
        if not self.rounds:
            raise CaseError(f"{self.folder} holds no case: run `nl-forensics collect PARAMETERS` first")

    @cached_property
    def rounds(self) -> list[Round]:
        """Every round, oldest first."""
        found, after = [], ""
        for number in _round_numbers(self.folder)[: self._upto]:
            found.append(Round(self.folder / str(number), after))
            after = custody.seal_of(self.folder / str(number))
        return found

    def before(self) -> "Case | None":
        """The same case as it stood one round ago."""
        return Case(self.folder, len(self.rounds) - 1) if len(self.rounds) > 1 else None

    @cached_property
    def parameters(self) -> Parameters:
        """The question as it was resolved when the newest round was opened, platform and limits with it."""
        path = self.rounds[-1].folder / PARAMETERS
        try:
            return Parameters.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CaseError(f"{path} can't be read: {error}") from error

    @property
    def incident(self):
        return self.parameters.incident

    @cached_property
    def answers(self) -> dict[str, dict[str, Answer]]:
        """{source: {instance: answer}}, of the newest round that asked; a round inherits what it didn't ask."""
        newest: dict[str, dict[str, Answer]] = {}
        for step in self.rounds:
            for (source, instance), answer in step.best_answers().items():
                newest.setdefault(source, {})[instance] = answer
        return newest

    def gaps(self, source: str) -> list[Gap]:
        """What the table of a source doesn't show; one entry per cause."""
        return [gap for answer in self.answers.get(source, {}).values() for gap in answer.gaps]

    def asked_at(self, source: str) -> pd.Timestamp:
        """When a source was last asked, UTC, by the server's clock."""
        return max(pd.Timestamp(answer.asked_at) for answer in self.answers[source].values())

    def records(self, answer: Answer) -> list[dict]:
        """The recorded answer as it was given. Raises CaseError when it was altered."""
        path = self.folder / answer.file
        if not path.is_file() or path.is_symlink() or custody.sha256(path) != answer.sha256:
            raise CaseError(
                f"{answer.file} was altered or removed after it was recorded: run `nl-forensics verify {self.folder}`"
            )
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def table(self, name: str) -> pd.DataFrame:
        """The rows of one source over all its instances, with `instance` and `asked_at` (UTC, the server's clock).

        Raises CaseError when nothing was recorded or a file was altered, BadAnswer when it can't be read.
        """
        source = sources.load()[name]
        recorded = [answer for answer in self.answers.get(name, {}).values() if answer.file]
        if not recorded:
            raise CaseError(f"{name} was not recorded")
        frames = [
            source.table(self.records(answer)).assign(
                instance=answer.instance, asked_at=pd.Timestamp(answer.asked_at).as_unit("us")
            )
            for answer in recorded
        ]
        return pd.concat(frames, ignore_index=True)

    def coverage(self) -> pd.DataFrame:
        """One row per question: rows recorded, and what was not seen."""
        rows = []
        for name, instances in self.answers.items():
            for answer in instances.values():
                gaps = "; ".join(gap.unseen for gap in answer.gaps)
                closes = "; ".join(dict.fromkeys(gap.closes for gap in answer.gaps if gap.closes))
                rows.append([name, answer.instance, answer.rows, gaps, closes])
        return pd.DataFrame(rows, columns=["source", "instance", "rows", "not seen", "what would close it"])

    def notes(self) -> list[dict]:
        """What people wrote into the case, oldest first."""
        return [event for step in self.rounds for event in step.events() if event["event"] == "note"]

    def verify(self) -> list[str]:
        """Everything that is wrong with the case, one line each; empty when it is whole."""
        faults, after = _strangers(self.folder), ""
        for step in self.rounds:
            faults += custody.verify(step.folder, after)
            after = custody.seal_of(step.folder)
        return faults

    def note(self, text: str) -> None:
        """Add a time-stamped human note: to the open round, or as a sealed round of its own."""
        with_round(
            self.folder,
            self.parameters,
            lambda step: step.chain.append("note", by=_actor(), text=step.redactor.text(text)),
        )

    def reveal(self, pseudonym: str) -> str:
        """What a pseudonym stands for, from the vault outside the case; that it was asked is noted in custody."""
        original = Vault(home() / "vault.jsonl").reveal(pseudonym)
        if original is None:
            raise CaseError(f"{pseudonym} is not in the vault of this machine ({home()}): ask who collected the case")
        with_round(
            self.folder, self.parameters, lambda step: step.chain.append("revealed", by=_actor(), pseudonym=pseudonym)
        )
        return original


def with_round(folder: Path, parameters: Parameters, write: Callable[[OpenRound], None]) -> None:
    """Write into the open round of a case, or into a new one that is sealed at once."""
    was_open = not _latest_is_sealed(folder)
    step = open_round(folder, parameters)
    write(step)
    step.close() if was_open else step.finish()


def open_round(folder: Path, parameters: Parameters) -> OpenRound:
    """The round to write to: the one that was left open, to be resumed, else a new one after the last seal."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = _round_numbers(folder)
    resumed = bool(numbers) and not _latest_is_sealed(folder)
    number = numbers[-1] if resumed else (numbers[-1] if numbers else 0) + 1
    after = custody.seal_of(folder / str(number - 1)) if number > 1 else ""
    step = OpenRound(
        folder / str(number), after, Redactor(organisation_key(home()), Vault(home() / "vault.jsonl").remember)
    )
    asked = parameters.model_dump_json(indent=1)
    if not (step.folder / PARAMETERS).exists():
        custody.write_synced(step.folder / PARAMETERS, asked + "\n")
    step.chain.append(
        "resumed" if resumed else "opened",
        case=parameters.incident.id,
        by=_actor(),
        software=f"nl_forensics {version('nl_forensics')}, Python {machine.python_version()}",
    )
    step.adopt_orphans()
    return step


def _actor() -> str:
    """Who asks: a job says it in NL_FORENSICS_ACTOR, a person is the user of this machine."""
    return os.environ.get("NL_FORENSICS_ACTOR") or f"{getpass.getuser()}@{socket.gethostname()}"


def _round_numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if re.fullmatch(r"[1-9]\d*", path.name) and path.is_dir())


def _latest_is_sealed(folder: Path) -> bool:
    numbers = _round_numbers(folder)
    return bool(numbers) and bool(custody.seal_of(folder / str(numbers[-1])))


def _strangers(folder: Path) -> list[str]:
    """Whatever lies beside the rounds."""
    names = (path.name for path in folder.iterdir())
    return [
        f"{name}: was added beside the rounds" for name in sorted(names) if not re.fullmatch(rf"[1-9]\d*|{LOCK}", name)
    ]

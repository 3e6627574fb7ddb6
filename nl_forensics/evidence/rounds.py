"""One round of questions and its recorded answers: open while it is collected, then sealed for ever."""

import fcntl
import getpass
import gzip
import json
import os
import platform as machine
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from nl_forensics import private, sources
from nl_forensics.errors import CaseError, ParameterError
from nl_forensics.evidence import custody, reading
from nl_forensics.inputs.parameters import Parameters, home
from nl_forensics.redact import Redactor, Vault, organisation_key, shortened
from nl_forensics.sanitize import printable

PARAMETERS = "parameters.json"
QUESTION = "question"  # the event of custody from which on the round is about another window or scope
LOCK = ".open"
MAX_WHY = 600  # characters of a reason, counted after redaction
RECORDED_REMEDY = "closes"  # the key of a remedy in custody: cases that were sealed keep it


class Gap(NamedTuple):
    """A part of a table that is missing. `remedy`: what would close the gap."""

    source: str
    instance: str
    unseen: str
    remedy: str
    window: str = "incident"

    @property
    def in_words(self) -> str:
        """`redis_slowlog of main: …`"""
        return f"{self.source}{f' of {self.instance}' if self.instance else ''}: {self.unseen}"


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
    remedy: str = ""
    proof: str = ""
    partial: tuple[tuple[str, str, str], ...] = ()

    @property
    def gaps(self) -> list[Gap]:
        """The data gaps of this answer."""
        refused = [Gap(self.source, self.instance, self.why, self.remedy)] if self.error else []
        parts = [Gap(self.source, self.instance, *part) for part in self.partial]
        return [gap._replace(unseen=printable(gap.unseen), remedy=printable(gap.remedy)) for gap in refused + parts]

    @property
    def is_whole(self) -> bool:
        return not self.error and not self.partial


@dataclass
class Recording:
    """An answer while it arrives: every record is redacted, derived, written, compressed and flushed, in that order."""

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
        private.make_folder(self.path.parent)
        self._before = Counter(self.redactor.counts)
        self._redact = self.redactor.stream()
        self._draft = draft_of(self.path)
        self._raw = private.opened(self._draft, "wb")
        self._zip = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0)

    def write(self, items: Iterable) -> None:
        """Records, and `Partial` and `Proof` beside them. Flushed, so that a killed collection keeps them."""
        asked = sources.load()[self.source]
        for item in items:
            if isinstance(item, sources.Partial):
                self.parts.append((self._in_short(item.unseen), item.remedy, item.window))
            elif isinstance(item, sources.Proof):
                self.proof = self.redactor.text(item.shown_by)
            else:
                self._keep(asked.recorded(item, self._redact))
        self._zip.flush()

    def recover(self, records: Iterable[dict]) -> None:
        """Records that an earlier process had redacted and derived."""
        for record in records:
            self._keep(self.redactor.record(record))

    def _keep(self, record: dict) -> None:
        line = json.dumps(record, sort_keys=True, ensure_ascii=False, default=str)
        self._zip.write(line.encode("utf-8", "replace") + b"\n")
        self.rows += 1

    def _in_short(self, text: str) -> str:
        return shortened(self.redactor.text(text), MAX_WHY)

    def close(self, asked_at: str, error: str = "", why: str = "", remedy: str = "", **facts) -> None:
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
            why=self._in_short(why),
            **{RECORDED_REMEDY: remedy},
            redacted=dict(self.redactor.counts - self._before),
            **kept,
            **facts,
        )


def draft_of(path: Path) -> Path:
    """Where an answer is written while it arrives."""
    return path.with_name(f"{path.name}.part")


class Round:
    """One round of questions: open while it is collected, then sealed for ever."""

    def __init__(self, folder: Path, after: str = ""):
        self.folder = folder
        self._after = after

    @property
    def seal(self) -> str:
        """The digest of the whole round; "" while it is open."""
        return custody.seal_of(self.folder)

    @property
    def parameters(self) -> Parameters:
        """The question, as it was resolved. Raises CaseError when it can't be read."""
        self._refuse_if_altered()
        path = self.folder / PARAMETERS
        try:
            return Parameters.model_validate(reading.value(reading.content(path)))
        except (OSError, ValueError) as error:
            raise CaseError(f"{path} can't be read: {' '.join(str(error).split())[:200]}") from None

    def _refuse_if_altered(self) -> None:
        if self.seal:
            custody.check_tags(self.folder)

    def events(self) -> Iterator[dict]:
        """Its custody. Raises CaseError when it was altered after the round was sealed."""
        self._refuse_if_altered()
        return custody.Chain(self.folder, self._after).events()

    def answers(self) -> Iterator[Answer]:
        """Every answer and refusal in the order of recording."""
        yield from self._answers_in(self.events())

    def _answers_in(self, events: Iterable[dict]) -> Iterator[Answer]:
        names = set(Answer.__dataclass_fields__)
        for event in events:
            if event["event"] == "answered":
                facts = {name: value for name, value in event.items() if name in names}
                facts["remedy"] = event.get(RECORDED_REMEDY, "")
                file = f"{self.folder.name}/{event['file']}" if event.get("file") else ""
                yield Answer(**facts | {"file": file, "partial": tuple(map(tuple, event["partial"]))})

    def best_answers(self) -> dict[tuple[str, str], Answer]:
        """One answer per question: the last with records, else the last refusal; none from before the question was changed.

        An attempt that was cut short has records and an error: it still proves problems where a later attempt was refused.
        """
        best: dict[tuple[str, str], Answer] = {}
        events = list(self.events())
        changed = max((number for number, event in enumerate(events) if event["event"] == QUESTION), default=0)
        for answer in self._answers_in(events[changed:]):
            key = answer.source, answer.instance
            if answer.file or key not in best or not best[key].file:
                best[key] = answer
        return best


class OpenRound(Round):
    """The one writer of a round. A second one is refused while the first is alive."""

    def __init__(self, folder: Path, after: str, redactor: Redactor, lock: int):
        super().__init__(folder, after)
        private.make_folder(folder / "data")
        self._lock = lock
        self.redactor = redactor
        self.chain = custody.Chain(folder, after)
        self.chain.drop_partial_line()
        # A file alone is no round: its writer may have been killed before the first line.
        self.resumed = any(self.chain.events())

    def record(self, source: str, instance: str) -> Recording:
        """Begin to record an answer. Never overwrites: a second attempt has a file of its own."""
        place = self.folder / "data" / source
        attempts = (place / f"{instance}{n}.ndjson.gz" for n in ["", *(f".{again}" for again in range(2, 1000))])
        path = next(path for path in attempts if not path.exists() and not draft_of(path).exists())
        return Recording(self.chain, self.folder, self.redactor, source, instance, path)

    def change_question(self, asked: Parameters, because: str) -> None:
        """Continue with another window or scope. Earlier answers stay recorded, for the earlier question."""
        self.chain.append(QUESTION, because=self.redactor.text(because), window=str(asked.incident))
        custody.write_synced(self.folder / PARAMETERS, asked.model_dump_json(indent=1) + "\n")

    def recover_interrupted(self) -> None:
        """Keep what a killed collection had received, as a cut answer that is collected again."""
        known = {event["file"] for event in self.events() if event.get("file")}
        for path in sorted((self.folder / "data").rglob("*")):
            if path.is_file() and path.relative_to(self.folder).as_posix() not in known:
                self._recover(path)

    def _recover(self, path: Path) -> None:
        """Into a file of its own, and only then is the leftover removed: this process may be killed, too."""
        source, instance = path.parent.name, path.name.split(".")[0]
        recording = self.record(source, instance)
        recording.recover(_readable(path))
        recording.close(
            custody.utc_now(),
            "Interrupted",
            "the collection was killed before the answer was complete",
            "collect again",
        )
        path.unlink()

    def finish(self) -> str:
        """Seal the round for ever, and return its seal."""
        self.chain.append("sealed", answers=sum(1 for _ in self.answers()))
        return custody.seal(self.folder, self.folder.parent.name, f"nl_forensics {version('nl_forensics')}")

    def close(self) -> None:
        """Release the round without sealing it: it can be resumed."""
        _unlock(self.folder.parent, self._lock)


def _locked(folder: Path) -> int:
    """An exclusive lock on a case, which the kernel releases when this process ends, however it ends.

    Not `filelock`: it leaves its file in the case, and the race between removal and the next collector would stay ours.
    """
    path = folder / LOCK
    while True:
        lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        except FileNotFoundError:
            pass  # the process before this one has just finished, and removed its file
        except BlockingIOError:
            os.close(lock)
            raise ParameterError(
                f"{folder} is being collected by another process: wait for it, or name another case"
            ) from None
        os.close(lock)


def _unlock(folder: Path, lock: int) -> None:
    (folder / LOCK).unlink(missing_ok=True)
    os.close(lock)


def _readable(path: Path) -> Iterator[dict]:
    """The whole records at the beginning of a file that may be cut anywhere."""
    with gzip.open(path, "rb") as lines:
        left = reading.MAX_ANSWER_BYTES
        try:
            while line := lines.readline(left + 1):
                left -= len(line)
                if left < 0 or not isinstance(record := reading.value(line), dict):
                    return
                yield record
        except (EOFError, OSError, ValueError, zlib.error):
            return


def open_round(folder: Path, parameters: Parameters, asks: Iterable[str] = ()) -> OpenRound:
    """The round to write to: the one that was left open, to be resumed, else a new one after the last seal.

    asks   the only sources that a new round asks; none: all of them

    Raises ParameterError when the case, or the round that is resumed, is about another question.
    """
    private.make_folder(folder)
    lock = _locked(folder)
    try:
        round_ = _latest_or_new(folder, parameters, lock)
        round_.chain.append(
            "resumed" if round_.resumed else "opened",
            case=parameters.incident.id,
            by=actor(),
            software=f"nl_forensics {version('nl_forensics')}, Python {machine.python_version()}",
            asks=sorted(asks),
        )
        round_.recover_interrupted()
    except BaseException:
        _unlock(folder, lock)
        raise
    return round_


def _latest_or_new(folder: Path, asked: Parameters, lock: int) -> OpenRound:
    numbers = round_numbers(folder)
    latest = Round(folder / str(numbers[-1])) if numbers else None
    if latest and (latest.seal or (latest.folder / PARAMETERS).exists()):
        asked = _same_question(latest, asked)
    number = numbers[-1] if latest and not latest.seal else len(numbers) + 1
    after = custody.seal_of(folder / str(number - 1)) if number > 1 else ""
    redactor = Redactor(organisation_key(home()), Vault(home() / "vault.jsonl").remember)
    round_ = OpenRound(folder / str(number), after, redactor, lock)
    custody.write_synced(round_.folder / PARAMETERS, asked.model_dump_json(indent=1) + "\n")
    return round_


def _same_question(latest: Round, asked: Parameters) -> Parameters:
    """The parameters of the next round: all rounds are about one incident, and one round has one window.

    A resumed round keeps its window, because `now` was resolved when it was opened.
    """
    case, known = latest.folder.parent, latest.parameters.incident
    if known.id != asked.incident.id:
        raise ParameterError(
            f"{case} is the case of incident {known.id}, not of {asked.incident.id}: name another case, with --case"
        )
    if latest.seal:
        return asked
    if difference := asked.incident.unlike(known, open_ended=True):
        raise ParameterError(
            f"{case} has an unfinished round about another question: {difference}; finish it with its own"
            " parameters, or name another case, with --case"
        )
    return asked.model_copy(update={"incident": known})


def actor() -> str:
    """The name of the asking user: NL_FORENSICS_ACTOR of a job, else the user of this machine."""
    if named := os.environ.get("NL_FORENSICS_ACTOR"):
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{machine.node()}"


def round_numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if re.fullmatch(r"[1-9]\d*", path.name) and path.is_dir())

"""Queries one instance of one system, in its own process, which can be killed at any time.

Its messages, in this order: `connecting` (first to the cluster, with a port-forward); `reached`, `unreached` or `no_way`; then for
each reading of each source `asking`, `records` …, and after the last reading `answered` or `refused`; `resting` before it waits for
the next reading; `finished`.
"""

import contextlib
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nl_forensics import private, sources
from nl_forensics.connect import load_client, open_forward, open_link
from nl_forensics.errors import NotReachable, SourceError
from nl_forensics.sources import Partial, Proof, Source

BATCH, BATCH_S = 200, 1.0  # a slow answer is sent in parts: they are kept, and extend the timeout
REPORT = "report this, with the case"


def work(
    pipe: Connection, scratch: Path, system: str, address: str, endpoint, cluster, names: list[str], incident, platform
) -> None:
    """The whole life of a worker process. `scratch`: where the temporary files of libraries and credential plugins lie."""
    _settle(scratch)

    def open_one():
        forward = None
        if cluster:
            pipe.send(("connecting", True))
            forward = open_forward(endpoint.via, cluster, platform.budget)
        pipe.send(("connecting", False))
        return open_link(system, address, endpoint, platform.budget, forward)

    threading.Thread(target=_die_with_the_collector, args=(pipe, scratch), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):  # the collector is gone
        load_client(system)
        asked = [source for source in sources.load().values() if source.name in names]
        _Asking(pipe, open_one, asked, incident, platform).run()


def _settle(scratch: Path) -> None:
    """A group of its own, which ends as one, credential plugins with it; and no terminal for them to write to."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)


def _die_with_the_collector(pipe: Connection, scratch: Path) -> None:
    """The collector never sends a message: its end of the pipe closes when it exits, even if it is killed."""
    try:
        pipe.recv()
    except (EOFError, OSError):
        private.remove(scratch)
        os.killpg(0, signal.SIGKILL)


class _Asking:
    """All readings of all sources over one link, on schedule."""

    def __init__(self, pipe: Connection, open_one: Callable, asked: list[Source], incident, platform):
        self.pipe, self.open_one = pipe, open_one
        self.link: Any = None
        self.asked, self.incident, self.platform = asked, incident, platform
        self.sent_bytes = {source.name: 0 for source in asked}

    def run(self) -> None:
        if not self._connect():
            return
        began, given_up = time.monotonic(), set()
        for due, source, reading in schedule(self.asked, self.platform.budget.readings_s):
            if source.name in given_up:
                continue
            if (rest := began + due - time.monotonic()) > 0:
                self.pipe.send(("resting", rest))
                time.sleep(rest)
            if trouble := self._read(source, reading):
                given_up.add(source.name)
                if trouble == NotReachable.__name__ and not self._connect():
                    return
        self.pipe.send(("finished",))

    def _connect(self) -> bool:
        """Connect, at the start and after each timeout: does the system still answer?"""
        try:
            if self.link:
                self.link.close()
            self.link = self.open_one()
        except SourceError as error:
            trouble = "no_way" if error.on_the_way else "unreached"
            self.pipe.send((trouble, type(error).__name__, str(error), error.remedy))
            return False
        except Exception as error:  # noqa: BLE001 (one of the two places: a bug is recorded as such)
            self.pipe.send(("unreached", "Bug", f"{type(error).__name__}: {error}", REPORT))
            return False
        self.pipe.send(("reached", self.link.identity, self.link.clock))
        return True

    def _read(self, source: Source, reading: int) -> str:
        """One reading of one source. Returns the kind of failure, after which its later readings are skipped; "" for none."""
        self.pipe.send(("asking", source.name))
        began = time.monotonic()
        try:
            items = one_reading(source, reading, self.link, self.incident, self.platform)
            self._send(source, self._bounded(source, items))
        except SourceError as error:
            return self._refused(source, type(error).__name__, str(error), error.remedy)
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 (one of the two places: a bug is recorded as such)
            return self._refused(source, "Bug", f"{type(error).__name__}: {error}", REPORT)
        if reading == source.readings - 1:
            took_ms = (time.monotonic() - began) * 1000
            self.pipe.send(("answered", source.name, _server_now(self.link).isoformat(), took_ms))
        return ""

    def _refused(self, source: Source, kind: str, why: str, remedy: str) -> str:
        self.pipe.send(("refused", source.name, kind, why, remedy))
        return kind

    def _bounded(self, source: Source, items: Iterator) -> Iterator:
        """Truncate an answer at its budget, and record that as a gap."""
        most = self.platform.budget.answer_bytes
        for item in items:
            if not isinstance(item, Partial | Proof):
                self.sent_bytes[source.name] += len(json.dumps(item, default=str))
                if self.sent_bytes[source.name] > most:
                    yield Partial(f"the rest: the answer is larger than {most:,} bytes", "raise budget.answer_bytes")
                    return
            yield item

    def _send(self, source: Source, items: Iterator) -> None:
        batch, sent = [], time.monotonic()
        for item in items:
            batch.append(item)
            if len(batch) == BATCH or time.monotonic() - sent > BATCH_S:
                self.pipe.send(("records", source.name, batch))
                batch, sent = [], time.monotonic()
        self.pipe.send(("records", source.name, batch))


def schedule(asked: list[Source], span_s: float) -> list[tuple[float, Source, int]]:
    """(seconds from now, source, reading), soonest first; of the same moment, in the order of the sources."""
    moments = [
        (reading * span_s / max(1, source.readings - 1), source, reading)
        for source in asked
        for reading in range(source.readings)
    ]
    return sorted(moments, key=lambda moment: moment[0])


def readings(source: Source, link, incident, platform) -> Iterator:
    """All readings of one source, on schedule."""
    began = time.monotonic()
    for due, _, reading in schedule([source], platform.budget.readings_s):
        time.sleep(max(0.0, began + due - time.monotonic()))
        yield from one_reading(source, reading, link, incident, platform)


def one_reading(source: Source, reading: int, link, incident, platform) -> Iterator:
    """The records of the source; with several readings, each record has the number and the time of its reading."""
    stamp = {"reading": reading, "read_at": _server_now(link).isoformat()} if source.readings > 1 else {}
    for item in _answers(source, link, incident, platform):
        yield {**item, **stamp} if isinstance(item, dict) else item


def _answers(source: Source, link, incident, platform) -> Iterator:
    """The answer of the instance, or of each of its databases in turn."""
    if source.system != "database":
        yield from source.ask(link, incident, platform)
        return
    for name in link.databases:
        try:
            with link.into(name) as database:
                yield from source.ask(database, incident, platform)
        except SourceError as error:
            yield Partial(f"database {name}: {error}", error.remedy or source.remedy(type(error).__name__))


def _server_now(link) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=link.clock.offset_s if link.clock else 0.0)

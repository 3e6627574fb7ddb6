"""Queries the sources in parallel and records them: one worker process per system, within a deadline.

Client libraries retry, stall and exceed their own timeouts, so nothing here relies on them: each worker queries one instance of one
system, and the collector kills it after too long a silence. Records that it sent before are kept.
"""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path

from nl_forensics import private, processes, sources
from nl_forensics.collection.worker import work
from nl_forensics.errors import check_names
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import OpenRound, Recording, open_round
from nl_forensics.inputs.parameters import Parameters
from nl_forensics.inputs.platform import Cluster, Endpoint
from nl_forensics.sources.systems import SELF_REPORTING

REACHED = "systems_reached"
MAX_TIMEOUTS = 2  # in a row; the remaining questions are then skipped
GRACE_S = 1.0  # tolerance for a busy machine, added to each timeout

OnAnswer = Callable[[str, str], None]


@dataclass(frozen=True)
class Triage:
    """What a round begins with: a few sources, and the window and scope of the others by their answers.

    names      names of these sources
    within_s   after this many seconds, continue with the answers so far
    question   reads the case at that moment, and returns the parameters for the rest, and the reason for them
    """

    names: tuple[str, ...]
    within_s: float
    question: Callable[[Case], tuple[Parameters, str]]


def collect(
    folder: Path,
    parameters: Parameters,
    again: tuple[str, ...] = (),
    on_answer: OnAnswer | None = None,
    triage: Triage | None = None,
) -> Case:
    """Query every source without an answer in the open round, record the answers, and seal the round.

    again      names of sources: a new round is opened that queries only these, and inherits the rest
    on_answer  called with (source, instance) whenever an answer or a refusal is recorded
    triage     what a new round begins with; `on_answer` is not called for it

    Raises ParameterError for an unknown source, for parameters that differ from those of the case, and when another process
    writes to the case. After an interrupt, the round stays open and can be resumed.
    """
    known = sources.load()
    check_names("source", again, known)
    round_ = open_round(folder, parameters, again)
    try:
        if triage:
            _Collection(round_, set(triage.names), _unreported, triage.within_s).run()
            round_.change_question(*triage.question(Case(folder)))
        _Collection(round_, _scope(round_, again) or set(known), on_answer or _unreported).run()
        round_.finish()
    finally:
        round_.close()
    return Case(folder)


def _unreported(source: str, instance: str) -> None:
    """The default of `on_answer`."""


def _scope(round_: OpenRound, again: tuple[str, ...]) -> set[str]:
    """The sources of the round; empty: all of them. A resumed round keeps the sources that it was opened with."""
    begun = next(event["asks"] for event in round_.events() if event["event"] == "opened")
    return {*begun, *again} if begun else set()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Defers Ctrl-C; processes started meanwhile never receive it: the collector ends its workers itself."""
    resource_tracker.ensure_running()  # multiprocessing's own: its start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _interrupt_kept():
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _interrupt_kept() -> Iterator[None]:
    """A signal that is blocked here is delivered to another thread (numpy has some), and Python interrupts the main thread anyway.

    Pickling, which starts a process, would even lose the interrupt: `copyreg` catches every exception.
    """
    handler, missed = signal.getsignal(signal.SIGINT), []
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # no interrupt is raised in this thread
        return
    try:
        signal.signal(signal.SIGINT, lambda *interrupt: missed.append(interrupt))
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if missed:
        handler(*missed[0])


@dataclass
class _Worker:
    """One instance of one system, its remaining questions, and the process that asks them."""

    system: str
    instance: str
    endpoint: Endpoint
    address: str
    cluster: Cluster | None
    questions: list[str]
    process: multiprocessing.process.BaseProcess | None = None
    pipe: Connection | None = None
    scratch: private.Scratch | None = None
    silent_after: float = 0.0
    asking: str = ""
    began: float = 0.0
    asked_at: float = 0.0
    reached: bool = False
    on_the_way: bool = False
    timeouts: int = 0
    answered: bool | None = None
    open: dict[str, Recording] = field(default_factory=dict)

    def place(self, name: str) -> str:
        """The instance under which an answer is recorded."""
        return f"{self.system}-{self.instance}" if name == REACHED else self.instance

    @property
    def unset(self) -> str:
        """The first required variable that is not set; "" if all are."""
        if not self.address:
            return self.endpoint.endpoint
        return self.cluster.endpoint.endpoint if self.cluster and not self.cluster.address else ""

    def stop(self) -> None:
        """End the process and its credential plugins. A process that was interrupted during its start exits when its pipe closes."""
        if self.process:
            processes.kill_group(self.process)
        if self.pipe:
            self.pipe.close()
        if self.scratch:
            self.scratch.remove()
        self.process = self.pipe = self.scratch = None


class _Collection:
    """One run over all systems. Only this process writes to the case."""

    def __init__(self, round_: OpenRound, names: set[str], on_answer: OnAnswer, within_s: float | None = None):
        self.round_, self.parameters, self.on_answer = round_, round_.parameters, on_answer
        self.budget = self.parameters.platform.budget
        self.within_s = within_s or self.budget.deadline_s
        self.deadline = time.monotonic() + self.within_s
        self.workers = [worker for worker in self._planned(names) if worker.questions]

    def _planned(self, names: set[str]) -> Iterator[_Worker]:
        """A worker per instance, with the questions that have no complete answer in this round yet."""
        done = {key for key, answer in self.round_.best_answers().items() if not answer.error}
        platform, systems = self.parameters.platform, self.parameters.platform.systems
        applying = [one for one in sources.load().values() if one.applies(platform)]
        for system in type(systems).model_fields:
            asked = [s.name for s in applying if sources.connection_of(s.system) == system]
            for instance, endpoint in systems.instances(system).items():
                left = [name for name in asked if name in names and (name, instance) not in done]
                yield _Worker(system, instance, endpoint, endpoint.address, systems.cluster_of(endpoint), left)

    def run(self) -> None:
        try:
            for worker in self.workers:
                self._not_configured(worker) if worker.unset else self._start(worker)
            while running := {worker.pipe: worker for worker in self.workers if worker.pipe}:
                self._listen(running)
        finally:
            for worker in self.workers:
                worker.stop()

    def _not_configured(self, worker: _Worker) -> None:
        variable = worker.unset
        remedy = f"set {variable}, or declare {worker.system} absent in the platform file"
        if worker.address and worker.cluster:
            remedy = f"set {variable}: {worker.system} is reached through cluster {worker.cluster.name}"
        self._give_up(worker, "NotConfigured", f"{variable} is not set", remedy)

    def _start(self, worker: _Worker) -> None:
        worker.reached = False
        with _no_interrupt():
            worker.pipe, theirs = processes.context.Pipe()
            worker.scratch = private.Scratch()
            asked = (
                worker.scratch.folder,
                worker.system,
                worker.address,
                worker.endpoint.resolved(),
                worker.cluster,
                list(worker.questions),
            )
            process = processes.context.Process(
                target=work, args=(theirs, *asked, self.parameters.incident, self.parameters.platform), daemon=True
            )
            processes.start(process, "nl_forensics.collection.preload")
            worker.process = process
            theirs.close()
        worker.silent_after = self.deadline  # until it reports `connecting`: a slow start on this machine is no outage

    def _listen(self, running: dict[Connection, _Worker]) -> None:
        """Wait for the next message, or for the next worker that exceeds its timeout."""
        nearest = min(self.deadline, *(worker.silent_after for worker in running.values()))
        ready = wait(list(running), max(0.0, nearest - time.monotonic()))
        for pipe, worker in running.items():
            if time.monotonic() >= self.deadline:
                self._silent(worker)
            elif pipe in ready:
                self._receive(pipe, worker)
            elif time.monotonic() >= worker.silent_after and not pipe.poll():  # a message may have come meanwhile
                self._silent(worker)

    def _receive(self, pipe: Connection, worker: _Worker) -> None:
        try:
            kind, *message = pipe.recv()
        except (EOFError, OSError):
            self._gone(worker)
            return
        getattr(self, f"_on_{kind}")(worker, *message)

    def _grant(self, worker: _Worker, seconds: float) -> None:
        worker.silent_after = time.monotonic() + seconds + GRACE_S

    # Messages of a worker, in their order.

    def _on_connecting(self, worker: _Worker, on_the_way: bool) -> None:
        worker.reached, worker.asking, worker.began = False, "", time.monotonic()
        worker.on_the_way = on_the_way
        self._grant(worker, self.budget.connect_s)

    def _on_reached(self, worker: _Worker, identity: dict, clock: tuple[float, float] | None) -> None:
        worker.reached = True
        offset, error = clock or (None, None)  # None: unknown
        facts = {"identity": self.round_.redactor.record(identity), "clock_offset_s": offset, "clock_error_s": error}
        self.round_.chain.append("reached", system=worker.system, instance=worker.instance, **facts)
        self._record_reached(worker, True, "", identity, offset)
        self._grant(worker, self.budget.question_s)

    def _on_unreached(self, worker: _Worker, kind: str, why: str, remedy: str) -> None:
        """The login failed. An answer in another protocol is an outage; a rejected login is an answer."""
        if kind in ("NotReachable", "BadAnswer", "NotAllowed"):
            self._record_reached(worker, kind == "NotAllowed", why, {}, None)
        self._give_up(worker, kind, why, remedy)

    def _on_no_way(self, worker: _Worker, kind: str, why: str, remedy: str) -> None:
        """The system was not queried: whether it answers is unknown."""
        self._give_up(worker, kind, why, remedy)

    def _on_asking(self, worker: _Worker, name: str) -> None:
        worker.asking, worker.asked_at = name, time.monotonic()
        if name not in worker.open:
            worker.open[name] = self.round_.record(name, worker.instance)
        self._grant(worker, self.budget.question_s)

    def _on_resting(self, worker: _Worker, seconds: float) -> None:
        worker.asking = ""
        self._grant(worker, seconds)

    def _on_records(self, worker: _Worker, name: str, items: list) -> None:
        worker.open[name].write(items)
        if items:
            self._grant(worker, self.budget.question_s)  # each of many small answers extends the timeout

    def _on_answered(self, worker: _Worker, name: str, asked_at: str, took_ms: float) -> None:
        worker.timeouts = 0
        worker.open.pop(name).close(asked_at, took_ms=took_ms)
        self._done(worker, name)

    def _on_refused(self, worker: _Worker, name: str, kind: str, why: str, remedy: str) -> None:
        self._refused(worker, name, kind, why, remedy or sources.load()[name].remedy(kind))
        self._done(worker, name)
        if kind == "NotReachable" and time.monotonic() - worker.asked_at > self.budget.question_s / 2:
            self._timed_out(worker)

    def _on_finished(self, worker: _Worker) -> None:
        worker.stop()

    # Failures of a worker.

    def _silent(self, worker: _Worker) -> None:
        """Timeout: kill the worker, keep what it sent, and continue without the question that hung."""
        worker.stop()
        waited = time.monotonic() - worker.began
        if time.monotonic() >= self.deadline:
            why = f"the deadline of the collection ({self.within_s:g} s) was exceeded"
            self._give_up(worker, "NotReachable", why, "raise budget.deadline_s in the platform file, or collect again")
        elif worker.on_the_way and worker.cluster:
            why = f"no connection through cluster {worker.cluster.name} within {self.budget.connect_s:g} s (waited {waited:.1f} s)"
            self._on_no_way(worker, "NotReachable", why, "check that its API server and the credential plugin answer")
        elif not worker.reached:
            why = f"no answer within {self.budget.connect_s:g} s (waited {waited:.1f} s)"
            self._on_unreached(
                worker, "NotReachable", why, "check whether the server hangs, and whether a firewall is in between"
            )
        else:
            self._hung(worker)

    def _hung(self, worker: _Worker) -> None:
        """Skip the question that hangs, and restart those that still need another reading."""
        for name in set(worker.open) - {worker.asking}:
            self._refused(
                worker, name, "NotReachable", "the connection was closed between two readings", "collect again"
            )
        if worker.asking:
            why = f"no answer within {self.budget.question_s:g} s"
            self._on_refused(worker, worker.asking, "NotReachable", why, "collect again, or raise budget.question_s")
        else:
            self._timed_out(worker)
        if worker.timeouts < MAX_TIMEOUTS:
            self._start(worker)  # even without remaining questions: does it still answer?

    def _timed_out(self, worker: _Worker) -> None:
        worker.timeouts += 1
        if worker.timeouts >= MAX_TIMEOUTS:
            why = f"not asked: {MAX_TIMEOUTS} questions in a row timed out"
            self._give_up(worker, "NotReachable", why, "collect again")

    def _gone(self, worker: _Worker) -> None:
        """The process died without a message: a bug, or it was killed."""
        worker.stop()
        self._give_up(worker, "Bug", "the worker process died", "report this, with the case")

    def _give_up(self, worker: _Worker, kind: str, why: str, remedy: str) -> None:
        """Refuse all remaining questions; also whether the system answers, if that is not known yet."""
        worker.stop()
        unseen = worker.answered is None and worker.system not in SELF_REPORTING
        for name in [REACHED] * unseen + worker.questions:
            self._refused(worker, name, kind, why, remedy)
        worker.questions.clear()

    def _done(self, worker: _Worker, name: str) -> None:
        worker.questions.remove(name)
        worker.asking = ""
        self.on_answer(name, worker.instance)

    def _refused(self, worker: _Worker, name: str, kind: str, why: str, remedy: str) -> None:
        recording = worker.open.pop(name, None) or self.round_.record(name, worker.place(name))
        recording.close(datetime.now(UTC).isoformat(), kind, why, remedy)
        self.on_answer(name, worker.place(name))

    def _record_reached(self, worker: _Worker, answered: bool, why: str, identity: dict, offset: float | None) -> None:
        if worker.answered == answered or worker.system in SELF_REPORTING:
            return  # a reconnect after a question that hung, or a system without connections
        worker.answered = answered
        recording = self.round_.record(REACHED, worker.place(REACHED))
        at = datetime.now(UTC) + timedelta(seconds=offset or 0)
        row = {
            "system": worker.system,
            "answered": answered,
            "why": why,
            "clock_offset_s": offset,
            "at": at.isoformat(),
        }
        known = {name: identity.get(name) for name in ("version", "role", "superuser")}
        recording.write([row | known | {"took_ms": (time.monotonic() - worker.began) * 1000}])
        recording.close(at.isoformat())
        self.on_answer(REACHED, worker.place(REACHED))

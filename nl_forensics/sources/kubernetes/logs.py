"""Logs of unhealthy containers, and reading of any log."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import NamedTuple

from nl_forensics.errors import BadAnswer, NotAllowed, NotReachable
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.kubernetes.kinds import PODS
from nl_forensics.sources.kubernetes.lines import decoded, derived
from nl_forensics.sources.kubernetes.pods import containers_of
from nl_forensics.sources.kubernetes.reading import joined

COLUMNS = {
    "namespace": Column("str", "namespace of the pod"),
    "pod": Column("str", "name of the pod"),
    "container": Column("str", "name of the container"),
    "workload_kind": Column("str", "kind of the workload that owns the pod"),
    "workload": Column("str", "name of the workload that owns the pod"),
    "previous": Column("boolean", "the line is of the run that ended last, before the current one"),
    "line": Column("Int64", "number of the line within its log, from 0"),
    "at": Column(UTC, "the line was written"),
    "level": Column("str", "`debug`, `info`, `warning`, `error` or `fatal`; empty if the line has none"),
    "message": Column("str", "message of a JSON or logfmt line, else the line; at most 2000 characters"),
    "template": Column("str", "message with `*` for variable parts: numbers, times, addresses, quoted words"),
    "format": Column("str", "`json`, `logfmt`, `klog` or `plain`"),
    "request": Column("str", "method and route of the request that the line reports; empty if none"),
    "status": Column("Int64", "HTTP status of the request", absent="the line has no HTTP status"),
    "client": Column("str", "IP address of the client that the line names", absent="the line names no client address"),
    "took_ms": Column("float64", "time until the request was answered", absent="the line has no duration"),
    "upstream_ms": Column(
        "float64", "part of `took_ms` spent waiting for the upstream", absent="the line has no upstream duration"
    ),
}
STARTING = frozenset({"ContainerCreating", "PodInitializing", ""})
STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?(.*)", re.DOTALL)
MAX_NAMED = 5
AT_ONCE = 4
NARROWER = 0.7  # a log that is cut by its bytes has lost its end: asked again for so much fewer lines


class Log(NamedTuple):
    """One expected log. `previous`: of the run before the last restart."""

    container: dict
    previous: bool

    @property
    def name(self) -> str:
        one = self.container
        return f"{one['namespace']}/{one['pod']}/{one['container']}" + (" (previous)" if self.previous else "")


@source(
    columns=COLUMNS,
    covers="ring",
    derive=derived,
    needs=Permission(kubernetes="list pods; get pods/log"),
    guide=("C029", "C032", "C057", "C080", "C091"),
)
def k8s_unhealthy_logs(kubernetes, incident, platform):
    """One row per line of the logs of every container that is unhealthy, or restarted since the incident began, oldest first.

    Only the newest lines are read (`budget.kubernetes_log_lines`). The kubelet keeps the log of one run before the current one; while a
    container waits for its next start, it has no other.
    """
    wanted = [log for one in live_containers(kubernetes, incident, platform) for log in logs_of_failure(one, incident)]
    yield Proof(f"{len(wanted)} logs of unhealthy containers")
    yield from read_all(kubernetes, wanted[: platform.budget.kubernetes_logs], platform.budget, "")
    yield from not_read(wanted[platform.budget.kubernetes_logs :], "unhealthy, but more than the budget allows")


def live_containers(kubernetes, incident, platform) -> list[dict]:
    """The containers in scope, without those of pods that are being deleted."""
    listing = kubernetes.objects(PODS, incident.scope(platform))
    return [
        container
        for pod in listing.items
        if not pod["metadata"].get("deletionTimestamp")
        for container in containers_of(pod)
    ]


def logs_of_failure(one: dict, incident) -> list[Log]:
    """The logs that show why a container is unhealthy; none for one that is healthy, or never ran."""
    restarted = _is_since(one["last_finished_at"], incident.start)
    failed = one["state"] == "terminated" and one["state_exit_code"] != 0
    waits = one["state"] == "waiting" and one["state_reason"] not in STARTING
    not_ready = one["state"] == "running" and one["kind"] != "init" and not one["ready"]
    if not (restarted or failed or waits or not_ready):
        return []
    previous = [Log(one, True)] if one["last_finished_at"] else []
    return previous + ([Log(one, False)] if one["state"] in ("running", "terminated") else [])


def _is_since(moment: str | None, start: datetime) -> bool:
    return moment is not None and datetime.fromisoformat(moment) >= start


def key_of(log: Log) -> tuple:
    return (*(log.container[name] for name in ("namespace", "pod", "container")), log.previous)


def not_read(logs: list[Log], why: str) -> Iterator[Partial]:
    if logs:
        names = joined(log.name for log in logs[:MAX_NAMED]) + (", …" if len(logs) > MAX_NAMED else "")
        remedy = "budget.kubernetes_all_logs: true" if why == "healthy" else "raise budget.kubernetes_logs"
        yield Partial(f"{len(logs)} logs not read ({why}): {names}", remedy)


def read_all(kubernetes, logs: list[Log], budget, since: str) -> Iterator:
    """Every line of the logs; one that can't be read is a gap, and the others are read all the same."""
    closed: dict[str, NotAllowed] = {}
    silent: dict[str, NotReachable] = {}

    def may_answer(log: Log) -> bool:
        return log.container["namespace"] not in closed and log.container["node"] not in silent

    for log, answer in _read_ahead(logs, may_answer, lambda log: _read(kubernetes, log, budget, since)):
        try:
            text, asked_for = answer.result()
            yield from _lines(log, text, asked_for, budget)
        except NotAllowed as error:
            closed[log.container["namespace"]] = error
        except NotReachable as error:
            silent[log.container["node"]] = error
        except BadAnswer as error:
            yield Partial(f"log of {log.name}: {error}", error.remedy)
    for namespace, refused in closed.items():
        yield Partial(f"logs of {namespace}: {refused}", refused.remedy or "allow us to get pods/log")
    for node, unreached in silent.items():
        yield Partial(f"logs on node {node}: {unreached}", "check its kubelet")


def _read_ahead(
    logs: list[Log], may_answer: Callable[[Log], bool], read: Callable[[Log], tuple[bytes, int]]
) -> Iterator[tuple[Log, Future]]:
    """Each log with its pending answer, in order. A few are requested concurrently; the others later, to bound memory."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waited_for: deque[tuple[Log, Future]] = deque()
        for log in filter(may_answer, logs):
            waited_for.append((log, pool.submit(read, log)))
            if len(waited_for) == AT_ONCE:
                yield waited_for.popleft()
        yield from waited_for


def _read(kubernetes, log: Log, budget, since: str) -> tuple[bytes, int]:
    """(text, lines asked for). limitBytes keeps the oldest of the lines, and we want the newest."""
    lines, most = budget.kubernetes_log_lines, budget.kubernetes_log_bytes
    where = log.container["namespace"], log.container["pod"]
    query = {"container": log.container["container"], "timestamps": "true", "limitBytes": str(most)}
    query |= {"previous": "true"} if log.previous else {}
    query |= {"sinceTime": since} if since else {}
    text = kubernetes.logs(*where, **query, tailLines=str(lines))
    if len(text) < most:
        return text, lines
    fewer = max(1, int(text.count(b"\n") * NARROWER))
    return kubernetes.logs(*where, **query, tailLines=str(fewer)), fewer


def _lines(log: Log, text: bytes, asked_for: int, budget) -> Iterator:
    """A line without a time stamp is no line of the log, but what the kubelet says instead of one."""
    place = {name: log.container[name] for name in ("namespace", "pod", "container", "workload_kind", "workload")}
    lines = text.decode(errors="replace").split("\n")
    lines = lines[:-1] if lines[-1] == "" or len(text) >= budget.kubernetes_log_bytes else lines
    oldest = ""
    for number, line in enumerate(lines):
        stamped = STAMP.match(line)
        if not stamped:
            yield Partial(f"log of {log.name}: {line}", "read it on the node, or in the log store")
            continue
        oldest = oldest or stamped[1]
        logged = decoded(stamped[2])
        yield place | {"previous": log.previous, "line": number, "at": stamped[1], "logged": logged}
    if len(lines) >= asked_for:
        remedy = "raise budget.kubernetes_log_lines and kubernetes_log_bytes"
        yield Partial(f"lines of {log.name} before {oldest[:19]}Z: the newest {asked_for} were read", remedy)
    elif len(text) >= budget.kubernetes_log_bytes:
        yield Partial(f"the newest lines of {log.name}: they exceed its budget", "raise kubernetes_log_bytes")

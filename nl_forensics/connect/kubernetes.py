"""Kubernetes through the kubernetes client: its kubeconfig and its credentials, and requests of our own.

The client retries behind its timeouts, validates every object, and reads answers of any size. So it only gives the address and
our identity. We send GET, and POST for a review of our own rights alone, which changes nothing; at most so many a second; never
a watch, never anything that a source does not declare.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3

from nl_forensics import sources
from nl_forensics.connect import IN_CLEAR, clock_of
from nl_forensics.connect.kubeconfig import Kubeconfig
from nl_forensics.errors import BadAnswer, NotAllowed, NotReachable, NotServed, SourceError
from nl_forensics.inputs.platform import Budget, KubernetesEndpoint
from nl_forensics.redact import excerpt
from nl_forensics.sources import Partial
from nl_forensics.sources.kubernetes.kinds import PODS, Kind, is_inside

PAGE = 250
CHUNK = 1 << 16
MAX_BODY = 20_000  # of an error
CREATED = 201
LIST_SHARE = 0.9  # of the time for one question: what came of a long list by then is kept
STALE = "as the API server remembers them, since etcd gave no answer: they may be old"
LOG_IN = "log in again: the credentials of the kubeconfig have expired or are wrong"
CURRENT = {"resourceVersion": "0"}  # from the memory of the API server, so that it answers even while etcd hangs


@cache
def allowed() -> frozenset[tuple[str, str]]:
    """Every (verb, resource) that a source declares: ("list", "deployments.apps")."""
    return frozenset(sources.asked_of_kubernetes())


def connect(address: str, endpoint: KubernetesEndpoint, budget: Budget) -> "KubernetesLink":
    """Ask one API server for its identity; `address` is the path of a kubeconfig."""
    return KubernetesLink(Kubeconfig(address, endpoint), budget)


class Listing(NamedTuple):
    """The objects of one kind, and what of them was not seen. `everywhere`: they are those of the whole cluster."""

    items: list[dict]
    unseen: list[Partial]
    everywhere: bool = True


class KubernetesLink:
    """The API of one cluster, read only. A list is asked for once, and serves every source that needs it.

    kubeconfig  address and identity
    namespace   of the context, "" when it names none
    requests    how many were sent
    """

    def __init__(self, kubeconfig: Kubeconfig, budget: Budget):
        self.kubeconfig, self._budget = kubeconfig, budget
        self._pool = kubeconfig.pool()
        self._lists: dict[Kind, Listing | SourceError] = {}
        self._groups: dict[str, str] | None = None
        self._stale = self._timed_out = False
        self._free_at: list[float] = []
        self._turns = threading.Lock()
        self._list_until = 0.0
        self.namespace, self.requests = kubeconfig.namespace, 0
        before, began = datetime.now(UTC), time.monotonic()
        headers, body = self._get("/version", {}, budget.connect_s)
        took = time.monotonic() - began
        self.clock = clock_of(headers.get("Date"), before, took)
        self.version = str(_decoded(body).get("gitVersion", ""))
        self.identity: dict[str, Any] = {
            "version": self.version,
            "cluster_uid": self._cluster_uid(budget.connect_s - took),
        }
        if kubeconfig.in_clear:
            self.identity[IN_CLEAR] = True

    def _cluster_uid(self, within_s: float) -> str:
        """What stays the same as long as the cluster lives: the uid of a namespace that can't be deleted."""
        try:
            _, body = self._get("/api/v1/namespaces/kube-system", CURRENT, max(0.2, within_s / 2))
            return str(_decoded(body)["metadata"]["uid"])
        except (SourceError, KeyError):
            return ""

    # --- What sources ask --------------------------------------------------------------------------------------------

    def get(self, path: str) -> dict:
        """One JSON document that is no list of objects: `/apis`."""
        self._refuse_undeclared("get", path)
        return _decoded(self._get(path, {}, self._budget.question_s)[1])

    def text(self, path: str, answered: tuple[int, ...] = (200,), **query) -> str:
        """One plain answer (`/readyz?verbose`), also one with a status that `answered` names."""
        self._refuse_undeclared("get", path)
        return self._get(path, query, self._budget.question_s, answered)[1].decode(errors="replace")

    def logs(self, namespace: str, pod: str, **query) -> bytes:
        """The log of one container. Its node has to answer, too, so it is waited for no longer than for a connection."""
        self._refuse_undeclared("get", "pods/log")
        return self._get(PODS.path(namespace, pod, "log"), query, self._budget.connect_s)[1]

    def review(self, kind: Kind, spec: dict) -> dict:
        """What the API server says of our own rights. The only POST: it is computed, and nothing is stored."""
        self._refuse_undeclared("create", kind.resource)
        path, until = kind.path(), time.monotonic() + self._budget.connect_s
        posted = json.dumps({"spec": spec}).encode()
        status, headers, body = self._send(path, {}, until, self._budget.answer_bytes, posted)
        if status != CREATED:
            raise _failed(status, path, body, _retry_after(headers))
        return _decoded(body).get("status") or {}

    def groups(self) -> dict[str, str]:
        """{group: the version that the server prefers}: what this cluster knows at all."""
        if self._groups is None:
            groups = self.get("/apis")["groups"]
            self._groups = {one["name"]: one["preferredVersion"]["version"] for one in groups}
        return self._groups

    def objects(self, kind: Kind, scope: Iterable[str] = ()) -> Listing:
        """The objects of one kind, of the namespaces in scope; an empty scope means all.

        Raises a SourceError when nothing of it was seen.
        """
        if kind not in self._lists:
            self._refuse_undeclared("list", kind.resource)
            self._list_until = time.monotonic() + LIST_SHARE * self._budget.question_s
            try:
                self._lists[kind] = self._listed(kind, tuple(scope))
            except SourceError as error:
                self._lists[kind] = error
        found = self._lists[kind]
        if isinstance(found, SourceError):
            raise found
        inside = [one for one in found.items if not kind.namespaced or is_inside(_namespace_of(one), scope)]
        return found._replace(items=inside)

    def some(self, kind: Kind, namespace: str, within_s: float, **query: str) -> list[dict]:
        """The few objects of one namespace that a selector matches."""
        self._refuse_undeclared("list", kind.resource)
        items = _decoded(self._get(kind.path(namespace), query, within_s)[1]).get("items") or []
        return [kind.keep(one) for one in items]

    def _listed(self, kind: Kind, scope: tuple[str, ...]) -> Listing:
        """All of the cluster in a few requests; where that is not allowed, one namespace after another."""
        try:
            items, unseen = self._pages(kind, kind.path())
            return Listing(items, unseen)
        except NotAllowed as refused:
            names, unseen = self._names(scope)
            if refused.remedy == LOG_IN or not kind.namespaced or not names:
                raise
        items, refusals = [], []
        for name in names:
            try:
                more, missing = self._pages(kind, kind.path(name))
                items, unseen = items + more, unseen + missing
            except NotAllowed as refused:
                refusals.append(refused)
                unseen.append(Partial(f"{kind.plural} of {name}: {refused}", refused.remedy))
        if len(refusals) == len(names):
            raise refusals[0]
        return Listing(items, unseen, everywhere=False)

    def _names(self, scope: tuple[str, ...]) -> tuple[list[str], list[Partial]]:
        """Namespaces to ask for one by one, and those that we can't know of."""
        exact = [name for name in scope if "*" not in name]
        patterns = [name for name in scope if "*" in name] or ([] if scope else ["*"])
        if not patterns:
            return exact, []
        remedy = "allow us to list namespaces, or name them in the platform file"
        unseen = [Partial(f"namespaces {', '.join(patterns)}: which there are may not be listed", remedy)]
        return [*exact, *([self.namespace] if self.namespace and self.namespace not in exact else [])], unseen

    def _pages(self, kind: Kind, path: str) -> tuple[list[dict], list[Partial]]:
        """Every page of a list. What came before a failure is kept."""
        items: list[dict] = []
        token, left = "", self._budget.answer_bytes
        while True:
            try:
                body = self._page(path, {"limit": str(PAGE)} | ({"continue": token} if token else {}), left)
                page = _decoded(body)
            except SourceError as error:
                remedy = error.remedy or f"allow us to list {kind.resource}"
                if not items:
                    raise type(error)(str(error), remedy) from None
                return items, [Partial(f"{kind.plural} after the first {len(items)}: {error}", remedy)]
            left -= len(body)
            items += [kind.keep(one) for one in page.get("items") or []]
            token = (page.get("metadata") or {}).get("continue", "")
            if not token:
                return items, [Partial(f"{kind.plural}: {STALE}", "collect again when etcd answers")] * self._stale

    def _page(self, path: str, query: dict, most: int) -> bytes:
        """One page; from the memory of the API server once it was seen that etcd, which has the truth, does not answer."""
        left_s = self._list_until - time.monotonic()
        if left_s <= 0:
            raise NotReachable("there was no time for more", "raise budget.question_s")
        if not self._stale:
            try:
                return self._get(path, query, left_s / 2, most=most)[1]
            except NotReachable:
                if not self._timed_out or "continue" in query:
                    raise
        body = self._get(path, query | CURRENT, left_s / 2, most=most)[1]
        self._stale = True
        return body

    # --- One request -------------------------------------------------------------------------------------------------

    def _refuse_undeclared(self, verb: str, resource: str) -> None:
        if (verb, resource) not in allowed():
            raise BadAnswer(f"refused to {verb} {resource}: no source declares it")

    def _get(self, path: str, query: dict, within_s: float, answered: tuple[int, ...] = (200,), most: int = 0):
        """(headers, body). "Come back in a while" is obeyed once, where that is soon enough."""
        until = time.monotonic() + within_s
        for may_wait in (True, False):
            status, headers, body = self._send(path, query, until, most or self._budget.answer_bytes)
            if status in answered:
                return headers, body
            wait_s = _retry_after(headers) if status in (429, 503) else 0
            if not (may_wait and wait_s and time.monotonic() + wait_s < until - 1):
                raise _failed(status, path, body, wait_s)
            time.sleep(wait_s)
        raise AssertionError("the second answer is returned or raised")

    def _send(
        self, path: str, query: dict, until: float, most: int, posted: bytes | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        self._wait_for_our_turn()
        url = self.kubeconfig.host + path + (f"?{urlencode(query)}" if query else "")
        timeout = urllib3.Timeout(connect=self._budget.connect_s, read=max(0.1, until - time.monotonic()))
        self._timed_out = False
        try:
            response = self._pool.request(
                "POST" if posted else "GET",
                url,
                posted,
                None,
                self.kubeconfig.headers(),
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            return response.status, response.headers, _body(response, until, most)
        except _Cut as error:
            raise BadAnswer(f"the answer to GET {path} was cut off: {error}", "collect again") from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._timed_out = isinstance(error, urllib3.exceptions.ReadTimeoutError)
            raise _unreached(error) from None

    def _wait_for_our_turn(self) -> None:
        """At most so many requests in any second, whichever thread sends them."""
        with self._turns:
            most, now = max(1, int(self._budget.kubernetes_per_s)), time.monotonic()
            span = most / self._budget.kubernetes_per_s
            if len(self._free_at) >= most and (rest := self._free_at[-most] + span - now) > 0:
                time.sleep(rest)
            self._free_at = [*self._free_at[-most + 1 :], time.monotonic()] if most > 1 else [time.monotonic()]
            self.requests += 1

    def close(self) -> None:
        self._pool.clear()
        self.kubeconfig.close()


def _namespace_of(one: dict) -> str:
    return (one.get("metadata") or {}).get("namespace", "")


def _body(response: urllib3.BaseHTTPResponse, until: float, most: int) -> bytes:
    """The whole body, unless it is too large or too slow."""
    parts, size = [], 0
    for chunk in _uncut(response):
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            response.close()
            raise BadAnswer(f"the answer is larger than {most:,} bytes", "raise budget.answer_bytes, or ask for less")
        if time.monotonic() > until:
            response.close()
            raise NotReachable("the answer came too slowly, and was given up", "collect again")
    response.release_conn()
    return b"".join(parts)


class _Cut(Exception):
    """The connection ended before the answer did."""


def _uncut(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from response.stream(CHUNK)
    except (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError) as error:
        raise _Cut(excerpt(str(error))) from None


def _decoded(body: bytes) -> dict:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        remedy = "check that the kubeconfig leads to an API server, not to a page that asks to log in"
        raise BadAnswer("the answer is not JSON", remedy) from None
    if not isinstance(answer, dict):
        raise BadAnswer("the JSON is not that of Kubernetes", "check the address in the kubeconfig")
    return answer


def _retry_after(headers) -> float:
    try:
        return max(0.1, float(headers.get("Retry-After", "")))
    except ValueError:
        return 0


def _failed(status: int, path: str, body: bytes, wait_s: float) -> SourceError:
    said = message(body)
    if status == 401:
        return NotAllowed(f"HTTP 401: {said}", LOG_IN)
    if status == 403:
        return NotAllowed(said or f"HTTP 403 for GET {path}")
    if status == 404:
        return NotServed(f"not found: {said or path}", "see whether this cluster serves it (kubectl api-resources)")
    if status == 410:
        return BadAnswer("HTTP 410: the list changed while it was read, and its next page has expired", "collect again")
    if status == 429:
        later = f", come back in {wait_s:g} s" if wait_s else ""
        return BadAnswer(f"HTTP 429: too many requests{later}", "collect again later: the API server protects itself")
    remedy = "see whether the server behind this part of the API runs (kubectl get apiservices)"
    return BadAnswer(f"HTTP {status} for GET {path}: {said}", remedy if status == 503 else "")


def message(body: bytes) -> str:
    """The sentence of a Status object: `pods is forbidden: User … cannot list resource "pods" … in the namespace …`."""
    try:
        return excerpt(str(json.loads(body)["message"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return excerpt(body[:MAX_BODY].decode(errors="replace"))


def _unreached(error: BaseException) -> NotReachable:
    remedy = "check the address in the kubeconfig, and whether the API server runs"
    while inner := error.__cause__ or error.__context__:
        error = inner
    return NotReachable(excerpt(str(error)) or type(error).__name__, remedy)

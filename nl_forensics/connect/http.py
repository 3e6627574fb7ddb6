"""HTTP as all of its systems are asked: no retries, a bounded body, no redirects, and never a proxy of the environment."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection

from nl_forensics.connect import Clock, clock_of
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable, NotServed
from nl_forensics.inputs.platform import Budget
from nl_forensics.redact import excerpt

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward

CHUNK = 1 << 16
IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,128}")


def base_of(address: str, name: str, example: str) -> str:
    """The address, without the slash at its end. Raises NotConfigured for one that is not of HTTP."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise NotConfigured(f"the address is not that of {name}", example)
    return address.rstrip("/")


class BoundedBody:
    """The body of an answer, as `requests` reads one: of more than `most` bytes, the rest is never read."""

    def __init__(self, raw: Any, most: int):
        self._raw, self._most = raw, most

    def stream(self, _: int, decode_content: bool | None = None) -> Iterator[bytes]:
        received = 0
        for chunk in self._raw.stream(CHUNK, decode_content=decode_content):
            received += len(chunk)
            if received > self._most:
                self._raw.close()
                raise BadAnswer(
                    f"the answer is larger than {self._most:,} bytes", "raise budget.answer_bytes, or ask for less"
                )
            yield chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class BoundedSession(requests.Session):
    """Never reads more than `most` bytes, never follows a redirect, and keeps the last answer, as `decode` reads it."""

    def __init__(self, most: int, decode: Callable[[requests.Response], Any]):
        super().__init__()
        self.most, self.decode = most, decode
        self.trust_env = False
        self.answer: Any = None

    def request(self, method, url, **options):
        options |= {"stream": True, "allow_redirects": False}
        response = super().request(method, url, **options)
        response.raw = BoundedBody(response.raw, self.most)
        response.content  # noqa: B018 (reads it, within the bound; from now on `requests` has it)
        self.answer = self.decode(response)
        return response


def through(forward: "Forward", retry: Retry) -> HTTPAdapter:
    """HTTP over sockets of the forward; with TLS, the server still proves the name in the address."""

    class Plain(HTTPConnection):
        def _new_conn(self):
            return forward.open()

    class Secure(HTTPSConnection):
        _new_conn = Plain._new_conn

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    adapter = HTTPAdapter(max_retries=retry)
    adapter.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
    return adapter


def decoded(response: requests.Response, name: str) -> Any:
    """The JSON of an answer, whatever its status. Raises what any system of HTTP may say instead."""
    if response.status_code in (401, 403):
        raise NotAllowed(
            f"HTTP {response.status_code}",
            "check the user and the password in the environment variable of this endpoint",
        )
    if response.status_code in (502, 503, 504) and "json" not in response.headers.get("Content-Type", ""):
        raise NotReachable(
            f"HTTP {response.status_code} from what stands before it",
            f"see whether {name} itself runs behind that proxy",
        )
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        said = f"HTTP {response.status_code}, {response.headers.get('Content-Type', 'no content type')}, is not JSON"
        raise BadAnswer(said, f"check that the address is that of {name}, with its path prefix") from None


def asked(question: Callable, *arguments, **options) -> Any:
    """Put a question. Raises NotReachable where there is no answer."""
    try:
        return question(*arguments, **options)
    except requests.RequestException as error:
        remedy = "check the address: http:// or https://, host and port, and whether the server runs"
        raise NotReachable(_cause(error), remedy) from None


def _cause(error: BaseException) -> str:
    """The innermost reason: urllib3 wraps `connection refused` four times."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return excerpt(str(error))


class JsonLink:
    """An HTTP API that answers in plain JSON, read only."""

    def __init__(self, name: str, url: str, budget: Budget, forward: "Forward | None"):
        self._session = BoundedSession(budget.answer_bytes, lambda response: decoded(response, name))
        if forward:
            self._session.mount(url, through(forward, Retry(0, redirect=0)))
        self._url, self._timeout_s = url, budget.connect_s

    def settle(self, budget: Budget) -> None:
        """It is connected: from now on it has the time of a question."""
        self._timeout_s = budget.question_s

    def get(self, path: str, *names: str, also: tuple[int, ...] = ()) -> Any:
        """The answer of one part of the API: `/api/v2/status`. `also`: statuses beside 200 that are answers, too.

        names   what stands for each `{}` of the path. Raises BadAnswer for one that would lead to another path
        """
        for name in names:
            if not IDENTIFIER.fullmatch(str(name)):
                raise BadAnswer(f"{excerpt(str(name), 80)!r} is no identifier: nothing is asked under it")
        status = asked(
            self._session.get, self._url + (path.format(*names) if names else path), timeout=self._timeout_s
        ).status_code
        answer = self._session.answer
        if status not in (200, *also):
            said = answer.get("message", "") if isinstance(answer, dict) else answer
            raise (NotServed if status == 404 else BadAnswer)(excerpt(f"HTTP {status} {said}"))
        return answer

    def measured_clock(self, path: str) -> Clock | None:
        """By the Date header; None where the response has none."""
        before, began = datetime.now(UTC), time.monotonic()
        response = asked(self._session.get, self._url + path, timeout=self._timeout_s)
        return clock_of(response.headers.get("Date"), before, time.monotonic() - began)

    def close(self) -> None:
        self._session.close()

"""Prometheus through prometheus-api-client, with what that client leaves out.

The client retries for 18 s behind a 3 s timeout, reads answers of any size, and drops the `warnings` that say that an answer is
partial. So it is given a session of ours: no retries, a bounded body, no redirects, and the whole answer is kept beside it.
"""

import json
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3 import Retry

from nl_forensics.connect import measured_clock
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable
from nl_forensics.platform import Budget, Endpoint

CHUNK = 1 << 16


def connect(address: str, endpoint: Endpoint, budget: Budget) -> "PrometheusLink":
    """Ask one Prometheus who it is."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise NotConfigured(
            "the address is not that of a Prometheus", "http://host:9090, or https://user:password@host/prefix"
        )
    return PrometheusLink(address.rstrip("/"), budget)


class _BoundedSession(requests.Session):
    """Never reads more than `most` bytes, never follows a redirect, and keeps the last answer."""

    def __init__(self, most: int):
        super().__init__()
        self.most = most
        self.trust_env = False
        self.answer: dict = {}

    def request(self, method, url, **options):
        options |= {"stream": True, "allow_redirects": False}
        response = super().request(method, url, **options)
        body = b""
        for chunk in response.iter_content(CHUNK):
            body += chunk
            if len(body) > self.most:
                response.close()
                raise BadAnswer(
                    f"the answer is larger than {self.most:,} bytes", "raise budget.answer_bytes, or ask for less"
                )
        response._content, response._content_consumed = body, True  # as requests itself keeps a body that was read
        self.answer = _decoded(response)
        return response


def _decoded(response: requests.Response) -> dict:
    if response.status_code in (401, 403):
        raise NotAllowed(
            f"HTTP {response.status_code}",
            "check the user and the password in the environment variable of this endpoint",
        )
    if response.status_code in (502, 503, 504) and "json" not in response.headers.get("Content-Type", ""):
        raise NotReachable(
            f"HTTP {response.status_code} from what stands before it",
            "see whether Prometheus itself runs behind that proxy",
        )
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        said = f"HTTP {response.status_code}, {response.headers.get('Content-Type', 'no content type')}, is not JSON"
        raise BadAnswer(said, "check that the address is that of Prometheus, with its path prefix") from None
    if not isinstance(answer, dict) or answer.get("status") not in ("success", "error"):
        raise BadAnswer("the JSON is not that of Prometheus", "check the address, with its path prefix")
    if answer["status"] == "error":
        raise BadAnswer(f"{answer.get('errorType', 'error')}: {answer.get('error', '')}")
    return answer


class PrometheusLink:
    """The HTTP API of one Prometheus, read only."""

    def __init__(self, url: str, budget: Budget):
        self._session = _BoundedSession(budget.answer_bytes)
        self._client = PrometheusConnect(
            url, session=self._session, timeout=budget.connect_s, retry=Retry(0, redirect=0)
        )
        self._url = url
        self._timeout = {"timeout": f"{budget.question_s * 0.8:.0f}s"}
        build = self.get("/api/v1/status/buildinfo")
        self.identity = {"version": build.get("version", "")}
        self.clock = measured_clock(self._time)
        self._client._timeout = budget.question_s

    def _time(self) -> datetime:
        """By a query: the Date header knows whole seconds only."""
        _, seconds = self._ask(self._client.custom_query, "time()")
        return datetime.fromtimestamp(float(seconds), UTC)

    def range(self, query: str, start: datetime, end: datetime, step_s: int) -> dict:
        """A range query: {"result": series, "warnings": what Prometheus said to be incomplete}."""
        result = self._ask(self._client.custom_query_range, query, start, end, f"{step_s}s", params=self._timeout)
        return {"result": result, "warnings": self._session.answer.get("warnings", [])}

    def steps(self, query: str, first_s: float, last_s: float, step_s: float) -> dict:
        """A range query at exactly these moments (epoch seconds): the client's own rounds to whole seconds."""
        asked = {"query": query, "start": f"{first_s:.3f}", "end": f"{last_s:.3f}", "step": f"{step_s:.3f}"}
        found = self.get(f"/api/v1/query_range?{urlencode(asked | self._timeout)}")
        return {"result": found["result"], "warnings": self._session.answer.get("warnings", [])}

    def instant(self, query: str, at: datetime) -> dict:
        """An instant query, in the same form."""
        result = self._ask(self._client.custom_query, query, params={"time": at.timestamp()})
        return {"result": result, "warnings": self._session.answer.get("warnings", [])}

    def get(self, path: str) -> dict:
        """The `data` of another part of the API: `/api/v1/rules`."""
        self._ask(self._session.request, "GET", self._url + path, timeout=self._client._timeout)
        return self._session.answer["data"]

    def _ask(self, question, *arguments, **options):
        try:
            return question(*arguments, **options)
        except (PrometheusApiClientException, KeyError) as error:
            raise BadAnswer(str(error)[:300]) from None
        except requests.RequestException as error:
            closes = "check the address: http:// or https://, host and port, and whether the server runs"
            raise NotReachable(_cause(error), closes) from None

    def close(self) -> None:
        self._session.close()


def _cause(error: BaseException) -> str:
    """The innermost reason: urllib3 wraps `connection refused` four times."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return " ".join(str(error).split())[:300]

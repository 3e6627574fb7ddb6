"""Prometheus through prometheus-api-client, with what that client leaves out.

The client retries for 18 s behind a 3 s timeout, reads answers of any size, and drops the `warnings` that say that an answer is
partial. So it is given a session of ours: no retries, a bounded body, no redirects, and the whole answer is kept beside it.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3 import Retry

from nl_forensics.connect import measured_clock
from nl_forensics.connect.http import BoundedSession, asked, base_of, decoded, through
from nl_forensics.errors import BadAnswer
from nl_forensics.inputs.platform import Budget, Endpoint
from nl_forensics.redact import excerpt

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward


def connect(address: str, endpoint: Endpoint, budget: Budget, forward: "Forward | None" = None) -> "PrometheusLink":
    """Ask one Prometheus for its identity."""
    url = base_of(address, "a Prometheus", "http://host:9090, or https://user:password@host/prefix")
    return PrometheusLink(url, budget, forward)


def _decoded(response: requests.Response) -> dict:
    answer = decoded(response, "Prometheus")
    if not isinstance(answer, dict) or answer.get("status") not in ("success", "error"):
        raise BadAnswer("the JSON is not that of Prometheus", "check the address, with its path prefix")
    if answer["status"] == "error":
        raise BadAnswer(f"{answer.get('errorType', 'error')}: {answer.get('error', '')}")
    return answer


class PrometheusLink:
    """The HTTP API of one Prometheus, read only."""

    def __init__(self, url: str, budget: Budget, forward: "Forward | None" = None):
        self._session = BoundedSession(budget.answer_bytes, _decoded)
        retry = Retry(0, redirect=0)
        self._client = PrometheusConnect(url, session=self._session, timeout=budget.question_s, retry=retry)
        if forward:
            self._session.mount(url, through(forward, retry))
        self._url, self._timeout = url, {"timeout": f"{budget.question_s * 0.8:.0f}s"}
        self._at_most_s = budget.connect_s  # until it has answered once
        build = self.get("/api/v1/status/buildinfo")
        self.identity = {"version": build.get("version", "")}
        self.clock = measured_clock(self._time)
        self._at_most_s = budget.question_s

    def _time(self) -> datetime:
        """By a query: the Date header knows whole seconds only."""
        _, seconds = self._ask(self._client.custom_query, "time()", timeout=self._at_most_s)
        return datetime.fromtimestamp(float(seconds), UTC)

    def range(self, query: str, start: datetime, end: datetime, step_s: int) -> dict:
        """A range query: {"result": series, "warnings": what Prometheus said to be incomplete}."""
        result = self._ask(self._client.custom_query_range, query, start, end, f"{step_s}s", params=self._timeout)
        return {"result": result, "warnings": self.warnings}

    def steps(self, query: str, first_s: float, last_s: float, step_s: float) -> dict:
        """A range query at exactly these moments (epoch seconds): the client's own rounds to whole seconds."""
        question = {"query": query, "start": f"{first_s:.3f}", "end": f"{last_s:.3f}", "step": f"{step_s:.3f}"}
        found = self.get(f"/api/v1/query_range?{urlencode(question | self._timeout)}")
        return {"result": found["result"], "warnings": self.warnings}

    def instant(self, query: str, at: datetime) -> dict:
        """An instant query, in the same form."""
        result = self._ask(self._client.custom_query, query, params={"time": at.timestamp()})
        return {"result": result, "warnings": self.warnings}

    def get(self, path: str) -> dict:
        """The `data` of another part of the API: `/api/v1/rules`."""
        self._ask(self._session.request, "GET", self._url + path, timeout=self._at_most_s)
        return self._session.answer["data"]

    @property
    def warnings(self) -> list[str]:
        """What Prometheus said to be incomplete in its last answer."""
        return self._session.answer.get("warnings") or []

    def _ask(self, question, *arguments, **options):
        try:
            return asked(question, *arguments, **options)
        except (PrometheusApiClientException, KeyError) as error:
            raise BadAnswer(excerpt(str(error))) from None

    def close(self) -> None:
        self._session.close()

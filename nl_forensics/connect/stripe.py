"""Stripe through its own library, with what that must not do switched off.

The library retries, reports its own latency to Stripe, reads proxies from the environment, and repeats parts of the key in its errors. So
it is given an HTTP client of ours: GET only, no retries, a bounded body, no redirects, no proxy, and our own words for what is refused.
The key is given as a password: `https://api_key:rk_…@api.stripe.com`.
"""

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit

import requests

os.environ.pop("STRIPE_LOG", None)  # with it, the library prints answers; it is read once, at the import
import stripe
from stripe import HTTPClient, StripeClient, StripeError

from nl_forensics.connect import Clock, clock_of
from nl_forensics.connect.http import BoundedSession, asked, base_of
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable, NotServed
from nl_forensics.inputs.platform import Budget, Endpoint

EXAMPLE = "https://api_key:rk_…@api.stripe.com, with a restricted key that may only read"
KEY = re.compile(r"(sk|rk)_(test|live)_\w+")
PERMISSION = re.compile(r"\brak_[a-z_]+")
PAGE = 100
SENT = ("Authorization", "Stripe-Version")  # of the headers of the library; the others describe this machine
RESOURCES = ("events", "payment_intents", "invoices", "webhook_endpoints")

stripe.enable_telemetry = False
stripe.max_network_retries = 0
logging.getLogger("stripe").disabled = True


def connect(address: str, endpoint: Endpoint, budget: Budget) -> "StripeLink":
    """Ask one account for its newest event. Raises NotConfigured for an address or a key that is not used."""
    base = base_of(address, "Stripe's API", EXAMPLE)
    parts = urlsplit(base)
    key = unquote(parts.password or "")
    if not (kind := KEY.fullmatch(key)):
        raise NotConfigured("the password in the address is not an API key of Stripe", EXAMPLE)
    if kind[1] == "sk" and kind[2] == "live":
        raise NotConfigured("the key is a secret key, which may move money", EXAMPLE)
    return StripeLink(base.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1), key, budget)


def _checked(response: requests.Response) -> dict:
    """The JSON of an answer. Of an error only what names no key, no customer and no account is repeated."""
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        answer = None
    status = response.status_code
    if status == 200 and isinstance(answer, dict) and "object" in answer:
        return answer
    if status == 401:
        raise NotAllowed(
            "HTTP 401: Stripe rejected the key", "renew the key in the environment variable of this endpoint"
        )
    if status == 403:
        lacking = ", ".join(PERMISSION.findall(json.dumps(answer))) or "a permission"
        raise NotAllowed(f"HTTP 403: the key lacks {lacking}")
    if status == 429:
        raise BadAnswer("HTTP 429: the rate limit of the account is reached", "collect again later")
    if status >= 500:
        raise NotReachable(f"HTTP {status} from Stripe", "see https://status.stripe.com, then collect again")
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        raise BadAnswer(f"HTTP {status} that is not JSON of Stripe", f"check the address: {EXAMPLE}")
    kind = NotServed if status == 404 else BadAnswer
    raise kind(f"HTTP {status} {error.get('type', '')} {error.get('code', '')}".strip())


class _Client(HTTPClient):
    """How the library sends a request: through our session, and never anything but GET."""

    name = "nl_forensics"

    def __init__(self, session: BoundedSession, timeout_s: float):
        super().__init__()
        self.session, self.timeout_s = session, timeout_s
        self.took_ms = 0.0
        self.headers: Mapping[str, str] = {}

    def request(self, method, url, headers, post_data=None, *, _usage=None) -> tuple[str, int, Mapping[str, str]]:
        if method.lower() != "get":
            raise BadAnswer(f"refused to send {method.upper()} to Stripe")
        ours = {name: headers[name] for name in SENT if name in headers} | {"User-Agent": self.name}
        began = time.monotonic()
        response = asked(self.session.get, url, headers=ours, timeout=self.timeout_s)
        self.took_ms = (time.monotonic() - began) * 1000
        self.headers = response.headers
        return response.text, response.status_code, response.headers

    def close(self) -> None:
        self.session.close()


class StripeLink:
    """The API of one account, read only. `api_version`: the version in which it answers."""

    def __init__(self, url: str, key: str, budget: Budget):
        self._http = _Client(BoundedSession(budget.answer_bytes, _checked), budget.connect_s)
        self._client = StripeClient(
            key,
            http_client=self._http,
            base_addresses={"api": url, "connect": url, "files": url, "meter_events": url},
            max_network_retries=0,
        )
        self._max_objects = budget.stripe_objects
        before, began = datetime.now(UTC), time.monotonic()
        newest = next(self.objects("events", limit=1), {})
        self.clock: Clock | None = clock_of(self._http.headers.get("Date"), before, time.monotonic() - began)
        self.api_version = self._http.headers.get("Stripe-Version", "")
        self.identity = {
            "version": self.api_version,
            "livemode": newest.get("livemode"),
            "restricted": key.startswith("rk_"),
        }
        self._http.timeout_s = budget.question_s

    def objects(self, resource: str, limit: int = 0, **filters: Any) -> Iterator[dict]:
        """The objects of a list, newest first, page by page: `limit` of them at most, one more than the budget by default.

        Raises a SourceError.
        """
        if resource not in RESOURCES:
            raise BadAnswer(f"refused to ask Stripe for {resource}: no source declares it")
        most = limit or self._max_objects + 1
        try:
            listed = getattr(self._client.v1, resource).list({"limit": min(most, PAGE), **filters})
            for one in islice(listed.auto_paging_iter(), most):
                yield one.to_dict(for_json=True)
        except StripeError as error:
            raise BadAnswer(f"the answer of Stripe can't be read: {type(error).__name__}") from None

    def took_ms(self) -> float:
        """How long the newest event takes to get."""
        next(self.objects("events", limit=1), None)
        return self._http.took_ms

    def close(self) -> None:
        self._http.close()

"""Stripe: its own stripe-mock, which answers with examples of its API's specification, and a small server for states that no example has.

The small one answers as the documentation of the API says: lists of events, payment intents, invoices and webhook endpoints, newest first,
with their filters and pages; 401 without the key, 403 for what a restricted key may not read, 429 beyond the rate limit.
"""

import json
import os
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.stack.in_thread import answering
from tests.stack.kubernetes.build import go_environment, go_program
from tests.stack.process import HOST, Process, cache_folder, free_port, new_folder

KEY = "rk_test_" + "51NeuraLogTestKey00"
API_VERSION = "2026-10-28.endive"
MODULE = Path(__file__).with_name("stripe_mock")
PACKAGE = "github.com/stripe/stripe-mock"
HOUR_S, DAY_S = 3600, 86_400


def mock_program():
    """stripe-mock, built once into the cache folder from a Go module of its own: about a minute."""
    pinned = (MODULE / "go.mod").read_text().split(f"{PACKAGE} ")[1].split()[0]
    built = cache_folder() / f"stripe-mock-{pinned}"
    if not built.exists():
        part = built.with_name(f"{built.name}.{os.getpid()}")
        subprocess.run([go_program(), "build", "-o", part, PACKAGE], cwd=MODULE, env=go_environment(), check=True)
        part.rename(built)
    return built


def start_mock():
    """Stripe's own mock server."""
    port = free_port()
    command = [mock_program(), "-http-port", str(port)]
    return Process(command=command, folder=new_folder("stripe-mock"), port=port).start()


def address(port, key=KEY):
    return f"http://api_key:{key}@{HOST}:{port}"


# --- Objects, as the API has them; times in seconds --------------------------------------------------------------------


def event(number, type_, about, created, pending=0, customer=None, tenant="", delivered=True, **more):
    """`delivered`: False where an endpoint has not confirmed it: it is still pending, or every attempt failed."""
    held = {"id": about, "object": "payment_intent" if about.startswith("pi_") else "invoice", "customer": customer}
    return {
        "id": f"evt_test{number:08}",
        "object": "event",
        "api_version": API_VERSION,
        "created": int(created),
        "data": {"object": held | {"metadata": {"tenant": tenant} if tenant else {}}},
        "livemode": False,
        "pending_webhooks": pending,
        "request": {"id": f"req_test{number:06}", "idempotency_key": None},
        "type": type_,
        "_delivered": delivered,
    } | more


def payment(number, amount, currency, created, tenant="", customer=None, decline="", code="card_declined", **more):
    """A payment intent; with `decline`, one that failed for that reason."""
    error = {"type": "card_error", "code": code, "decline_code": decline, "message": "Your card was declined."}
    return {
        "id": f"pi_test{number:08}",
        "object": "payment_intent",
        "amount": amount,
        "currency": currency.lower(),
        "created": int(created),
        "customer": customer,
        "last_payment_error": error if decline else None,
        "livemode": False,
        "metadata": {"tenant": tenant} if tenant else {},
        "status": "requires_payment_method" if decline else "succeeded",
        "client_secret": f"pi_test{number:08}_secret_{'x' * 12}",
    } | more


def invoice(number, amount, currency, created, tenant="", customer=None, status="paid", **more):
    return {
        "id": f"in_test{number:08}",
        "object": "invoice",
        "number": f"TEST-{number:04}",
        "attempt_count": 1,
        "amount_due": amount,
        "amount_paid": amount if status == "paid" else 0,
        "amount_remaining": 0 if status == "paid" else amount,
        "total": amount,
        "created": int(created),
        "currency": currency.lower(),
        "customer": customer,
        "customer_email": f"owner-{number}@customer.example",
        "livemode": False,
        "metadata": {"tenant": tenant} if tenant else {},
        "status": status,
    } | more


def endpoint(
    number=1, status="enabled", events=("*",), version=None, url="https://api.neurallog.example/webhooks/stripe"
):
    return {
        "id": f"we_test{number:06}",
        "object": "webhook_endpoint",
        "api_version": version,
        "created": int(time.time() - 90 * DAY_S),
        "enabled_events": list(events),
        "livemode": False,
        "metadata": {},
        "status": status,
        "url": url,
    }


@dataclass
class Stripe:
    """`objects`: by resource. `refused`: resources that the key may not read; `allowance`: requests until the rate limit is reached."""

    port: int
    objects: dict[str, list[dict]] = field(default_factory=dict)
    key: str = KEY
    refused: set[str] = field(default_factory=set)
    allowance: int = 1_000_000
    delay_s: float = 0.0
    clock_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    heard: list[dict] = field(default_factory=list)

    @property
    def url(self):
        return address(self.port, self.key)

    def answer(self, path, query, authorization):
        """(status, JSON) of a request."""
        resource = path.removeprefix("/v1/")
        if authorization != f"Bearer {self.key}":
            said = f"Invalid API Key provided: {self.key[:8]}****{self.key[-4:]}"
            return 401, {"error": {"type": "invalid_request_error", "message": said}}
        self.allowance -= 1
        if self.allowance < 0:
            return 429, {
                "error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."}
            }
        if resource in self.refused:
            said = f"The provided key '{self.key[:8]}****{self.key[-4:]}' does not have the required permissions for this endpoint on"
            said += " account 'acct_1NeuraLogTest0'. Having the 'rak_event_read' permission would allow this request to continue."
            return 403, {"error": {"type": "invalid_request_error", "message": said}}
        if resource not in ("events", "payment_intents", "invoices", "webhook_endpoints"):
            return 404, {
                "error": {"type": "invalid_request_error", "message": f"Unrecognized request URL (GET: {path})."}
            }
        return 200, _page(path, self.objects.get(resource, []), query)


def _page(path, objects, query):
    found = sorted((one for one in objects if _fits(one, query)), key=lambda one: -one["created"])
    if after := query.get("starting_after"):
        found = found[[one["id"] for one in found].index(after[0]) + 1 :]
    limit = int(query.get("limit", ["10"])[0])
    shown = [{name: value for name, value in one.items() if not name.startswith("_")} for one in found[:limit]]
    return {"object": "list", "url": path, "has_more": len(found) > limit, "data": shown}


def _fits(one, query):
    since, until = query.get("created[gte]"), query.get("created[lt]")
    types = [value for name, values in query.items() if name.startswith("types[") for value in values]
    delivered = query.get("delivery_success")
    return (
        (not since or one["created"] >= int(since[0]))
        and (not until or one["created"] < int(until[0]))
        and (not types or one.get("type") in types)
        and (not delivered or one.get("_delivered", True) == (delivered[0] == "true"))
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, parts = self.server.stripe, urlsplit(self.path)
        server.asked.append(self.path)
        server.heard.append(dict(self.headers))
        time.sleep(server.delay_s)
        status, answer = server.answer(parts.path, parse_qs(parts.query), self.headers.get("Authorization"))
        body = json.dumps(answer).encode()
        self.send_response_only(status)
        self.send_header("Date", formatdate(time.time() + server.clock_s, usegmt=True))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Request-Id", f"req_{len(server.asked)}")
        self.send_header("Stripe-Version", self.headers.get("Stripe-Version", API_VERSION))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def stripe(**objects):
    """Serve on loopback, with these objects by resource, and one enabled endpoint."""
    with answering(ThreadingHTTPServer((HOST, 0), _Handler)) as server:
        server.stripe = Stripe(server.server_port, {"webhook_endpoints": [endpoint()]} | objects)
        yield server.stripe

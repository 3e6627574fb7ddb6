"""What every service is made of: settings, PostgreSQL and Redis, /health, /metrics, a log line for each request, and faults."""

import json
import os
import queue
import re
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import prometheus_client
import psycopg
import redis
import requests

from tests.stack.neurallog.programs.faults import Faults, UnknownFault
from tests.stack.neurallog.programs.inside import Collections, TimedConnection, at_work
from tests.stack.neurallog.programs.logs import SERVICE, log

PORT = 8080
SETTINGS = Path("/etc/neurallog/settings.json")  # from a config map
PATIENCE_S = 3  # with whatever is asked
AFTER_ERROR_S = 1
REJECTED = (401, 403)

REQUESTS = prometheus_client.Counter("http_requests", "Requests answered", ["service", "method", "route", "status"])
DURATION = prometheus_client.Histogram(
    "http_request_duration_seconds", "Time to answer a request", ["service", "method", "route"]
)
IN_USE = prometheus_client.Gauge("database_pool_in_use", "Database connections that somebody has taken", ["service"])
SIZE = prometheus_client.Gauge("database_pool_size", "Database connections that may be open", ["service"])
WAITING = prometheus_client.Gauge("database_pool_waiting", "Who waits for a database connection", ["service"])
BACKGROUND_ERRORS = prometheus_client.Counter(
    "background_errors", "Rounds of background work that failed", ["service", "work"]
)

# What asking another system can raise.
OUTSIDE_ERRORS = (psycopg.Error, redis.RedisError, requests.RequestException)


class Refused(Exception):
    """The request is answered with this HTTP status; the message goes to the caller."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """One HTTP request; `found` are the named parts of its path, `waited_s` how long for each service that was asked.

    client   address of the customer: of whoever sent it, unless a service before us names another
    """

    method: str
    found: dict
    headers: dict
    body: bytes
    number: str
    client: str
    waited_s: list = field(default_factory=list)

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Refused(400, "the body is not JSON") from None


class Service:
    """A service: `@service.route("GET", "/v1/logs")` and `@service.background(5)` over functions, then `run()`."""

    def __init__(self, *needed_settings):
        self.settings = read_settings(needed_settings)
        self.faults = Faults()
        self._routes = [
            ("GET", "/health", self._health),
            ("GET", "/health/live", self._live),
            ("GET", "/metrics", lambda request: prometheus_client.generate_latest()),
            ("POST", "/faults", self._set_faults),
        ]
        self._works = [threading.Thread(target=self._keep_connections, daemon=True)]
        self._free = queue.LifoQueue()
        self._opened = 0
        self._opening = threading.Lock()
        SIZE.labels(SERVICE).set(self.settings["database_connections"])
        WAITING.labels(SERVICE).set(0)
        IN_USE.labels(SERVICE).set_function(lambda: self._opened - self._free.qsize())
        self._collections = Collections()

    # --- what it uses ------------------------------------------------------------------------------------------------

    @cached_property
    def redis(self):
        return redis.Redis.from_url(os.environ["NL_REDIS_URL"], decode_responses=True, socket_timeout=PATIENCE_S)

    @contextmanager
    def database(self):
        """One of a few database connections; whoever finds none free within PATIENCE_S is refused."""
        connection = self._take_connection()
        try:
            yield connection
        except psycopg.Error:
            connection.close()
            raise
        finally:
            self._give_back(connection)

    def _take_connection(self):
        with self._opening:
            may_open = self._free.empty() and self._opened < self.settings["database_connections"]
            self._opened += may_open
        if may_open:
            try:
                return self.open_connection()
            except psycopg.Error:
                self._opened -= 1
                raise
        try:
            with WAITING.labels(SERVICE).track_inprogress():
                return self._free.get(timeout=PATIENCE_S)
        except queue.Empty:
            raise Refused(503, f"no database connection was free within {PATIENCE_S} s") from None

    def open_connection(self):
        """One more than those that are shared, for whoever keeps it."""
        return TimedConnection.connect(
            os.environ["NL_DATABASE_URL"],
            application_name=SERVICE,
            autocommit=True,
            connect_timeout=PATIENCE_S,
            prepare_threshold=None,  # PgBouncer in transaction mode has no prepared statements
        )

    def _give_back(self, connection):
        if connection.closed:
            self._opened -= 1
        else:
            self._free.put(connection)

    # --- what it does ------------------------------------------------------------------------------------------------

    def route(self, method, path):
        """Answer requests for a path ("/v1/logs/{tenant}") with what the function returns: JSON, text or bytes."""

        def register(function):
            self._routes.append((method, path, function))
            return function

        return register

    def background(self, every_s):
        """Call a function again and again, once the service runs, in a thread of its own."""

        def register(function):
            self._works.append(threading.Thread(target=self._repeat, args=[function, every_s], daemon=True))
            return function

        return register

    def _repeat(self, function, every_s):
        while True:
            try:
                if not self.faults["stalled"]:
                    function()
                time.sleep(every_s)
            except (*OUTSIDE_ERRORS, Refused) as error:
                BACKGROUND_ERRORS.labels(SERVICE, function.__name__).inc()
                log("error", f"{function.__name__} failed: {error}", error=type(error).__name__)
                time.sleep(AFTER_ERROR_S)

    def run(self):
        threading.excepthook = _end_with_traceback
        for work in self._works:
            work.start()
        log("info", "listening", port=PORT, version=os.environ.get("NL_VERSION"), pod=os.environ.get("NL_POD"))
        server = ThreadingHTTPServer(("", PORT), _handler(self))
        server.daemon_threads = True
        server.serve_forever()

    def _keep_connections(self):
        """The fault `leaked_connections`."""
        kept = []
        while True:
            if len(kept) < self.faults["leaked_connections"]:
                connection = self._take_connection()
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM tenants")
                kept.append(connection)
            else:
                time.sleep(0.1)

    # --- what every service answers ----------------------------------------------------------------------------------

    def _health(self, request):
        """Ready for traffic: what it needs answers, too."""
        if self.faults["unready"]:
            raise Refused(503, "not ready")
        checked = {}
        if "NL_DATABASE_URL" in os.environ:
            with self.database() as sql:
                sql.execute("SELECT 1")
            checked["database"] = "ok"
        if "NL_REDIS_URL" in os.environ:
            self.redis.ping()
            checked["redis"] = "ok"
        return {"status": "ok", **checked}

    def _live(self, request):
        if self.faults["deadlocked"]:
            raise Refused(503, "the main loop does not move")
        return {"status": "ok"}

    def _set_faults(self, request):
        try:
            self.faults.set(request.json())
        except UnknownFault as unknown:
            raise Refused(400, str(unknown)) from None
        return {"status": "ok"}

    def answer(self, method, path, headers, body, sender):
        """Status and body of the answer to a request."""
        started = time.monotonic()
        route, function, found = self._find(method, path)
        at_work.route = route
        number = headers.get("X-Request-Id") or uuid.uuid4().hex[:12]
        client = headers.get("X-Forwarded-For") or sender
        request = Request(method, found, headers, body, number, client)
        status, level, said = 200, "info", {}
        try:
            if route != "/faults":
                self.faults.delay()
            if route.startswith("/v1") and self.faults.strikes():
                raise Refused(500, "internal error")
            answered = function(request)
        except Refused as refused:
            status, answered = refused.status, {"error": str(refused)}
            level, said = "error" if status >= 500 else "warn", {"error": str(refused)}
        except OUTSIDE_ERRORS as error:
            status, answered = 503, {"error": "something that is needed does not answer"}
            level, said = "error", {"error": f"{type(error).__name__}: {error}"}
        duration_s = time.monotonic() - started
        REQUESTS.labels(SERVICE, method, route, status).inc()
        DURATION.labels(SERVICE, method, route).observe(duration_s)
        # Probes and scrapes would drown the rest: only when they fail.
        if route.startswith("/v1") or status != 200:
            told = {"method": method, "route": route, "status": status, "duration_ms": round(duration_s * 1000, 1)}
            told |= {"upstream_ms": round(sum(request.waited_s) * 1000, 1)} if request.waited_s else {}
            told |= {"client_ip": client} if status in REJECTED else {}
            log(level, f"{method} {route} {status}", **told, request_id=number, **said)
        return status, answered

    def _find(self, method, path):
        for its_method, route, function in self._routes:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route)
            if method == its_method and (found := re.fullmatch(pattern, path)):
                return route, function, found.groupdict()
        return "unknown", _not_found, {}


def _not_found(request):
    raise Refused(404, "there is nothing here")


def _end_with_traceback(unexpected):
    """A program whose background work broke must not go on as if it did it."""
    sys.excepthook(unexpected.exc_type, unexpected.exc_value, unexpected.exc_traceback)
    sys.stderr.flush()
    os._exit(1)


def _handler(service):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            path = self.path.partition("?")[0]
            sender = self.client_address[0]
            status, body = service.answer(self.command, path, self.headers, self.rfile.read(length), sender)
            content = body if isinstance(body, bytes) else json.dumps(body, default=str).encode()
            kind = "text/plain; version=0.0.4" if isinstance(body, bytes) else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_):
            """Each request has a line of its own already."""

    return Handler


def read_settings(needed):
    """The settings; a program whose settings are wrong says so and ends."""
    try:
        settings = json.loads(SETTINGS.read_text())
    except (OSError, ValueError) as error:
        _give_up(f"can't read settings: {error}")
    for name in ("database_connections", *needed):
        if not isinstance(settings.get(name), int | float):
            _give_up(f"invalid settings: {name} must be a number, not {settings.get(name)!r}")
    return settings


def _give_up(why):
    log("fatal", why, file=str(SETTINGS))
    sys.exit(1)

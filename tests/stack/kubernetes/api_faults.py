"""An API server that misbehaves for some requests: a proxy in front of the real one, with a kubeconfig that leads there.

    with misbehaving(c, {"/api/v1/pods": Answer(429, {"Retry-After": "1"})}) as kubeconfig: …

The faults are given by path; a path that ends with `*` stands for all that begin so. Each is one of:

Answer  an answer of our own instead of the server's
Cut     the server's answer, of which only the first bytes arrive before the connection is reset
Page    what holds from a list's second page on (a request with `continue`)
"""

import json
import ssl
import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SO_LINGER, SOL_SOCKET
from urllib.parse import parse_qs, urlsplit

import requests

from tests.stack.in_thread import answering
from tests.stack.kubernetes.api import Api
from tests.stack.kubernetes.control_plane import ADMIN
from tests.stack.process import HOST, new_folder

TIMEOUT_S = 30
READ_WITHIN_S = 0.2


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict = field(default_factory=dict)
    text: str | None = None  # None: as the API server words such a status


@dataclass(frozen=True)
class Cut:
    after_bytes: int


@dataclass(frozen=True)
class Page:
    fault: Answer | Cut


EXPIRED = Page(Answer(410))  # the token for the next page is too old


@contextmanager
def misbehaving(cluster, faults, user=ADMIN):
    """Give the path of a kubeconfig for `user` (one that has a kubeconfig); requests without a fault are passed on."""
    path = cluster.kubeconfig() if user == ADMIN else cluster.folder / f"{user}.kubeconfig"
    real = Api.of_kubeconfig(path)
    server = ThreadingHTTPServer((HOST, 0), _handler(real, faults))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cluster.keys.serving.certificate, cluster.keys.serving.key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    with answering(server):
        there = Api(f"https://{HOST}:{server.server_port}", real.authority, real.token)
        yield there.write_kubeconfig(new_folder("kubeconfigs") / f"{user}.kubeconfig")


def fault_for(faults, target):
    """The fault that a request's path and query meet, or None."""
    parts = urlsplit(target)
    for path, fault in faults.items():
        meets = parts.path.startswith(path[:-1]) if path.endswith("*") else parts.path == path
        if meets and isinstance(fault, Page):
            return fault.fault if "continue" in parse_qs(parts.query) else None
        if meets:
            return fault
    return None


def _handler(real, faults):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = fault_for(faults, self.path)
            if isinstance(fault, Answer):
                text = _status_object(fault.status) if fault.text is None else fault.text
                self._send(fault.status, {"Content-Type": "application/json", **fault.headers}, text.encode())
                return
            answer = self._ask(sent)
            headers = {name: answer.headers[name] for name in ("Content-Type",) if name in answer.headers}
            self._send(answer.status_code, headers, answer.content, fault)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def _ask(self, sent):
            passed = ("Authorization", "Accept", "Content-Type", "User-Agent")
            headers = {name: self.headers[name] for name in passed if name in self.headers}
            with requests.Session() as session:
                session.trust_env = False
                return session.request(
                    self.command,
                    real.url + self.path,
                    data=sent,
                    headers=headers,
                    verify=str(real.authority),
                    timeout=TIMEOUT_S,
                )

        def _send(self, status, headers, content, cut=None):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: cut.after_bytes] if cut else content)
            if cut:
                time.sleep(READ_WITHIN_S)  # a reset takes away what the other side has not read yet
                # No time to linger: the kernel sends a reset, as a machine that dies.
                self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True

        def log_message(self, *_):
            """The tests' output is not the place."""

    return Handler


def _status_object(status):
    reasons = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests"}
    reason = reasons.get(status, "InternalError" if status == 500 else "ServiceUnavailable")
    given = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status}
    return json.dumps({**given, "reason": reason, "message": f"{reason}: this request was made to fail by a test"})

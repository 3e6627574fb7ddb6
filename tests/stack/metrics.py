"""A program whose metrics a test sets while Prometheus scrapes it."""

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.stack.in_thread import answering
from tests.stack.process import HOST


class Metrics:
    """`values`: what is exposed, by series (`level{zone="a"}`); `fails`: whether a scrape gets an error instead."""

    def __init__(self, port):
        self.port, self.values, self.fails = port, {}, False


class _Page(BaseHTTPRequestHandler):
    def do_GET(self):
        exposed = self.server.metrics
        body = "".join(f"{series} {value}\n" for series, value in dict(exposed.values).items()).encode()
        self.send_response(500 if exposed.fails else 200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def metrics():
    """Serve metrics on loopback."""
    with answering(ThreadingHTTPServer((HOST, 0), _Page)) as server:
        server.metrics = Metrics(server.server_port)
        yield server.metrics

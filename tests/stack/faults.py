"""Servers that misbehave at the wire. Each is a context manager and gives the port to connect to."""

import socket
import ssl
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.stack.process import HOST, free_port, program, run

SECONDS_PER_BYTE = 1

# The beginning of an answer that each kind of client has to wait for the end of.
ENDLESS_ANSWERS = {
    "http": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + b"X-Slow: yes\r\n" * 1000,
    "redis": b"$100000\r\n" + b"x" * 10_000,
    # "No TLS", then an error message of 20,000 bytes.
    "postgres": b"N" + b"E\x00\x00\x4e\x20" + b"x" * 10_000,
}
HTML = b"<!doctype html><title>Sign in</title><p>Please sign in to continue.</p>"
POSTGRES_ASKS_FOR_TLS = bytes.fromhex("0000000804d2162f")


def closed_port():
    """A port on which nobody listens: connections are refused."""
    return free_port()


@contextmanager
def never_accepts():
    """Connections are neither accepted nor refused, as behind a firewall that drops packets."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen(0)
        # Linux completes handshakes for the waiting line by itself; once that is full, it answers no more.
        waiting = []
        for _ in range(8):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            waiting.append(client)
        yield listener.getsockname()[1]
        for client in waiting:
            client.close()


@contextmanager
def _listening(answer):
    """Accept connections, and call `answer(connection, ended)` for each in a thread of its own."""
    ended = threading.Event()

    def converse(connection):
        # The client may leave at any time; so may we.
        with connection, suppress(OSError):
            answer(connection, ended)

    def accept():
        while not ended.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(None)
                threading.Thread(target=converse, args=[connection], daemon=True).start()

    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def silent():
    """Accepts and never says a word."""
    return _listening(lambda connection, ended: ended.wait())


def dripping(client):
    """Answers one byte a second, so that no read timeout ever strikes. `client`: http, redis or postgres."""

    def drip(connection, ended):
        for byte in ENDLESS_ANSWERS[client]:
            connection.send(bytes([byte]))
            if ended.wait(SECONDS_PER_BYTE):
                return

    return _listening(drip)


def garbage():
    """Answers whatever it is asked with bytes of no protocol."""

    def answer(connection, _):
        while connection.recv(65536):
            connection.sendall(b"\x00\xff\xfe garbage \x80\r\n" * 10)

    return _listening(answer)


def html():
    """Answers every HTTP request with status 200 and a page to sign in, as a proxy does."""

    def answer(connection, _):
        while connection.recv(65536):
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(HTML)}\r\n\r\n"
            connection.sendall(head.encode() + HTML)

    return _listening(answer)


def wrong_certificate():
    """Speaks TLS (at once, or after PostgreSQL's request for it) with a self-signed certificate for another name."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder) / "key.pem", Path(folder) / "certificate.pem"
        request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=somewhere.example"]
        run([program("openssl"), *request, "-keyout", key, "-out", certificate])
        tls.load_cert_chain(certificate, key)

    def answer(connection, ended):
        if connection.recv(8, socket.MSG_PEEK) == POSTGRES_ASKS_FOR_TLS:
            connection.recv(8)
            connection.send(b"S")
        with tls.wrap_socket(connection, server_side=True):
            ended.wait()

    return _listening(answer)

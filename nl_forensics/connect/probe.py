"""The way of one HTTP request, hop by hop, from where we stand: name, connection, TLS, answer. And which certificate is served.

One GET (never more than the path that the address names), no redirect followed, no proxy, no cookie; each hop is given up after
`budget.connect_s`, however slowly the other side drips. What fails is what we came to see: it is recorded, never raised.
"""

import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from nl_forensics.connect import Clock, clock_of
from nl_forensics.errors import NotConfigured, NotReachable
from nl_forensics.inputs.platform import SERVICE_ACCOUNT, Budget, ProbeEndpoint

FORM = "https://api.neurallog.example/health"
PORTS = {"http": 80, "https": 443}
ATTEMPTS = 3  # one is no proof: names and addresses can fail now and then
MAX_ATTEMPTS = 6  # so that each address of a name is tried
MAX_BYTES = 65_536  # of the answer; it is read and forgotten
NOBODY = "no-such-name.invalid"  # RFC 2606: it never exists
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL: dates are judged by themselves, ssl has no name for it
TOO_LATE = "no whole answer in time"
WORDS = {
    socket.EAI_NONAME: "there is no such name",
    socket.EAI_NODATA: "the name has no address",
    socket.EAI_AGAIN: "the name servers failed, or gave no answer",
}


def connect(address: str, endpoint: ProbeEndpoint, budget: Budget) -> "ProbeLink":
    """Understand the address. Nothing is sent yet: the hops show whether anything answers."""
    try:
        parts = urlsplit(address)
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise NotConfigured("the address is none of HTTP", FORM) from None
    if not parts.hostname or parts.username is not None:
        raise NotConfigured("the address must name a host, and neither user nor password", FORM)
    target = Target(
        parts.scheme, parts.hostname, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    )
    return ProbeLink(target, budget.connect_s, budget.question_s)


class Target(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_address(self) -> bool:
        try:
            return bool(ipaddress.ip_address(self.host))
        except ValueError:
            return False


class _Failed(Exception):
    """A hop that did not succeed: why, in words."""


class ProbeLink:
    """One address, asked from here."""

    def __init__(self, target: Target, hop_s: float, question_s: float):
        self.target, self._hop_s, self._question_s = target, hop_s, question_s
        self.identity: dict[str, Any] = {}
        self.clock: Clock | None = None  # by the Date of its last response
        self._walked: list[dict] | None = None
        url = f"{target.scheme}://{target.host}:{target.port}{target.path.partition('?')[0]}"  # what follows may be a secret
        self._where = {
            "url": url,
            "asked_from": "a pod" if SERVICE_ACCOUNT.is_file() else "a machine outside of the cluster",
        }

    # --- What sources ask --------------------------------------------------------------------------------------------

    def hops(self) -> Iterator[dict]:
        """A record for each hop of each attempt; the hops after one that failed are not there. Walked once, for every source."""
        if self._walked is not None:
            yield from self._walked
            return
        self._walked, until, number, most = [], time.monotonic() + self._question_s / 2, 0, ATTEMPTS
        while number < most and (number == 0 or time.monotonic() < until):
            walk = _Walk(self.target, self._hop_s, number)
            for hop in walk.hops():
                self._walked.append(hop | {"attempt": number + 1} | self._where)
                yield self._walked[-1]
            self.clock = walk.clock or self.clock
            number, most = number + 1, min(MAX_ATTEMPTS, max(ATTEMPTS, len(walk.addresses)))

    def certificate(self) -> dict:
        """What is served, and whether a client that verifies would accept it. Raises NotReachable where no TLS is spoken."""
        facts: dict[str, Any] = self._where | {"host": self.target.host}
        try:
            facts["address"] = _addresses(self.target, self._hop_s)[0]
            shake = partial(self._handshake, facts["address"])
            facts["chain"] = shake(_unverified(), self.target.host, _served)
        except (OSError, _Failed) as error:
            raise NotReachable(
                f"no certificate was served: {_in_words(error)}", "see the hops of this address"
            ) from None
        facts["why_not"] = self._objection(facts["address"], ssl.create_default_context())
        facts["distrust"] = self._objection(facts["address"], _without_dates_and_names())
        try:
            facts["for_nobody"] = shake(_unverified(), NOBODY, _served)[:1]
        except (OSError, _Failed):
            facts["for_nobody"] = []  # it refuses names that it doesn't know, which is right
        return facts | {"clock_offset_s": self.clock.offset_s if self.clock else None}

    def _objection(self, address: str, context: ssl.SSLContext) -> str:
        """What OpenSSL has against the certificate; "" when nothing.

        Not `cryptography.x509.verification`: it also refuses chains that clients accept (an authority without keyUsage).
        """
        try:
            self._handshake(address, context, self.target.host, lambda secured: None)
        except (OSError, _Failed) as error:
            return _in_words(error)
        return ""

    def _handshake(self, address: str, context: ssl.SSLContext, name: str, look: Callable[[ssl.SSLSocket], Any]) -> Any:
        with (
            socket.create_connection((address, self.target.port), self._hop_s) as plain,
            _given_up_after(self._hop_s, plain),
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            return look(secured)

    def close(self) -> None:
        """Every connection was closed when its hops were done."""


class _Walk:
    """One attempt: the hops one after another, over one connection."""

    def __init__(self, target: Target, hop_s: float, number: int):
        self.target, self.hop_s, self.number = target, hop_s, number
        self.addresses: list[str] = []
        self.clock: Clock | None = None
        self.failed = False

    def hops(self) -> Iterator[dict]:
        if self.target.is_address:
            self._dns()
        else:
            yield self._hop("dns", self._dns)
        if self.failed:
            return
        address = self.addresses[self.number % len(self.addresses)]
        connection: list[socket.socket] = []
        try:
            yield self._hop("tcp", lambda: connection.append(self._tcp(address)), address)
            if not self.failed and self.target.scheme == "https":
                yield self._hop("tls", lambda: connection.append(self._tls(connection.pop())), address)
            if not self.failed:
                yield self._hop("http", lambda: self._http(connection[-1]), address)
        finally:
            for one in connection:
                one.close()

    def _hop(self, name: str, go: Callable[[], dict | None], address: str = "") -> dict:
        began, why, facts = time.monotonic(), "", {}
        try:
            facts = go() or {}
        except (OSError, http.client.HTTPException, _Failed) as error:
            self.failed, why = True, _in_words(error)
        took_ms = (time.monotonic() - began) * 1000
        return {"hop": name, "address": address, "answered": not self.failed, "why": why, "took_ms": took_ms} | facts

    def _dns(self) -> dict:
        self.addresses = _addresses(self.target, self.hop_s)
        return {"address": ", ".join(self.addresses)}

    def _tcp(self, address: str) -> socket.socket:
        return socket.create_connection((address, self.target.port), self.hop_s)

    def _tls(self, plain: socket.socket) -> socket.socket:
        """Whatever certificate is served: it is judged by itself, and a bad one must not hide what comes after."""
        with _given_up_after(self.hop_s, plain):
            try:
                return _unverified().wrap_socket(plain, server_hostname=self.target.host)
            except OSError:
                plain.close()
                raise

    def _http(self, connected: socket.socket) -> dict:
        before, began = datetime.now(UTC), time.monotonic()
        with _given_up_after(self.hop_s, connected):
            asking = http.client.HTTPConnection(self.target.host, self.target.port)
            asking.sock = connected
            asking.request("GET", self.target.path, headers={"User-Agent": "nl_forensics", "Connection": "close"})
            answer = asking.getresponse()
            self.clock = clock_of(answer.getheader("Date"), before, time.monotonic() - began)
            answer.read(MAX_BYTES)
        return {"status": answer.status, "leads_to": urlsplit(answer.getheader("Location", "")).hostname or ""}


def _addresses(target: Target, within_s: float) -> list[str]:
    """As every client here looks a name up, hosts file and search domains included. It can't be interrupted, only left behind."""
    if target.is_address:
        return [target.host]
    found: list[Any] = []

    def look_up():
        try:
            found.append(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(within_s)
    if not found:
        raise _Failed(TOO_LATE)
    if isinstance(found[0], OSError):
        raise found[0]
    return list(dict.fromkeys(str(one[4][0]) for one in found[0]))


@contextmanager
def _given_up_after(seconds: float, connected: socket.socket) -> Iterator[None]:
    """End a conversation in which the other side drips: socket timeouts begin anew with each byte."""
    over = threading.Event()
    handle = socket.socket(fileno=os.dup(connected.fileno()))

    def end():
        over.set()
        with suppress(OSError):  # it has just ended by itself
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException):
        if over.is_set():
            raise _Failed(TOO_LATE) from None
        raise
    finally:
        timer.cancel()
        handle.close()
    if over.is_set():
        raise _Failed(TOO_LATE)


def _unverified() -> ssl.SSLContext:
    """Skips verification: the certificate is only read, and nothing but a GET is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _without_dates_and_names() -> ssl.SSLContext:
    """Whether there is a way to an authority that is trusted here; `SSL_CERT_FILE` names others than the system's."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_flags |= NO_CHECK_TIME
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # how strong it is, is judged by itself, too
    return context


def _served(secured: ssl.SSLSocket) -> list[str]:
    """The certificates as they came, the server's own first, as PEM."""
    if hasattr(secured, "get_unverified_chain"):  # from Python 3.13 on
        chain = secured.get_unverified_chain()
    else:
        chain = [one.public_bytes(ssl._ssl.ENCODING_DER) for one in secured._sslobj.get_unverified_chain()]  # type: ignore
    return [ssl.DER_cert_to_PEM_cert(bytes(one)) for one in chain]


def _in_words(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return WORDS.get(error.errno or 0, str(error.strerror))
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, TimeoutError):
        return TOO_LATE
    if isinstance(error, http.client.RemoteDisconnected | ssl.SSLEOFError):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.HTTPException):
        return f"the answer is none of HTTP ({type(error).__name__})"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    return str(getattr(error, "strerror", "") or error).lower()

"""A server that speaks TLS, with the certificate that a test gives it, and an authority that makes such certificates.

with serving(Authority(folder).chain("localhost")) as server: …
"""

import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from tests.stack.in_thread import answering
from tests.stack.process import HOST, root

LIFE = timedelta(days=90)
ISSUER_URL = "http://authority.example/issuer.crt"


@dataclass(frozen=True)
class Chain:
    """Files that a server is started with: the certificates that it serves, and the key of the first."""

    certificates: Path
    key: Path


class Authority:
    """A root, and the intermediate authority that it vouches for, in a folder; `root` is the file to trust."""

    def __init__(self, folder, name="Example Root"):
        self.folder = folder
        self._root_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._root = _certificate(name, self._root_key, name, self._root_key, is_authority=True)
        self._between = _certificate(f"{name} R1", self._key, name, self._root_key, is_authority=True)
        self.name = f"{name} R1"
        self.root = folder / f"{name.replace(' ', '-')}.pem"
        self.root.write_bytes(_pem(self._root))

    def chain(self, *names, left=0.9, life=LIFE, complete=True, with_root=False, key=None, told=True, digest=None):
        """A certificate for names and addresses.

        left      share of its lifetime that is left; negative: it has expired; above 1: it has not begun
        complete  the intermediate certificate is served, too
        told      it says where the certificate of its issuer can be had
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        leaf = _certificate(
            names[0],
            key,
            self.name,
            self._key,
            names,
            left=left,
            life=life,
            issuer_url=ISSUER_URL if told else "",
            digest=digest,
        )
        above = [self._between] * complete + [self._root] * with_root
        return _written(self.folder, [leaf, *above], key)

    def issued_by_root(self, *names):
        """A certificate that the root itself issued, served alone."""
        key = ec.generate_private_key(ec.SECP256R1())
        root = self._root.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        return _written(self.folder, [_certificate(names[0], key, root, self._root_key, names)], key)


@cache
def our_authority():
    """The one of this process. Who is to trust it: `SSL_CERT_FILE` names its `root`."""
    folder = root() / "authority"
    folder.mkdir()
    return Authority(folder)


def self_signed(folder, *names):
    key = ec.generate_private_key(ec.SECP256R1())
    return _written(folder, [_certificate(names[0], key, names[0], key, names)], key)


def short_key():
    """Of a length that OpenSSL still serves, at a low level of security."""
    return rsa.generate_private_key(65537, 1024)


def _certificate(
    subject, key, issuer, issuer_key, names=(), is_authority=False, left=0.9, life=LIFE, issuer_url="", digest=None
):
    ends = datetime.now(UTC).replace(microsecond=0) + life * left
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - life)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
    if issuer_url:
        told = x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(issuer_url)
        )
        builder = builder.add_extension(x509.AuthorityInformationAccess([told]), critical=False)
    return builder.sign(issuer_key, digest or hashes.SHA256())


def _name(word):
    try:
        return x509.IPAddress(ip_address(word))
    except ValueError:
        return x509.DNSName(word)


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def _written(folder, certificates, key):
    stem = f"{certificates[0].serial_number:x}"
    chain = Chain(folder / f"{stem}.pem", folder / f"{stem}.key")
    chain.certificates.write_bytes(b"".join(map(_pem, certificates)))
    plain = serialization.NoEncryption()
    chain.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return chain


def _context(chain):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT@SECLEVEL=0")  # so that weak certificates can be served at all
    context.load_cert_chain(chain.certificates, chain.key)
    return context


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        time.sleep(self.server.delay_s)
        status, headers = self.server.answer
        self.send_response(status)
        for name, value in {"Content-Length": "3", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"ok\n")

    def date_time_string(self, timestamp=None):
        return format_datetime(datetime.now(UTC) + self.server.clock, usegmt=True)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    """Answers every GET with `answer` (status and headers); its `clock` is ahead by so much, and it waits for `delay_s` first.

    asked   the paths that were asked for
    """

    daemon_threads = True

    def __init__(self):
        super().__init__((HOST, 0), _Answers)
        self.asked, self.answer, self.clock, self.delay_s = [], (200, {}), timedelta(0), 0
        self.port = self.server_address[1]
        self._own = self._default = None

    def serve(self, chain, default=None):
        """From now on: the certificates for the name `localhost`, and for every other name, if they are others."""
        secure = self._own is None
        self._own, self._default = _context(chain), _context(default or chain)
        if secure:
            first = _context(chain)
            first.sni_callback = self._choose
            self.socket = first.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def _choose(self, connection, name, _):
        connection.context = self._own if name == "localhost" else self._default

    def url(self, path="/health"):
        return f"{'https' if self._own else 'http'}://localhost:{self.port}{path}"

    def handle_error(self, request, client_address):
        """A client that refuses the certificate ends the conversation: that is what it is here for."""


@contextmanager
def serving(chain=None, default=None, **how):
    """A server on loopback; plain HTTP without a chain. `how`: attributes of it, such as its `answer`."""
    server = Server()
    vars(server).update(how)
    if chain:
        server.serve(chain, default)
    with answering(server):
        yield server

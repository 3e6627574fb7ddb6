"""A small issuer of tokens: it publishes its keys, signs with the newest, and changes them when told.

/.well-known/jwks.json and /.well-known/openid-configuration, as OpenID Connect Discovery says; tokens are signed by joserfc.
"""

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.stack.in_thread import answering
from tests.stack.process import HOST

ISSUER, AUDIENCE = "https://auth.neurallog.com", "neurallog-api"  # as in the platform file
KEYS, DISCOVERY = "/.well-known/jwks.json", "/.well-known/openid-configuration"
HOUR_S = 3600


def new_key(kid: str, bits: int = 2048) -> RSAKey:
    return RSAKey.generate_key(bits, {"kid": kid, "use": "sig", "alg": "RS256"})


@dataclass
class Issuer:
    """`published`: what it answers instead, by path: (status, headers, body). `clock`: how far its own is ahead. `asked`: paths."""

    port: int
    keys: list[RSAKey] = field(default_factory=lambda: [new_key("2026-10")])
    published: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    clock: timedelta = timedelta(0)
    asked: list[str] = field(default_factory=list)

    @property
    def url(self):
        return f"http://{HOST}:{self.port}{KEYS}"

    @property
    def variable(self):
        """An environment variable of its own for a token to examine: several issuers can run at once."""
        return f"NL_TOKEN_{self.port}"

    def rotate(self, kid="2026-11"):
        """From now on, tokens are signed with a new key; the old one stays published."""
        self.keys.append(new_key(kid))

    def token(self, lasting_s=HOUR_S, header=None, key=None, **claims):
        """A token as a customer gets it; a claim of None is left out."""
        key, now = key or self.keys[-1], int(time.time())
        known = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-4711", "tenant": "acme", "plan": "team"}
        known |= {"iat": now, "nbf": now, "exp": now + lasting_s} | claims
        known = {name: value for name, value in known.items() if value is not None}
        header = {"alg": "RS256", "typ": "JWT", "kid": key.kid} | (header or {})
        return jwt.encode(
            {name: value for name, value in header.items() if value is not None}, known, key, [header["alg"]]
        )

    @contextmanager
    def examined(self, token):
        """This token is to be examined, until the end of `with`."""
        os.environ[self.variable] = token
        try:
            yield
        finally:
            del os.environ[self.variable]

    def answer(self, path):
        """(status, headers, body)."""
        if path in self.published:
            return self.published[path]
        if path == KEYS:
            return 200, {}, json.dumps({"keys": [key.as_dict(private=False) for key in self.keys]}).encode()
        if path == DISCOVERY:
            return 200, {}, json.dumps({"issuer": ISSUER, "jwks_uri": self.url}).encode()
        return 404, {}, b"{}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.issuer.asked.append(self.path)
        status, headers, body = self.server.issuer.answer(self.path)
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp=None):
        return format_datetime(datetime.now(UTC) + self.server.issuer.clock, usegmt=True)

    def log_message(self, *_):
        pass


@contextmanager
def issuer():
    """Serve on loopback, with one key."""
    with answering(ThreadingHTTPServer((HOST, 0), _Handler)) as server:
        server.issuer = Issuer(server.server_port)
        yield server.issuer

"""Faults of tokens, and of the keys of their issuer: each signed and published by a real issuer on loopback."""

import json
import time
from contextlib import contextmanager

from joserfc.jwk import OctKey

from tests.record.specimens import specimen
from tests.stack.issuer import KEYS, new_key

TESTS, PUBLISHED = ("identity_token_tests", "identity_token"), ("identity_keys",)


@contextmanager
def examined(server, **how):
    with server.examined(server.token(**how)):
        yield


def publish(server, *keys):
    server.published[KEYS] = (200, {}, json.dumps({"keys": list(keys)}).encode())


@specimen("the_token_is_valid", sources=TESTS)
@contextmanager
def token_expired(server):
    with examined(server, lasting_s=-600, iat=int(time.time()) - 3600):
        yield


@specimen("the_token_is_valid", sources=TESTS)
@contextmanager
def token_of_another_issuer(server):
    with examined(server, iss="https://auth.shop.example"):
        yield


@specimen("the_token_is_valid", sources=TESTS)
@contextmanager
def token_of_an_unknown_key(server):
    """Its key was never published."""
    with examined(server, key=new_key("2026-12")):
        yield


@specimen("the_token_is_valid", sources=TESTS)
@contextmanager
def token_forged(server):
    """Signed with another key under the id of the published one."""
    with examined(server, key=new_key(server.keys[-1].kid)):
        yield


@specimen("the_token_is_valid", sources=TESTS)
@contextmanager
def token_with_a_shared_secret(server):
    """Under the id of a public key: a verifier that lets the token choose its algorithm takes that key for the secret."""
    secret = OctKey.generate_key(256, {"kid": server.keys[-1].kid})
    with examined(server, header={"alg": "HS256"}, key=secret):
        yield


@specimen("the_token_is_valid", sources=TESTS)
@contextmanager
def token_for_a_year(server):
    with examined(server, lasting_s=365 * 86_400):
        yield


@specimen("only_public_keys_are_published", sources=PUBLISHED)
@contextmanager
def private_key_published(server):
    publish(server, server.keys[0].as_dict(private=True))
    yield


@specimen("only_public_keys_are_published", sources=PUBLISHED)
@contextmanager
def shared_secret_published(server):
    publish(server, OctKey.generate_key(256, {"kid": "hs"}).as_dict(private=True))
    yield


@specimen("published_keys_are_usable", sources=PUBLISHED)
@contextmanager
def published_key_too_short(server):
    publish(server, new_key("2019-01", bits=1024).as_dict(private=False))
    yield


@specimen("published_keys_are_usable", sources=PUBLISHED)
@contextmanager
def published_key_unreadable(server):
    publish(
        server,
        server.keys[0].as_dict(private=False),
        {"kty": "RSA", "kid": "2026-11", "n": "not a number", "e": "AQAB"},
    )
    yield


@specimen("published_keys_have_ids_of_their_own", sources=PUBLISHED)
@contextmanager
def key_ids_shared(server):
    publish(server, *(new_key("current").as_dict(private=False) for _ in range(2)))
    yield

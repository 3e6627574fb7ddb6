"""The messages of the usual libraries, as their sources have them, by the reason of the rejection."""

import pandas as pd
import pytest

from nl_forensics.facts.rejections import REASONS, reason_of, rejections
from nl_forensics.sources.kubernetes.lines import decoded, parsed

MESSAGES = {
    "expired token": (
        "TokenExpiredError: jwt expired",  # jsonwebtoken
        "Signature has expired",  # PyJWT
        "ExpiredTokenError: The token is expired",  # joserfc
        "token has invalid claims: token is expired",  # golang-jwt
        "The Token has expired on 2026-11-30T08:00:00Z.",  # java-jwt
        "Expired JWT",  # Nimbus
        "JWT expired 3600000 milliseconds ago at 2026-11-30T08:00:00.000Z",  # jjwt
    ),
    "token not yet valid": (
        "NotBeforeError: jwt not active",
        "The token is not yet valid (nbf)",
        "token has invalid claims: token is not valid yet",
        "token used before issued",
        "The Token can't be used before 2026-11-30T08:00:00Z.",
        "JWT before use time",
    ),
    "key id not found": (
        "SigningKeyNotFoundError: Unable to find a signing key that matches '2026-11'",  # jwks-rsa
        'Unable to find a signing key that matches: "2026-11"',  # PyJWT
        "InvalidKeyIdError: No key for kid: '2026-11'",  # joserfc
        "token is unverifiable: error while executing keyfunc: kid 2026-11 not found",  # golang-jwt
        "No key found in https://auth.example/.well-known/jwks.json with kid 2026-11",  # jwks-rsa-java
        "Signed JWT rejected: Another algorithm expected, or no matching key(s) found",  # Nimbus
        "unknown key id 2026-11",
    ),
    "bad signature": (
        "JsonWebTokenError: invalid signature",
        "Signature verification failed",
        "BadSignatureError: bad_signature",
        "token signature is invalid: crypto/rsa: verification error",
        "The Token's Signature resulted invalid when verified using the Algorithm: SHA256withRSA",
        "JWT signature does not match locally computed signature. JWT validity cannot be asserted",
        "Signed JWT rejected: Invalid signature",
    ),
    "algorithm not allowed": (
        "JsonWebTokenError: invalid algorithm",
        "The specified alg value is not allowed",
        "UnsupportedAlgorithmError: Algorithm of 'HS256' is not allowed",
        "token signature is invalid: signing method HS256 is invalid",
        "The provided Algorithm doesn't match the one defined in the JWT's Header.",
    ),
    "wrong issuer": (
        "JsonWebTokenError: jwt issuer invalid. expected: https://auth.neurallog.com",
        "InvalidIssuerError: Invalid issuer",
        "InvalidClaimError: Invalid claim: 'iss'",
        "token has invalid claims: token has invalid issuer",
        'JWT iss claim has value "x", must be "y"',
    ),
    "wrong audience": (
        "JsonWebTokenError: jwt audience invalid. expected: neurallog-api",
        "Audience doesn't match",
        "InvalidClaimError: Invalid claim: 'aud'",
        "token has invalid claims: token has invalid audience",
        "The Claim 'aud' value doesn't contain the required audience.",
        'JWT aud claim has value ["shop"], must be "neurallog-api"',
    ),
    "malformed token": (
        "JsonWebTokenError: jwt malformed",
        "DecodeError: Not enough segments",
        "token is malformed: token contains an invalid number of segments",
        "The token was expected to have 3 parts, but got 1.",
        "decode_error: Invalid JSON Web Signature",
    ),
    "key set not readable": (
        "failed to refresh JWKS from https://auth.example: context deadline exceeded",
        "JwksError: connect ECONNREFUSED",
        "Couldn't retrieve remote JWK set: Read timed out",
    ),
    "API key rejected": ("GET /v1/key 401: unknown API key", "revoked api_key for tenant 7", "invalid API-Key"),
    "wrong password": ("invalid credentials for user", "authentication failure; rhost=10.0.0.1", "Login failed"),
    "no credentials": ("UnauthorizedError: No authorization token was found", "jwt must be provided", "missing bearer"),
    "forbidden": ("403 Forbidden", "insufficient_scope: invoices:read", "access denied for role viewer"),
}
OTHERS = (
    "token refreshed",
    "verified token of tenant acme",
    "keys rotated, 2 published",
    "signed invoice 4711",
    "cache of audience segments rebuilt",
    "authentication succeeded",
    'pods is forbidden: User "system:serviceaccount:a:b" cannot list resource "pods" in API group "" in the namespace "a"',
    "GET /v1/token 200",
)


@pytest.mark.parametrize(("reason", "message"), [(reason, one) for reason, many in MESSAGES.items() for one in many])
def test_a_message_has_one_reason(reason, message):
    assert reason_of(message) == reason


@pytest.mark.parametrize("message", OTHERS)
def test_other_messages_reject_nothing(message):
    assert reason_of(message) == ""


def test_every_reason_has_a_message():
    assert MESSAGES.keys() == {one.means for one in REASONS}


def logs(*texts, **more):
    lines = [parsed(decoded(text)) for text in texts]
    rows = pd.DataFrame(
        {
            "at": pd.date_range("2026-11-30", periods=len(lines), freq="s", tz="UTC"),
            "level": [line.level for line in lines],
            "message": [line.message for line in lines],
            "template": [line.template for line in lines],
            "client": [line.client for line in lines],
        }
    )
    return rows.assign(**more)


@pytest.mark.parametrize(("reason", "message"), [(reason, many[0]) for reason, many in MESSAGES.items()])
def test_a_line_of_a_log_has_the_reason_of_its_message(reason, message):
    """The words of every reason pass the search for candidates."""
    rows = rejections(logs(), logs(f"WARN {message}", "INFO all quiet", f"DEBUG {message}"))
    assert list(rows.reason) == [reason]


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ('{"msg": "denied", "client_ip": "203.0.113.9"}', "203.0.113.9"),
        ('{"msg": "denied", "remote_addr": "10.0.0.7:51312"}', "10.0.0.7"),
        ('{"msg": "denied", "x_forwarded_for": "203.0.113.9, 10.0.0.1"}', "203.0.113.9"),
        ('{"msg": "denied", "remoteAddress": "[2001:db8::1]:443"}', "2001:db8::1"),
        ('{"msg": "denied", "client": "checkout"}', None),
        ('{"msg": "denied", "client_ip": {"a": 1}}', None),
        ('{"msg": "denied", "ip": "<script>alert(1)</script>"}', None),
        ("level=warn msg=denied client_ip=203.0.113.9", "203.0.113.9"),
        ("Failed password for root from 203.0.113.9 port 4711", "203.0.113.9"),
        ("WARN login failed client=203.0.113.9:99", "203.0.113.9"),
        ('203.0.113.9 - anna [30/Nov/2026:08:00:00 +0000] "GET /v1 HTTP/1.1" 401 12 "-" "curl"', "203.0.113.9"),
        ("from 999.1.2.3 with love", None),
        ("nothing from anyone", None),
        ("from " + "1" * 100_000, None),
    ],
)
def test_the_client_of_a_line_is_an_address(text, client):
    assert parsed(decoded(text)).client == client

"""What the issuer of tokens publishes, and what a given token is.

Of a key only its properties are recorded; of a token only verdicts, and the claims that reveal nothing.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from joserfc import jwk, jws
from joserfc.errors import JoseError
from joserfc.jws import CompactSignature, JWSRegistry

from nl_forensics.errors import NotGiven
from nl_forensics.inputs.platform import IdentityEndpoint
from nl_forensics.redact import excerpt
from nl_forensics.sources import Partial, Proof, source
from nl_forensics.sources.column import UTC as TIME
from nl_forensics.sources.column import Column
from nl_forensics.sources.digest import digest
from nl_forensics.units import in_seconds

MAX_KEYS, MAX_TEXT = 100, 200
MAX_RSA_BITS = 16_384
PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")  # parts of a JWK that only its owner may have
BITS_OF_CURVE = {"P-256": 256, "P-384": 384, "P-521": 521, "secp256k1": 256, "Ed25519": 256, "Ed448": 448}
UNUSABLE = (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError)


@source(
    columns={
        "kid": Column("str", "id of the key (`kid`); empty if it has none"),
        "kty": Column("str", "type of the key: `RSA`, `EC`, `OKP`; `oct` is a shared secret"),
        "alg": Column("str", "algorithm that it is for; empty if it names none"),
        "use": Column("str", "`sig` or `enc`; empty if it names none"),
        "bits": Column("Int64", "size of the key", absent="its size can't be read"),
        "is_usable": Column("boolean", "it can be read as a public key"),
        "has_private_part": Column("boolean", "its private part or a shared secret is published with it"),
        "thumbprint": Column("str", "start of the SHA-256 thumbprint (RFC 7638); empty if it can't be read"),
    },
    covers="now",
    guide=("C112",),
)
def identity_keys(identity):
    """Keys that the issuer publishes; one row per key.

    Of a key, only its properties are recorded. A verifier that caches the key set rejects every token signed with a newer key.
    """
    yield Proof(f"the key set was read: {len(identity.keys)} keys")
    for one in identity.keys[:MAX_KEYS]:
        yield _properties(one)
    if len(identity.keys) > MAX_KEYS:
        yield Partial(f"keys beyond the first {MAX_KEYS}")


def _properties(one: dict[str, Any]) -> dict:
    key = public_key(one)
    return {
        "kid": text(one.get("kid")),
        "kty": text(one.get("kty")),
        "alg": text(one.get("alg")),
        "use": text(one.get("use")),
        "bits": _bits(one),
        "is_usable": key is not None,
        "has_private_part": any(part in one for part in PRIVATE),
        "thumbprint": digest(key.thumbprint()) if key else "",
    }


def public_key(one: dict[str, Any]) -> Any | None:
    """A published key for checking signatures; None for a shared secret, and for what is no key. Private parts are left out."""
    if one.get("kty") not in ("RSA", "EC", "OKP") or (_bits(one) or 0) > MAX_RSA_BITS:
        return None
    public = {name: value for name, value in one.items() if name not in (*PRIVATE, "key_ops", "use", "alg")}
    try:
        return jwk.import_key(public)
    except UNUSABLE:
        return None


def _bits(one: dict[str, Any]) -> int | None:
    """Of RSA, the size of its modulus: four characters of Base64 are three bytes."""
    if one.get("kty") == "RSA" and isinstance(modulus := one.get("n"), str):
        return len(modulus.rstrip("=")) * 6 // 8 * 8
    return BITS_OF_CURVE.get(str(one.get("crv")))


def text(value: Any) -> str:
    """A short text of whatever type the issuer, or a token, has in this place."""
    return "" if value is None else excerpt(str(value), MAX_TEXT)


# --- A token ----------------------------------------------------------------------------------------------------------

MAX_BYTES, MAX_CLAIMS = 16_384, 40
SKEW_S = 60  # tolerated by most verifiers
FOREIGN_KEYS = ("jwk", "jku", "x5u", "x5c")  # with which a token names the key that it wants to be checked with
SHARED_SECRET = ("HS256", "HS384", "HS512")
Verdict = tuple[bool | None, str]


class _Registry(JWSRegistry):
    max_header_length = max_payload_length = MAX_BYTES


class Token(NamedTuple):
    """A token, taken apart. `fault`: why it can't be, and nothing else is known of it."""

    header: dict[str, Any]
    claims: dict[str, Any]
    compact: CompactSignature | None
    fault: str = ""

    @classmethod
    def faulty(cls, fault: str) -> "Token":
        return cls({}, {}, None, fault)

    def moment(self, claim: str) -> datetime | None:
        """A claim that is a time; None if it has none, or one that is no time."""
        value = self.claims.get(claim)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            return datetime.fromtimestamp(value, UTC)
        except (ValueError, OverflowError, OSError):
            return None


class Examination(NamedTuple):
    """A token, the keys of its issuer, what it must fulfil, and the time by the issuer's clock."""

    token: Token
    keys: list[dict[str, Any]]
    endpoint: IdentityEndpoint
    now: datetime


def take_apart(given: str) -> Token:
    """A token in parts. Messages never quote it."""
    encoded = given.removeprefix("Bearer ").strip().encode(errors="replace")
    if len(encoded) > MAX_BYTES:
        return Token.faulty(f"it is larger than {MAX_BYTES:,} bytes")
    if encoded.count(b".") == 4:
        return Token.faulty("it is encrypted (JWE, five parts), so that only its audience can read it")
    if encoded.count(b".") != 2:
        return Token.faulty(f"it has {encoded.count(b'.') + 1} parts instead of three, so it is not a signed JWT")
    try:
        compact = jws.extract_compact(encoded, registry=_Registry(strict_check_header=False))
        header, claims = compact.headers(), json.loads(compact.payload or b"")
    except (*UNUSABLE, RecursionError):
        return Token.faulty("its header or its claims are not Base64 of a JSON object")
    if not isinstance(header, dict) or not isinstance(claims, dict):
        return Token.faulty("its header or its claims are not a JSON object")
    return Token(header, claims, compact)


def examine(one: Examination) -> Iterator[dict]:
    """A verdict for each aspect; null where an earlier fault keeps it from being tested."""
    fault = one.token.fault
    yield {"aspect": "structure", "passed": not fault, "said": fault or "a signed JWT"}
    for aspect, verdict in ASPECTS.items():
        passed, said = (None, "the token can't be taken apart") if fault else verdict(one)
        yield {"aspect": aspect, "passed": passed, "said": said}


def _header(one: Examination) -> Verdict:
    """A verifier that follows a key in the header accepts whatever the sender signed."""
    if found := [name for name in FOREIGN_KEYS if name in one.token.header]:
        return False, f"it brings its own key ({', '.join(found)}), which no verifier may use"
    if "crit" in one.token.header:
        return False, "it has critical extensions (crit), which a verifier must reject if it does not know them"
    return True, "no key and no critical extension in its header"


def _algorithm(one: Examination) -> Verdict:
    name = text(one.token.header.get("alg")) or "no algorithm"
    if name.lower() == "none":
        return False, "alg is none: it is not signed, and anyone can make one"
    if name in SHARED_SECRET:
        return False, f"{name} uses a shared secret: a verifier that accepts it takes the public key for the secret"
    allowed = one.endpoint.algorithms
    return name in allowed, f"{name}, allowed: {', '.join(allowed)}"


def _key(one: Examination) -> Verdict:
    """By its id; without one, the issuer may publish only one key."""
    kid, usable = text(one.token.header.get("kid")), _candidates(one)
    if kid:
        known = ", ".join(text(key.get("kid")) or "(no id)" for key in one.keys[:5]) or "none"
        return len(usable) == 1, f"kid {kid}, {len(usable)} of the published keys have it; published: {known}"
    return len(usable) == 1, f"no kid, and {len(usable)} published keys fit"


def _candidates(one: Examination) -> list[dict[str, Any]]:
    kid = one.token.header.get("kid")
    return [key for key in one.keys if public_key(key) and (not kid or key.get("kid") == kid)]


def _signature(one: Examination) -> Verdict:
    algorithm, usable = text(one.token.header.get("alg")), _candidates(one)
    if algorithm not in JWSRegistry.algorithms or algorithm in (*SHARED_SECRET, "none"):
        return None, "its algorithm needs no public key"
    if len(usable) != 1 or one.token.compact is None:
        return None, "no single published key fits"
    registry = _Registry(algorithms=[algorithm], strict_check_header=False)
    try:
        right = jws.validate_compact(one.token.compact, public_key(usable[0]), registry=registry)
    except UNUSABLE:
        return False, f"it can't be verified with {algorithm} and the published key"
    return right, "verified with the published key" if right else "it does not match the published key"


def _issuer(one: Examination) -> Verdict:
    said = f"iss is {text(one.token.claims.get('iss')) or 'missing'}"
    wanted = one.endpoint.issuer
    return not wanted or one.token.claims.get("iss") == wanted, said + (f", required: {wanted}" if wanted else "")


def _audience(one: Examination) -> Verdict:
    named, wanted = one.token.claims.get("aud"), one.endpoint.audience
    found = named if isinstance(named, list) else [named]
    said = f"aud is {', '.join(filter(None, map(text, found[:5]))) or 'missing'}"
    return not wanted or wanted in found, said + (f", required: {wanted}" if wanted else "")


def _expiry(one: Examination) -> Verdict:
    if (ends := one.token.moment("exp")) is None:
        return False, "it has no exp that is a time: it never expires"
    left = (ends - one.now).total_seconds()
    at = f"{ends:%Y-%m-%d %H:%M:%S} UTC"
    return left > 0, f"expires at {at}" if left > 0 else f"expired at {at}, by the issuer's clock"


def _start(one: Examination) -> Verdict:
    """A start in the future is a clock that is wrong, at the issuer or here."""
    known = {name: moment for name in ("nbf", "iat") if (moment := one.token.moment(name))}
    for name, moment in known.items():
        if moment > one.now + timedelta(seconds=SKEW_S):
            return False, f"{name} is {moment:%Y-%m-%d %H:%M:%S} UTC, in the future by the issuer's clock"
    return True, f"{' and '.join(known)} passed" if known else "it names no start"


def _lifetime(one: Examination) -> Verdict:
    begins, ends = one.token.moment("iat") or one.token.moment("nbf"), one.token.moment("exp")
    if begins is None or ends is None:
        return None, "it has no time of issue or of expiry"
    lasts_s, most_s = (ends - begins).total_seconds(), one.endpoint.max_lifetime_s
    return lasts_s <= most_s, f"valid for {in_seconds(max(lasts_s, 0))} (limit {in_seconds(most_s)})"


ASPECTS: dict[str, Callable[[Examination], Verdict]] = {
    "header": _header,
    "algorithm": _algorithm,
    "key id": _key,
    "signature": _signature,
    "issuer": _issuer,
    "audience": _audience,
    "expiry": _expiry,
    "start": _start,
    "lifetime": _lifetime,
}


@source(
    columns={
        "aspect": Column("str", "aspect that was tested: `structure`, `signature`, `expiry`, …"),
        "passed": Column(
            "boolean", "the token passes the test", unknown="an earlier fault of the token keeps it from being tested"
        ),
        "said": Column("str", "result in words, without any part of the token but ids, names and times"),
    },
    covers="now",
    guide=("C112", "C113"),
)
def identity_token_tests(identity):
    """Tests of the token in the environment variable `token_from` of the platform file; one row per aspect.

    As a strict verifier does: signature by the published keys, issuer, audience and algorithms by the platform file, times by the
    issuer's clock. Whether it was revoked is not known.
    """
    yield from examine(_examination(identity))


@source(
    columns={
        "typ": Column("str", "type in its header; empty if none"),
        "alg": Column("str", "algorithm in its header; empty if none"),
        "kid": Column("str", "id of its key; empty if none"),
        "iss": Column("str", "issuer; empty if none"),
        "aud": Column("str", "audience; empty if none"),
        "user_id": Column("str", "subject, as a pseudonym; empty if none"),
        "issued_at": Column(TIME, "it was issued (`iat`)", absent="it has no time of issue"),
        "valid_from_at": Column(TIME, "it is valid from (`nbf`)", absent="it has no start"),
        "expires_at": Column(TIME, "it expires (`exp`)", absent="it has no time of expiry"),
        "claims": Column("str", "names of its claims"),
        "size_bytes": Column("Int64", "size of the token"),
    },
    covers="now",
    guide=("C112", "C113"),
)
def identity_token(identity):
    """The token in the environment variable `token_from` of the platform file: ids, names and times in it; one row.

    Neither the token nor the value of any other claim is recorded. They are as the token has them, whether or not its signature is right.
    """
    token = _examination(identity).token
    named = token.claims.get("aud")
    yield {
        **{name: text(token.header.get(name)) for name in ("typ", "alg", "kid")},
        "iss": text(token.claims.get("iss")),
        "aud": text(", ".join(map(text, named)) if isinstance(named, list) else named),
        "user_id": text(token.claims.get("sub")),
        **{column: _iso(token.moment(claim)) for column, claim in TIMES.items()},
        "claims": ", ".join(sorted(text(name) for name in token.claims)[:MAX_CLAIMS]),
        "size_bytes": len(identity.token.encode(errors="replace")),
    }


TIMES = {"issued_at": "iat", "valid_from_at": "nbf", "expires_at": "exp"}


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _examination(identity) -> Examination:
    """Raises NotGiven without a token."""
    if not identity.token:
        raise NotGiven(
            "no token to examine was given", f"set {identity.endpoint.token_from} to one, if one is in doubt"
        )
    return Examination(take_apart(identity.token), identity.keys, identity.endpoint, identity.now())

"""The published keys of an issuer (JWKS): their properties, never the keys themselves."""

from typing import Any

from joserfc import jwk
from joserfc.errors import JoseError

from nl_forensics.redact import excerpt
from nl_forensics.sources import Partial, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.digest import digest

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

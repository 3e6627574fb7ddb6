"""auth-service: whose API key, or whose token, is it? Known keys are kept in Redis for a minute, those of the issuer in memory."""

import hashlib
import json
import time

import requests
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from prometheus_client import Counter

from tests.stack.neurallog.programs.service import PATIENCE_S, Refused, Service

KEYS = "http://issuer.neurallog-data:8080/.well-known/jwks.json"
CLAIMS = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": "https://auth.neurallog.com"},
    aud={"essential": True, "value": "neurallog-api"},
    exp={"essential": True},
)
AGAIN_AFTER_S = 10  # for an unknown key id, the key set is read anew, but not more often
CHECKS = Counter("auth_checks", "API keys and tokens looked up", ["result"])
service = Service("key_cache_s")
issuer = {"keys": None, "read_at": 0.0}


@service.route("GET", "/v1/key")
def key(request):
    """The tenant that an API key (header X-Api-Key) belongs to."""
    hashed = hashlib.md5(request.headers.get("X-Api-Key", "").encode()).hexdigest()
    if kept := service.redis.get(f"cache:api_key:{hashed}"):
        CHECKS.labels("cached").inc()
        return json.loads(kept)
    query = (
        "SELECT tenants.id, tenants.name, plan FROM api_keys JOIN tenants ON tenants.id = tenant_id"
        " WHERE key_hash = %s AND revoked_at IS NULL"
    )
    with service.database() as sql:
        row = sql.execute(query, [hashed]).fetchone()
    if not row:
        CHECKS.labels("unknown").inc()
        raise Refused(401, "unknown API key")
    CHECKS.labels("looked_up").inc()
    tenant = {"id": row[0], "name": row[1], "plan": row[2]}
    service.redis.set(f"cache:api_key:{hashed}", json.dumps(tenant), ex=service.settings["key_cache_s"])
    return tenant


@service.route("GET", "/v1/token")
def token(request):
    """The tenant that a token (header Authorization) belongs to."""
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    try:
        claims = _claims(given)
    except JoseError as error:
        CHECKS.labels("rejected").inc()
        raise Refused(401, f"{type(error).__name__}: {error.description or error.error}") from None
    CHECKS.labels("verified").inc()
    return {"name": claims["tenant"], "plan": claims["plan"]}


def _claims(given):
    try:
        decoded = jwt.decode(given, _keys(), algorithms=["RS256"])
    except InvalidKeyIdError:
        if service.faults["keys_kept"] or time.monotonic() - issuer["read_at"] < AGAIN_AFTER_S:
            raise
        issuer["keys"] = None
        decoded = jwt.decode(given, _keys(), algorithms=["RS256"])
    CLAIMS.validate(decoded.claims)
    return decoded.claims


def _keys():
    """The keys of the issuer, read once."""
    if issuer["keys"] is None:
        answer = requests.get(KEYS, timeout=PATIENCE_S)
        issuer.update(keys=KeySet.import_key_set(answer.json()), read_at=time.monotonic())
    return issuer["keys"]


if __name__ == "__main__":
    service.run()

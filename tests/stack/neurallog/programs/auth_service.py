"""auth-service: whose API key is it? Known keys are kept in Redis for a minute."""

import hashlib
import json

from prometheus_client import Counter

from tests.stack.neurallog.programs.service import Refused, Service

CHECKS = Counter("auth_checks", "API keys looked up", ["result"])
service = Service("key_cache_s")


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


if __name__ == "__main__":
    service.run()

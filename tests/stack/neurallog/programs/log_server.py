"""log-server: one for each tenant. Puts the tenant's lines into the queue, and moves what waits there to the database."""

import json
import os
import time

import psycopg
from prometheus_client import Counter, Gauge

from tests.stack.neurallog.programs.service import Refused, Service

QUEUE = "log_queue"
TENANT_ID = int(os.environ["NL_TENANT_ID"])
TENANT = os.environ["NL_TENANT"]
USAGE_KEPT_S = 24 * 3600

RECEIVED = Counter("log_lines_received", "Lines that the tenant sent", ["tenant"])
STORED = Counter("log_lines_stored", "Lines moved from the queue to the database", ["tenant"])
WAITING = Gauge("log_queue_length", "Lines of all tenants that wait in the queue")

service = Service("store_lines", "store_every_s")


@service.route("POST", "/v1/lines")
def take(request):
    """Take lines into the queue, and count them for the bill."""
    lines = request.json().get("lines")
    if not isinstance(lines, list) or not all(isinstance(line, dict) and "message" in line for line in lines):
        raise Refused(400, "lines must be a list of objects with a message")
    queued = [
        json.dumps({"tenant": TENANT_ID, "of": TENANT, "level": line.get("level", "info"), "message": line["message"]})
        for line in lines
    ]
    usage = f"usage:{TENANT_ID}:{time.strftime('%Y%m%d%H', time.gmtime())}"
    pipeline = service.redis.pipeline()
    pipeline.lpush(QUEUE, *queued)
    pipeline.hincrby(usage, "logs_ingested", len(queued))
    pipeline.expire(usage, USAGE_KEPT_S)
    pipeline.execute()
    RECEIVED.labels(TENANT).inc(len(queued))
    return {"taken": len(queued)}


@service.route("GET", "/v1/lines")
def read(request):
    """The newest lines of the tenant."""
    query = (
        "SELECT recorded_at, level, message FROM log_entries WHERE tenant_id = %s ORDER BY recorded_at DESC LIMIT 50"
    )
    with service.database() as sql:
        rows = sql.execute(query, [TENANT_ID]).fetchall()
    return [{"at": at, "level": level, "message": message} for at, level, message in rows]


@service.background(service.settings["store_every_s"])
def store():
    """Move lines to the database; what can't be stored goes back to where it was."""
    WAITING.set(service.redis.llen(QUEUE))
    waiting = service.redis.rpop(QUEUE, service.settings["store_lines"]) or []
    if not waiting:
        return
    lines = [json.loads(line) for line in waiting]
    columns = [[line[name] for line in lines] for name in ("tenant", "level", "message")]
    insert = (
        "INSERT INTO log_entries (tenant_id, level, message, service)"
        " SELECT *, 'log-server' FROM unnest(%s::bigint[], %s::text[], %s::text[])"
    )
    try:
        with service.database() as sql:
            sql.execute(insert, columns)
    except (psycopg.Error, Refused):
        service.redis.rpush(QUEUE, *reversed(waiting))
        raise
    # The queue is of all tenants, and of others who push there: what this server took in or another one.
    for line in lines:
        if "of" in line:
            STORED.labels(line["of"]).inc()


if __name__ == "__main__":
    service.run()

"""billing-service: moves counted usage from Redis to the database, and takes payments."""

import random
import time

import psycopg
from prometheus_client import Counter, Gauge

from tests.stack.neurallog.programs.logs import log
from tests.stack.neurallog.programs.service import Refused, Service

PAYMENTS = Counter("billing_payments", "Payments taken or declined", ["status"])
FLUSHED = Counter("billing_usage_flushed", "Usage records written")
LAST_FLUSH = Gauge("billing_last_flush_timestamp_seconds", "When usage was last moved to the database")
DECLINED_RATIO = 0.02  # as a payment provider does it on a good day

service = Service("flush_every_s", "payment_every_s")
left_open = []  # connections


@service.background(service.settings["flush_every_s"])
def flush_usage():
    keys = list(service.redis.scan_iter("usage:*", count=500))
    for key in keys:
        tenant = int(key.split(":")[1])
        # Taken and removed in one step: what is counted meanwhile is not lost.
        counted, _ = service.redis.pipeline().hgetall(key).delete(key).execute()
        try:
            write_usage(tenant, counted, f"{key}:{time.time_ns()}")
        except (psycopg.Error, Refused):
            for metric, value in counted.items():
                service.redis.hincrby(key, metric, value)
            raise
        FLUSHED.inc(len(counted))
    LAST_FLUSH.set(time.time())
    log("info", "usage flushed", keys=len(keys))


def write_usage(tenant, counted, flush):
    """`flush`: of which no other record is, so that one written again would be seen."""
    insert = "INSERT INTO usage_records (tenant_id, metric_type, value, idempotency_key) VALUES (%s, %s, %s, %s)"
    with service.database() as sql, sql.transaction():
        for metric, value in counted.items():
            sql.execute(insert, [tenant, metric, value, f"{flush}:{metric}"])


@service.background(service.settings["payment_every_s"])
def take_payment():
    with service.database() as sql, sql.transaction():
        tenant, currency = sql.execute("SELECT id, currency FROM tenants ORDER BY random() LIMIT 1").fetchone()
        insert = "INSERT INTO payments (tenant_id, amount_cents, currency, status) VALUES (%s, %s, %s, 'pending') RETURNING id"
        (payment,) = sql.execute(insert, [tenant, random.randint(100, 20_000), currency]).fetchone()
        declined = random.random() < DECLINED_RATIO
        status, error = ("failed", "card_declined") if declined else ("succeeded", None)
        sql.execute("UPDATE payments SET status = %s, error_code = %s WHERE id = %s", [status, error, payment])
    PAYMENTS.labels(status).inc()
    log("warn" if declined else "info", f"payment {status}", payment=payment, tenant_id=tenant, error_code=error)


@service.background(1)
def leave_a_payment_open():
    """The fault `open_payment`."""
    if service.faults["open_payment"] and not left_open:
        left_open.append(service.open_connection())
        left_open[0].execute("BEGIN")
        left_open[0].execute("UPDATE invoices SET status = 'paid' WHERE tenant_id = 1")


@service.route("GET", "/v1/invoices/{tenant}")
def invoices(request):
    query = (
        "SELECT period_start, amount_cents, status FROM invoices JOIN tenants ON tenants.id = tenant_id"
        " WHERE name = %s ORDER BY period_start DESC LIMIT 12"
    )
    with service.database() as sql:
        rows = sql.execute(query, [request.found["tenant"]]).fetchall()
    return [{"period_start": start, "amount_cents": cents, "status": status} for start, cents, status in rows]


if __name__ == "__main__":
    service.run()

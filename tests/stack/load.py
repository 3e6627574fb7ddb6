"""Load that looks like the platform: requests, a log queue and its consumer, usage counters and their flush, payments.

    api-gateway      looks up an API key, reads and writes cache:* and session:*, pushes to log_queue, counts usage:*
    log-processor    pops log_queue into log_entries
    billing-service  moves usage:* into usage_records, takes payments

Servers that a test stops, freezes or fills are part of the game: a service counts the error, waits, and tries again.
"""

import json
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager

import psycopg
import redis

from tests.stack import postgres

TENANTS = 20
API_KEYS = 60
AFTER_ERROR_S = 0.2
HOUR_S = 3600


class Load:
    """Running load. `done` counts what was done, per kind of work; `errors` what failed, per kind of error."""

    def __init__(self, database, cache, lasting_s):
        self.database = database  # a Postgres or a PgBouncer
        self.cache = cache
        self.ends_at = time.monotonic() + lasting_s
        self.done = Counter()
        self.errors = Counter()
        self._stopped = threading.Event()
        self._threads = []

    def stop(self):
        """Stop, and wait a little for the services: one that hangs on a frozen server ends by its own timeout."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=5)

    def running(self):
        return not self._stopped.is_set() and time.monotonic() < self.ends_at

    def run(self, service, work, per_second):
        """Do one piece of `work` after the other, in a thread and a database session of its own."""

        def loop():
            while self.running():
                try:
                    with self._database_session(service) as sql, self.cache.connect() as keys:
                        while self.running():
                            work(sql, keys)
                            self.done[work.__name__] += 1
                            self._stopped.wait(random.expovariate(per_second))
                except (psycopg.Error, redis.RedisError) as error:
                    self.errors[type(error).__name__] += 1
                    self._stopped.wait(AFTER_ERROR_S)

        # A daemon: a test that fails must not hang on its load.
        thread = threading.Thread(target=loop, name=service, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _database_session(self, service):
        return psycopg.connect(
            self.database.dsn("app", postgres.DATABASE),
            application_name=service,
            autocommit=True,
            connect_timeout=3,
            prepare_threshold=None,  # PgBouncer in transaction mode has no prepared statements
        )


@contextmanager
def load(database, cache, per_second=10, consume=True, lasting_s=600):
    """Put load on a PostgreSQL (or its PgBouncer) and a Redis until the end of `with`, or for `lasting_s` at most.

    per_second  requests of each of the two gateways; 10 take about 5 % of one core
    consume     False: nobody reads log_queue, so it grows
    """
    running = Load(database, cache, lasting_s)
    for _ in range(2):
        running.run("api-gateway", handle_request, per_second)
    if consume:
        # Seldom enough that the queue is hardly ever empty: an empty list is no key, and has no series.
        running.run("log-processor", store_logs, per_second / 5)
    running.run("billing-service", bill, per_second / 2)
    try:
        yield running
    finally:
        running.stop()


# What a tenant's dashboard shows. Several, so that no query of a healthy platform takes most of the time.
DASHBOARD = (
    "SELECT email, role FROM users WHERE tenant_id = %s",
    "SELECT period_start, amount_cents, status FROM invoices WHERE tenant_id = %s ORDER BY period_start DESC LIMIT 12",
    "SELECT level, service, message FROM log_entries WHERE tenant_id = %s ORDER BY recorded_at DESC LIMIT 50",
    "SELECT status, count(*) FROM payments WHERE tenant_id = %s AND created_at > now() - interval '1 day' GROUP BY 1",
    "SELECT metric_type, sum(value) FROM usage_records WHERE tenant_id = %s AND recorded_at > now() - interval '1 day'"
    " GROUP BY 1",
)


def handle_request(sql, keys):
    """A customer sends a few log lines and looks at the dashboard, which is cached for a moment."""
    tenant = random.randint(1, TENANTS)
    sql.execute("SELECT tenant_id FROM api_keys WHERE key_hash = md5(%s)", [f"key{random.randint(1, API_KEYS)}"])
    keys.set(f"session:{random.randint(1, 500)}", json.dumps({"tenant": tenant}), ex=HOUR_S // 2)
    part = random.randrange(len(DASHBOARD))
    if not keys.get(f"cache:dashboard:{tenant}:{part}"):
        rows = sql.execute(DASHBOARD[part], [tenant]).fetchall()
        keys.set(f"cache:dashboard:{tenant}:{part}", json.dumps(rows, default=str), ex=30)
    lines = [json.dumps({"tenant": tenant, "level": "info", "message": f"line {n} of a request"}) for n in range(3)]
    keys.lpush("log_queue", *lines)
    usage = f"usage:{tenant}:{time.strftime('%Y%m%d%H', time.gmtime())}"
    keys.hincrby(usage, "logs_ingested", len(lines))
    keys.expire(usage, 24 * HOUR_S)


def store_logs(sql, keys):
    """Move what waits in the queue into the database."""
    lines = [json.loads(line) for line in keys.rpop("log_queue", 500) or []]
    columns = [[line[name] for line in lines] for name in ("tenant", "level", "message")]
    sql.execute(
        "INSERT INTO log_entries (tenant_id, level, message, service)"
        " SELECT *, 'api-gateway' FROM unnest(%s::bigint[], %s::text[], %s::text[])",
        columns,
    )


def bill(sql, keys):
    """Flush one tenant's usage, and take a payment."""
    tenant = random.randint(1, TENANTS)
    for key in keys.scan_iter(f"usage:{tenant}:*", count=500):
        counted = keys.hgetall(key)
        keys.delete(key)
        for metric, value in counted.items():
            insert = (
                "INSERT INTO usage_records (tenant_id, metric_type, value, idempotency_key) VALUES (%s, %s, %s, %s)"
            )
            sql.execute(insert, [tenant, metric, value, f"{key}:{metric}:{time.time_ns()}"])
    with sql.transaction():
        insert = (
            "INSERT INTO payments (tenant_id, amount_cents, currency, status)"
            " SELECT id, %s, currency, 'pending' FROM tenants WHERE id = %s RETURNING id"
        )
        (payment,) = sql.execute(insert, [random.randint(100, 20_000), tenant]).fetchone()
        status, error = random.choices([("succeeded", None), ("failed", "card_declined")], weights=[49, 1])[0]
        sql.execute("UPDATE payments SET status = %s, error_code = %s WHERE id = %s", [status, error, payment])

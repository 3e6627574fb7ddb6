"""A platform that bills in good order: usage without gaps, invoices that follow from it, payments and their events, here and at Stripe.

Written with the clock of this machine: that of a server may be set otherwise.
"""

import random
from datetime import UTC, datetime, timedelta

from nl_forensics.inputs.parameters import read_yaml, shipped
from nl_forensics.inputs.platform import Platform
from nl_forensics.money import price_of
from tests.stack import stripe as api

PRICES = Platform.model_validate(read_yaml(shipped("platforms/neurallog.yaml"))).billing.prices
FLUSH = timedelta(minutes=4)  # between two records of a tenant and metric
BEFORE, AHEAD = timedelta(hours=4), timedelta(minutes=40)  # a story lasts a while: what it would write is written ahead
PAYMENTS, EVERY = 90, timedelta(minutes=2)
LIVE, EVERY_LIVE = 5_000, timedelta(seconds=20)
DECLINED = 30  # each of that many payments, as on a good day
SEED = 20


def fill(database, shown, now=None):
    """Fill the tables of a Postgres, and a small Stripe."""
    now = now or datetime.now(UTC)
    chance = random.Random(SEED)
    with database.connect("app") as sql:
        tenants = sql.execute("SELECT id, name, plan, currency, stripe_customer FROM tenants ORDER BY id").fetchall()
        _write_usage(sql, tenants, now, chance)
        _write_invoices(sql, tenants, now, shown)
        _take_payments(sql, tenants, now, shown, chance)
        sql.execute("ANALYZE usage_records, invoices, invoice_lines, payments, webhook_events")


def record_usage(sql, rows):
    """Rows of (tenant id, metric, value, time), each with a key of its own."""
    insert = "COPY usage_records (tenant_id, metric_type, value, recorded_at, idempotency_key) FROM STDIN"
    with sql.cursor() as cursor, cursor.copy(insert) as copy:
        for tenant, metric, value, at in rows:
            copy.write_row((tenant, metric, value, at, f"{tenant}:{metric}:{at:%Y%m%d%H%M%S}"))


def period(now):
    """The billing period that ended last: yesterday."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=1), today


def _write_usage(sql, tenants, now, chance):
    begun, _ended = period(now)
    moments = [begun + timedelta(hours=hour, minutes=30) for hour in range(24)]
    at = now - BEFORE
    while at < now + AHEAD:
        moments.append(at)
        at += FLUSH
    rows = [
        (tenant, metric, chance.randint(100, 9_000), at)
        for tenant, *_ in tenants
        for metric in PRICES
        for at in moments
    ]
    record_usage(sql, rows)


def _write_invoices(sql, tenants, now, shown):
    """Invoices of yesterday, computed from all that was recorded then."""
    begun, ended = period(now)
    used = sql.execute(
        "SELECT tenant_id, metric_type, sum(value)::bigint FROM usage_records WHERE recorded_at >= %s AND recorded_at < %s GROUP BY 1, 2",
        [begun, ended],
    ).fetchall()
    for tenant, name, plan, currency, customer in tenants:
        if plan == "free":
            continue
        lines = [
            (metric, units, price_of(units, PRICES[metric][currency].amount, PRICES[metric][currency].per))
            for of, metric, units in used
            if of == tenant
        ]
        total = sum(amount for *_, amount in lines)
        bill = api.invoice(tenant, total, currency, ended.timestamp(), name, customer)
        (number,) = sql.execute(
            "INSERT INTO invoices (tenant_id, period_start, period_end, amount_cents, currency, status, stripe_id)"
            " VALUES (%s, %s, %s, %s, %s, 'paid', %s) RETURNING id",
            [tenant, begun.date(), ended.date(), total, currency, bill["id"]],
        ).fetchone()
        for line in lines:
            sql.execute("INSERT INTO invoice_lines VALUES (%s, %s, %s, %s)", [number, *line])
        shown.objects.setdefault("invoices", []).append(bill)


def _take_payments(sql, tenants, now, shown, chance):
    for number in range(PAYMENTS):
        at = now - EVERY * (number + 1)
        _, name, _, currency, customer = chance.choice(tenants)
        decline = "insufficient_funds" if number % DECLINED == DECLINED - 1 else ""
        take_payment(sql, shown, number, at, chance.randint(500, 20_000), name, currency, customer, decline)


def take_payment(sql, shown, number, at, amount, tenant, currency, customer, decline="", is_received=True):
    """One payment at Stripe and in the database, and its event: Stripe has sent it, and the platform has processed it."""
    event = _at_stripe(shown, number, at, amount, tenant, currency, customer, decline)
    sql.execute(
        "INSERT INTO payments (tenant_id, amount_cents, currency, status, error_code, created_at)"
        " SELECT id, %s, %s, %s, %s, %s FROM tenants WHERE name = %s",
        [amount, currency, "failed" if decline else "succeeded", decline or None, at, tenant],
    )
    if is_received:
        receive(sql, event, at + timedelta(seconds=2))
    return event


def _at_stripe(shown, number, at, amount, tenant, currency, customer, decline=""):
    """A payment and its event, as Stripe shows them."""
    one = api.payment(number, amount, currency, at.timestamp(), tenant, customer, decline)
    outcome = "payment_failed" if decline else "succeeded"
    event = api.event(
        number, f"payment_intent.{outcome}", one["id"], at.timestamp() + 1, customer=customer, tenant=tenant
    )
    shown.objects.setdefault("payment_intents", []).append(one)
    shown.objects.setdefault("events", []).append(event)
    return event


def catch_up(database, shown, since, until):
    """The payments of a time that was played live, at Stripe and in the database."""
    with database.connect("app") as sql:
        for number, at, amount, customer in _live(sql, since, until):
            take_payment(sql, shown, LIVE + number, at, amount, *customer)


def fall_silent(database, shown, since, until):
    """Stripe goes on taking payments, while the platform neither writes one nor confirms an event: a lock blocks both."""
    with database.connect("app") as sql:
        for number, at, amount, (tenant, currency, customer) in _live(sql, since, until):
            event = _at_stripe(shown, 2 * LIVE + number, at, amount, tenant, currency, customer)
            event |= {"pending_webhooks": 1, "_delivered": False}


def _live(sql, since, until):
    """(number, time, amount, (tenant, currency, customer)) of each payment of that time."""
    chance = random.Random(SEED)
    tenants = sql.execute("SELECT name, currency, stripe_customer FROM tenants ORDER BY id").fetchall()
    for number in range(int((until - since) / EVERY_LIVE)):
        yield number, since + EVERY_LIVE * number, chance.randint(500, 20_000), chance.choice(tenants)


def rename(shown, before, name):
    """A tenant has another name from now on, at Stripe as well."""
    for one in shown.objects.get("payment_intents", []) + shown.objects.get("invoices", []):
        one["metadata"] |= {"tenant": name} if one["metadata"].get("tenant") == before else {}
    for one in shown.objects.get("events", []):
        about = one["data"]["object"]["metadata"]
        about |= {"tenant": name} if about.get("tenant") == before else {}


def receive(sql, event, at, processed_after_s=0.5, verified=True):
    """An event arrives at the billing service; with None in place of the seconds, it is never processed."""
    processed = None if processed_after_s is None else at + timedelta(seconds=processed_after_s)
    sql.execute(
        "INSERT INTO webhook_events (event_id, type, object_id, created_at, received_at, processed_at, signature_verified)"
        " VALUES (%s, %s, %s, to_timestamp(%s), %s, %s, %s)",
        [event["id"], event["type"], event["data"]["object"]["id"], event["created"], at, processed, verified],
    )

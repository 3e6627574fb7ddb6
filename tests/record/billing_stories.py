"""Incidents of billing: payments, events, usage. The databases run, and a small Stripe; a cluster has no part in them."""

import time
from datetime import UTC, datetime, timedelta

from tests.record.postgres_stories import SETTLED_S
from tests.record.stories import story
from tests.stack import billing
from tests.stack.load import load

SINCE = timedelta(minutes=22)
# Units of a metric that were recorded after the invoice run, by tenant: of three currencies, one of them without a minor unit.
LATE = {1: 250_000, 2: 64_000, 4: 1_000_000, 5: 125_000, 7: 33_000, 16: 90_000}
LATE_METRIC = "logs_ingested"


@story("Customers write that their card is declined, and the bank knows of nothing")
def payments_failing(stage):
    """A new rule of fraud protection declines what is paid from abroad: four of five payments."""
    with stage.servers() as servers, load(servers.pgbouncer, servers.redis):
        now = datetime.now(UTC)
        with servers.postgres.connect() as sql:
            customers = sql.execute("SELECT name, currency, stripe_customer FROM tenants ORDER BY id").fetchall()
            for n in range(60):
                decline = "fraudulent" if n % 5 else ""
                at = now - SINCE + timedelta(seconds=20 * n)
                billing.take_payment(sql, servers.stripe, 500 + n, at, 1_900 + 10 * n, *customers[n % 20], decline)
        time.sleep(SETTLED_S)
        stage.record(servers.environment())


@story("Paid invoices stay open, and suspended tenants stay suspended")
def webhooks_undelivered(stage):
    """The address of the endpoint answers 500 since a release: Stripe has the payments, the platform does not hear of them."""
    with stage.servers() as servers, load(servers.pgbouncer, servers.redis):
        began = datetime.now(UTC) - SINCE
        lost = [one for one in servers.stripe.objects["events"] if one["created"] > began.timestamp()]
        for one in lost:
            one |= {"pending_webhooks": 1, "_delivered": False}
        with servers.postgres.connect() as sql:
            sql.execute("DELETE FROM webhook_events WHERE event_id = ANY (%s)", [[one["id"] for one in lost]])
            sql.execute("UPDATE invoices SET status = 'open' WHERE stripe_id IS NOT NULL AND id % 3 = 0")
        time.sleep(SETTLED_S)
        stage.record(servers.environment())


@story("Some customers were credited twice")
def webhooks_duplicated(stage):
    """The billing service answers too late, so that Stripe sends each event again; it does not look whether it knows the event."""
    with stage.servers() as servers, load(servers.pgbouncer, servers.redis):
        began = datetime.now(UTC) - SINCE
        with servers.postgres.connect() as sql:
            for one in servers.stripe.objects["events"]:
                if one["created"] > began.timestamp():
                    again = datetime.fromtimestamp(one["created"], UTC) + timedelta(seconds=65)
                    billing.receive(sql, one, again)
        time.sleep(SETTLED_S)
        stage.record(servers.environment())


@story("The revenue of yesterday is too low")
def usage_lost(stage):
    """The job that writes usage hung for hours; what it wrote in the end came after the invoices had been made."""
    with stage.servers() as servers, load(servers.pgbouncer, servers.redis):
        begun, _ = billing.period(datetime.now(UTC))
        late = begun + timedelta(hours=21, seconds=11)
        with servers.postgres.connect() as sql:
            billing.record_usage(sql, [(tenant, LATE_METRIC, units, late) for tenant, units in LATE.items()])
        time.sleep(SETTLED_S)
        stage.record(servers.environment())

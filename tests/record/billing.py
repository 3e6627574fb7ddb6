"""Faults of billing: usage, invoices, payments, events, here and at Stripe."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.record.specimens import specimen
from tests.stack import billing
from tests.stack import stripe as api

EVENTS = ("stripe_events", "billing_events", "stripe_endpoints")
OLDER = timedelta(minutes=20)  # than what may still be under way


def _now():
    return datetime.now(UTC)


def _filled(server):
    """The platform in good order on a PostgreSQL, whose Stripe nobody asks."""
    billing.fill(server, api.Stripe(0))
    return server


# --- Stripe -----------------------------------------------------------------------------------------------------------


@specimen("stripe_answers_quickly", sources=("stripe_requests",))
@contextmanager
def stripe_is_slow(server):
    server.delay_s = 2.2
    yield
    server.delay_s = 0


@specimen("every_webhook_endpoint_is_enabled", sources=("stripe_endpoints",))
@contextmanager
def endpoint_disabled(server):
    server.objects["webhook_endpoints"] = [api.endpoint(), api.endpoint(2, status="disabled")]
    yield


@specimen("endpoints_use_the_expected_version", sources=("stripe_endpoints", "stripe_events"))
@contextmanager
def endpoint_of_an_old_version(server):
    server.objects["webhook_endpoints"] = [api.endpoint(version="2023-10-16")]
    server.objects["events"] = [api.event(1, "invoice.paid", "in_test00000001", time.time() - 60)]
    yield


@specimen("every_event_is_delivered", sources=("stripe_undelivered",))
@contextmanager
def events_undelivered(server):
    """One since an hour, one for so long that Stripe has given up."""
    server.objects["events"] = [
        api.event(
            n, "invoice.paid", f"in_test{n:08}", time.time() - age_s, pending=1, tenant="tenant-4", delivered=False
        )
        for n, age_s in enumerate([api.HOUR_S, 4 * api.DAY_S])
    ]
    yield


@specimen("payments_succeed", sources=("stripe_payments",), baseline=True)
@contextmanager
def payments_declined(server):
    """Every second one, where one of ten was before."""
    server.objects["payment_intents"] = [
        api.payment(n, 1_900, "EUR", time.time() - 60 * n, f"tenant-{n % 3}", "cus_Test00000001", _decline(n))
        for n in range(60)
    ]
    yield


def _decline(number):
    return "do_not_honor" if (number < 30 and number % 2) or number % 10 == 0 else ""


# --- Events in the billing service ------------------------------------------------------------------------------------


@specimen("every_event_is_processed", sources=("billing_events",))
@contextmanager
def event_not_processed(server):
    with _filled(server).connect() as sql:
        billing.receive(sql, _event(901), _now() - OLDER, processed_after_s=None)
    yield


@specimen("no_event_is_processed_twice", sources=("billing_events",))
@contextmanager
def event_processed_twice(server):
    with _filled(server).connect() as sql:
        for minutes in (0, 5):
            billing.receive(sql, _event(902), _now() - OLDER + timedelta(minutes=minutes))
    yield


@specimen("events_are_processed_in_order", sources=("billing_events",))
@contextmanager
def events_out_of_order(server):
    """The payment failed, then it succeeded; the failure is processed last."""
    with _filled(server).connect() as sql:
        billing.receive(sql, _event(904, "payment_intent.succeeded", age_s=1_100), _now() - OLDER)
        billing.receive(sql, _event(903, "payment_intent.payment_failed", age_s=1_200), _now() - OLDER / 2)
    yield


@specimen("no_unsigned_event_is_accepted", sources=("billing_events",))
@contextmanager
def unsigned_event_accepted(server):
    with _filled(server).connect() as sql:
        billing.receive(sql, _event(905), _now() - OLDER, verified=False)
    yield


@specimen("every_delivered_event_is_stored", sources=EVENTS)
@contextmanager
def event_not_stored(servers):
    with servers.postgres.connect() as sql:
        billing.take_payment(
            sql, servers.stripe, 906, _now() - OLDER, 4_200, "tenant-4", "EUR", "cus_Test00000004", is_received=False
        )
    yield


def _event(number, type_="payment_intent.succeeded", age_s=1_210):
    return api.event(number, type_, "pi_test00000900", time.time() - age_s, tenant="tenant-4")


# --- Payments and invoices --------------------------------------------------------------------------------------------


@specimen("recorded_payments_succeed", sources=("billing_payments",), baseline=True)
@contextmanager
def recorded_payments_failing(server):
    _filled(server).execute(
        "UPDATE payments SET status = 'failed', error_code = 'processing_error'"
        " WHERE created_at > now() - interval '25 minutes' AND id % 2 = 0"
    )
    yield


@specimen("recorded_usage_is_invoiced", sources=("billing_invoiced",))
@contextmanager
def usage_not_invoiced(server):
    """The records of two tenants were written after the invoice run."""
    begun, _ = billing.period(_now())
    with _filled(server).connect() as sql:
        late = begun + timedelta(hours=20, seconds=7)
        billing.record_usage(sql, [(tenant, "logs_ingested", 40_000 * tenant, late) for tenant in (1, 2)])
    yield


@specimen("invoices_bill_no_more_than_recorded", sources=("billing_invoiced",))
@contextmanager
def invoiced_too_much(server):
    _filled(server).execute(
        "UPDATE invoice_lines SET amount_cents = amount_cents + 500, quantity = quantity + 500"
        " WHERE metric_type = 'searches' AND invoice_id = (SELECT max(id) FROM invoices)"
    )
    yield


@specimen("invoices_match_stripe", sources=("billing_invoices", "stripe_invoices"))
@contextmanager
def invoice_paid_at_stripe_alone(servers):
    servers.postgres.execute("UPDATE invoices SET status = 'open' WHERE id = (SELECT max(id) FROM invoices)")
    yield


# --- Usage ------------------------------------------------------------------------------------------------------------


@specimen("usage_is_recorded_without_gaps", sources=("billing_usage",), baseline=True)
@contextmanager
def usage_missing(server):
    _filled(server).execute(
        "DELETE FROM usage_records WHERE metric_type = 'logs_ingested' AND tenant_id < 6"
        " AND recorded_at BETWEEN now() - interval '22 minutes' AND now() - interval '5 minutes'"
    )
    yield


@specimen("usage_is_recorded_once", sources=("billing_repeated",))
@contextmanager
def usage_recorded_twice(server):
    _filled(server).execute(
        """INSERT INTO usage_records (tenant_id, metric_type, value, recorded_at, idempotency_key)
           SELECT tenant_id, metric_type, value, recorded_at + interval '9 seconds', idempotency_key FROM usage_records
            WHERE metric_type = 'logs_ingested' AND tenant_id IN (3, 5)
              AND recorded_at BETWEEN now() - interval '20 minutes' AND now() - interval '9 minutes'"""
    )
    yield


@specimen("counted_usage_is_written", sources=("redis_usage", "billing_usage"))
@contextmanager
def usage_not_written(servers):
    """The flush has not run for 20 minutes; what is counted meanwhile waits in Redis."""
    servers.postgres.execute("DELETE FROM usage_records WHERE recorded_at > now() - interval '20 minutes'")
    with servers.redis.connect() as keys:
        for tenant in range(1, 21):
            keys.hset(f"usage:{tenant}:2026113008", mapping={"logs_ingested": 1_000 * tenant})
    yield

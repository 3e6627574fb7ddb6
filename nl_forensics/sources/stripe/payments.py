"""Payments and invoices, as Stripe has them."""

from datetime import timedelta

from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.stripe.objects import at, created, customer_of, listed, tenant_of, windows

AMOUNT = "in the minor unit of the currency"


@source(
    columns={
        "window": Column("str", "`incident` or `baseline`"),
        "payment": Column("str", "id of the payment intent"),
        "at": Column(UTC, "the payment was begun"),
        "tenant": Column("str", "tenant in the metadata; empty if it is not there"),
        "customer": Column("str", "pseudonym of the customer", absent="the payment has no customer"),
        "amount": Column("Int64", f"amount {AMOUNT}"),
        "currency": Column("str", "currency, three letters"),
        "status": Column("str", "`succeeded`, `requires_payment_method`, `processing`, `canceled`, …"),
        "failed": Column("boolean", "the last attempt to pay failed"),
        "reason": Column("str", "decline code of the bank, else the error code of Stripe; empty if no attempt failed"),
        "of_bank": Column("boolean", "a bank declined it, so that it is no error of the integration"),
    },
    covers="window",
    needs=Permission(stripe="PaymentIntents: read"),
    guide=("C104", "C107"),
)
def stripe_payments(stripe, incident, platform):
    """Payments that were begun in the incident window and in the baseline; one row per payment, newest first.

    No card, no name, no address, no e-mail and no client secret is recorded.
    """
    for name, window in windows(incident).items():
        within = created(window.start, window.end)
        for one in listed(stripe, platform.budget, "payment_intents", "payments", name, created=within):
            yield one if isinstance(one, Partial) else {"window": name} | _payment(one, platform)
    yield Proof("Stripe listed the payments of the windows")


def _payment(one, platform):
    error = one.get("last_payment_error") or {}
    decline = str(error.get("decline_code") or "")
    has_failed = bool(error) and one["status"] != "succeeded"
    return {
        "payment": one["id"],
        "at": at(one["created"]),
        "tenant": tenant_of(one, platform),
        "customer": customer_of(one),
        "amount": one["amount"],
        "currency": str(one["currency"]).upper(),
        "status": one["status"],
        "failed": has_failed,
        "reason": decline or str(error.get("code") or error.get("type") or "") if has_failed else "",
        "of_bank": bool(decline) and has_failed,
    }


@source(
    columns={
        "invoice": Column("str", "id of the invoice at Stripe"),
        "at": Column(UTC, "Stripe created the invoice"),
        "customer": Column("str", "pseudonym of the customer", absent="the invoice has no customer"),
        "amount": Column("Int64", f"total {AMOUNT}, with tax and discounts"),
        "remaining": Column("Int64", f"not paid yet, {AMOUNT}"),
        "currency": Column("str", "currency, three letters"),
        "status": Column("str", "`draft`, `open`, `paid`, `uncollectible` or `void`", unknown="Stripe gave no status"),
        "attempts": Column("Int64", "attempts to collect the payment"),
    },
    covers="now",
    needs=Permission(stripe="Invoices: read"),
    guide=("C104",),
    about="billing",
)
def stripe_invoices(stripe, incident, platform):
    """Invoices that were created in the days of `billing.period_days` before the end of the incident; one row per invoice, newest first."""
    days = timedelta(days=platform.billing.period_days)
    within = created(incident.end - days, incident.end)
    for one in listed(stripe, platform.budget, "invoices", "invoices", created=within):
        yield one if isinstance(one, Partial) else _invoice(one)
    yield Proof(f"Stripe listed the invoices of {days.days} days")


def _invoice(one):
    return {
        "invoice": one["id"],
        "at": at(one["created"]),
        "customer": customer_of(one),
        "amount": one["total"],
        "remaining": one["amount_remaining"],
        "currency": str(one["currency"]).upper(),
        "status": one["status"],
        "attempts": one["attempt_count"],
    }

"""Rules about invoices: they follow from the records of usage, and Stripe has the same ones."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.billing import in_words, invoiced_wrongly
from nl_forensics.money import in_money


@check(
    section="08",
    severity="high",
    subject="postgres/{instance}, {metric}",
    because="{total} of {tenants} recorded and not invoiced; {tenant}: {one}, {recorded_units:number} units recorded,"
    " {invoiced_units:number} invoiced",
    guide=("C111",),
)
def recorded_usage_is_invoiced(billing_invoiced):
    """Every invoice bills at least what was recorded in its period.

    The records of the period are added up again, and multiplied by the price of the platform file; each line is rounded half up. Records
    that were written after the invoice run, or that a failed run left out, are never paid.
    """
    rows = invoiced_wrongly(billing_invoiced)
    rows = rows[rows.amount > 0].sort_values(["amount", "tenant"], ascending=[False, True])
    return in_words(rows, "metric")


@check(
    section="08",
    severity="high",
    subject="postgres/{instance}, {metric}",
    because="{total} of {tenants} invoiced and not recorded; {tenant}: {one}, {recorded_units:number} units recorded,"
    " {invoiced_units:number} invoiced",
    guide=("C111",),
)
def invoices_bill_no_more_than_recorded(billing_invoiced):
    """No invoice bills more than was recorded in its period.

    Computed as above. Usage that was counted twice, or a price that was changed, is money to pay back.
    """
    rows = invoiced_wrongly(billing_invoiced)
    rows = rows[rows.amount < 0]
    rows = rows.assign(amount=-rows.amount).sort_values(["amount", "tenant"], ascending=[False, True])
    return in_words(rows, "metric")


@check(
    section="08",
    severity="high",
    subject="postgres/{instance}, invoices",
    because="invoice {invoice} of {tenant} over {ours} is {status}; at Stripe, {stripe_invoice} is {theirs}",
    guide=("C107", "C111"),
)
def invoices_match_stripe(billing_invoices, stripe_invoices):
    """Every invoice has the same amount, currency and status at Stripe.

    A status that differs is an event that was not processed; an amount that differs, an invoice that was changed on one side.
    """
    there = stripe_invoices[["invoice", "amount", "currency", "status"]].rename(
        columns={
            "invoice": "stripe_invoice",
            "amount": "amount_there",
            "currency": "currency_there",
            "status": "status_there",
        }
    )
    rows = billing_invoices[billing_invoices.stripe_invoice.notna()].merge(there, on="stripe_invoice", how="left")
    is_same = (
        (rows.amount == rows.amount_there) & (rows.currency == rows.currency_there) & (rows.status == rows.status_there)
    )
    rows = rows[~is_same.fillna(False).astype(bool)]
    ours = [in_money(amount, currency) for amount, currency in zip(rows.amount, rows.currency, strict=True)]
    return rows.assign(ours=ours, theirs=[_there(row) for row in rows.itertuples()])


def _there(row) -> str:
    if pd.isna(row.status_there):
        return "missing"
    return f"over {in_money(row.amount_there, row.currency_there)} and {row.status_there}"

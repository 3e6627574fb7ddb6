"""Payments that failed: why, how many, and of which tenants."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed
from nl_forensics.charts.shapes import Bar
from nl_forensics.charts.table import table
from nl_forensics.charts.units import MILLISECONDS, PERCENT
from nl_forensics.facts.billing import failed, of_tenants
from nl_forensics.money import in_currencies, in_money

BANK, INTEGRATION, BEFORE = "declined by a bank", "error of the integration", "share in the baseline"


@chart("Failed payments by reason")
def payments_by_reason(canvas: Canvas, stripe_payments):
    """Share of the finished payments that failed for each reason, the most frequent first; the mark is the share in the baseline."""
    finished = stripe_payments[stripe_payments.failed | (stripe_payments.status == "succeeded")]
    number = finished.groupby("window").size()
    wrong = finished[finished.failed]
    if not number.get("incident", 0):
        return canvas.say("No payment was finished in the incident.")
    if wrong[wrong.window == "incident"].empty:
        return canvas.say(f"None of {number['incident']} finished payments failed in the incident.")
    before = wrong[wrong.window == "baseline"].groupby("reason").size() / number.get("baseline", float("nan"))
    bars = []
    now = wrong[wrong.window == "incident"]
    for reason, part in sorted(now.groupby("reason"), key=lambda group: (-len(group[1]), group[0])):
        kind = BANK if part.of_bank.any() else INTEGRATION
        ratio = len(part) / number["incident"]
        amounts = in_currencies(zip(part.currency, part.amount, strict=True))
        mark = float(before.get(reason, 0.0)) if number.get("baseline", 0) else None
        bars.append(Bar(reason or "no reason", {kind: ratio}, f"{len(part)}, {amounts}", mark))
    canvas.bars(bars, PERCENT, "share of the finished payments", BEFORE, kinds=(BANK, INTEGRATION))
    words = listed((f"{bar.name} {PERCENT.words(sum(bar.parts.values()))} ({bar.text})" for bar in bars), 5)
    return f"{len(now)} of {number['incident']} finished payments failed: {words}."


@chart("Latency of Stripe")
def stripe_latency(canvas: Canvas, stripe_requests):
    """How long Stripe took for each of five requests from this machine."""
    rows = stripe_requests.sort_values("request")
    bars = [
        Bar(f"request {row.request + 1}", {"": row.took_ms}, MILLISECONDS.words(row.took_ms))
        for row in rows.itertuples()
    ]
    if not bars:
        return canvas.say("No request was measured.")
    canvas.bars(bars, MILLISECONDS, "time until Stripe answered")
    return f"Median {MILLISECONDS.words(rows.took_ms.median())}, longest {MILLISECONDS.words(rows.took_ms.max())} of {len(rows)} requests."


@table("Failed payments by tenant", "No payment failed in the incident.")
def failed_payments(stripe_payments, billing_invoices) -> pd.DataFrame:
    """Which tenants could not pay, why, and which of their invoices are open. The tenant: of the metadata, else of the customer."""
    rows = of_tenants(failed(stripe_payments), billing_invoices)
    unpaid = billing_invoices[~billing_invoices.status.isin(("paid", "void"))].groupby("tenant").invoice.agg(", ".join)
    found = []
    for (tenant, reason), part in rows.groupby(["tenant", "reason"]):
        amounts = in_currencies(zip(part.currency, part.amount, strict=True))
        latest = part.sort_values("at").iloc[-1]
        one = f"{latest.payment} ({in_money(latest.amount, latest.currency)})"
        found.append([tenant, reason, len(part), amounts, latest["at"], one, unpaid.get(tenant, "none")])
    columns = ["tenant", "reason", "payments", "amount", "last at", "last payment", "open invoices"]
    return pd.DataFrame(found, columns=columns).sort_values(["payments", "tenant"], ascending=[False, True]).head(50)

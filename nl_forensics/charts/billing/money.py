"""Money at risk: how much, in which currency, and how it was computed; and the invoices that it is missing from."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed
from nl_forensics.charts.shapes import Cell
from nl_forensics.charts.style import HEALTHY, UNHEALTHY, UNKNOWN
from nl_forensics.charts.table import table
from nl_forensics.facts.billing import (
    COMPUTED,
    COUNTED,
    FAILED,
    GAPS,
    NOT_INVOICED,
    REPEATED,
    Risk,
    failed,
    invoiced_wrongly,
    not_written,
    recorded_twice,
    risks,
    with_gaps,
)
from nl_forensics.money import in_money, summed

MAX_CURRENCIES = 6
NOTHING = "–"


@chart("Money at risk")
def money_at_risk(canvas: Canvas, *, billing_invoiced, billing_repeated, billing_usage, redis_usage, stripe_payments):
    """Amounts by cause and currency: a field per currency, since currencies are not added to each other. Dashed: the cause was not seen."""
    found = found_risks(billing_invoiced, billing_repeated, billing_usage, redis_usage, stripe_payments)
    seen = {kind: rows for kind, rows in found.items() if rows is not None}
    if not seen:
        return canvas.say("No data available.")
    sums = {kind: summed((one.currency, one.amount) for one in rows) for kind, rows in seen.items()}
    unseen = [kind for kind in COMPUTED if kind not in seen]
    blind = f" No data for: {', '.join(unseen)}." if unseen else ""
    if not any(sums.values()):
        return canvas.say(f"No money at risk{' in the data available' if unseen else ''}.{blind}")
    currencies = sorted({currency for one in sums.values() for currency in one})[:MAX_CURRENCIES]
    rows = {kind: {currency: _cell(sums.get(kind), currency) for currency in currencies} for kind in COMPUTED}
    canvas.grid(rows, currencies)
    amounts = (
        f"{kind}: {', '.join(in_money(amount, currency) for currency, amount in one.items())} ({COMPUTED[kind]})"
        for kind, one in sums.items()
        if one
    )
    rest = len({currency for one in sums.values() for currency in one}) - len(currencies)
    return f"{listed(amounts, len(COMPUTED))}.{f' {rest} currencies more are not drawn.' if rest else ''}{blind}"


def found_risks(invoiced, repeated, usage, counted, payments) -> dict[str, list[Risk] | None]:
    """The amounts of each cause; None where its tables were not seen."""
    lines = None if invoiced is None else invoiced_wrongly(invoiced)
    found = {
        NOT_INVOICED: None if lines is None else lines[lines.amount > 0],
        REPEATED: None if repeated is None else recorded_twice(repeated),
        COUNTED: None if counted is None or usage is None else not_written(counted, usage),
        GAPS: None if usage is None else with_gaps(usage),
        FAILED: None if payments is None else failed(payments),
    }
    return {kind: None if rows is None else list(risks(kind, rows)) for kind, rows in found.items()}


def _cell(sums: dict[str, int] | None, currency: str) -> Cell:
    if sums is None:
        return Cell(UNKNOWN, UNKNOWN)
    amount = sums.get(currency, 0)
    return Cell(in_money(amount, currency), UNHEALTHY) if amount else Cell(NOTHING, HEALTHY)


@table("Invoices recomputed from the records", "No line differs from its records.")
def invoices_recomputed(billing_invoiced) -> pd.DataFrame:
    """Lines that differ: what is on the invoice, and what the price of the recorded units is; the largest shares first."""
    rows = invoiced_wrongly(billing_invoiced)
    rows = rows.assign(share=(rows.amount / rows.expected_amount.clip(lower=1)).abs())
    rows = rows.sort_values(["share", "tenant", "metric"], ascending=[False, True, True])
    shown = {
        name: [in_money(amount, currency) for amount, currency in zip(rows[name], rows.currency, strict=True)]
        for name in ("invoiced_amount", "expected_amount", "amount")
    }
    period = rows.period_start.dt.strftime("%Y-%m-%d") + " to " + rows["at"].dt.strftime("%Y-%m-%d")
    columns = ["tenant", "invoice", "period", "metric", "recorded_units", "invoiced_units", *shown]
    shown["amount"] = [
        one if amount > 0 else f"{one} (too much)" for one, amount in zip(shown["amount"], rows.amount, strict=True)
    ]
    rows = rows.assign(period=period, invoice=rows.invoice.fillna("none"), **shown)[columns]
    return rows.head(50).rename(columns={"amount": "not invoiced"})

"""Usage in money, and the money at risk: how it is computed, and in which currency. Amounts are whole minor units."""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from nl_forensics.money import in_currencies, in_money, price_of

MIN_GAP_BUCKETS = 2
NOT_INVOICED, REPEATED, COUNTED, GAPS, FAILED = (
    "recorded, not invoiced",
    "recorded twice",
    "counted, not written",
    "not recorded (estimate)",
    "payments failed",
)
COMPUTED = {
    NOT_INVOICED: "price of the recorded units of the period, less the amount of the invoice line",
    REPEATED: "price of the units of every record after the first with the same key",
    COUNTED: "price of the units in Redis of tenants without a new record",
    GAPS: "price of the baseline's units per bucket, for each empty bucket",
    FAILED: "amounts of the payments at Stripe with a failed last attempt",
}


class Risk(NamedTuple):
    """An amount of money at risk, in the minor unit of its currency. `kind`: one of COMPUTED."""

    kind: str
    tenant: str
    metric: str
    currency: str
    amount: int


def amounts(rows: pd.DataFrame, units: str, per: int | str = 1) -> pd.Series:
    """What these units cost, each row by itself, rounded half up; null without a price. `per`: the price is of so many times the units."""
    shares = rows[per] if isinstance(per, str) else [per] * len(rows)
    prices = zip(rows[units], rows.price_amount, rows.price_per, shares, strict=True)
    found = [None if any(map(pd.isna, one)) else price_of(one[0], one[1], one[2] * one[3]) for one in prices]
    return pd.Series(pd.array(found, dtype="Int64"), index=rows.index)


def invoiced_wrongly(invoiced: pd.DataFrame) -> pd.DataFrame:
    """Lines that are not the price of what was recorded: `expected_amount`, and `amount`: what is missing; negative: too much."""
    rows = invoiced.assign(expected_amount=amounts(invoiced, "recorded_units"))
    rows = rows.assign(amount=rows.expected_amount - rows.invoiced_amount)
    return rows[(rows.amount != 0).fillna(False)]


def recorded_twice(repeated: pd.DataFrame) -> pd.DataFrame:
    """With `amount`: what the repeated records cost."""
    return repeated.assign(amount=amounts(repeated, "extra_units"))


def not_written(counted: pd.DataFrame, usage: pd.DataFrame, min_buckets: int = MIN_GAP_BUCKETS) -> pd.DataFrame:
    """Counters in Redis of tenants that have no new record: `amount`, `age_s` (of the newest record; null: there is none).

    A counter of a tenant that the table of tenants lacks is an orphan, and is left out.
    """
    known = usage[
        ["tenant_id", "metric", "tenant", "currency", "price_amount", "price_per", "newest_at", "until_at", "bucket_s"]
    ]
    rows = counted.merge(known, on=["tenant_id", "metric"], how="inner")
    rows = rows.assign(age_s=(rows.until_at - rows.newest_at).dt.total_seconds())
    is_old = rows.age_s.isna() | (rows.age_s > min_buckets * rows.bucket_s.astype("float64"))
    rows = rows[(rows.units > 0).fillna(False) & is_old]
    return rows.assign(amount=amounts(rows, "units"))


def with_gaps(usage: pd.DataFrame, min_buckets: int = MIN_GAP_BUCKETS) -> pd.DataFrame:
    """Tenants and metrics that were in use, and then had no record: `amount` at the rate of the baseline, an estimate.

    In use: a record in each bucket of the baseline; without a baseline, in half of the buckets.
    """
    compared = usage.baseline_expected_buckets > 0
    in_use = (usage.baseline_buckets >= usage.baseline_expected_buckets) & compared
    in_use |= ~compared & (usage.buckets * 2 >= usage.expected_buckets)
    rows = usage[in_use & (usage.gap_s >= min_buckets * usage.bucket_s)]
    share = rows.baseline_expected_buckets.where(rows.baseline_expected_buckets > 0, rows.buckets.clip(lower=1))
    units = rows.baseline_units.where(rows.baseline_expected_buckets > 0, rows.units)
    rows = rows.assign(lost=units * (rows.gap_s // rows.bucket_s), share=share)
    return rows.assign(amount=amounts(rows, "lost", per="share"))


def failed(payments: pd.DataFrame) -> pd.DataFrame:
    """The payments of the incident with a failed last attempt."""
    return payments[(payments.window == "incident") & payments.failed]


def of_tenants(payments: pd.DataFrame, invoices: pd.DataFrame) -> pd.DataFrame:
    """With the tenant of the customer where the metadata names none: both sides have the same pseudonym. `unknown` where neither does."""
    of_customer = invoices.dropna(subset="customer").drop_duplicates("customer").set_index("customer").tenant
    named = payments.tenant.mask(payments.tenant == "", payments.customer.map(of_customer))
    return payments.assign(tenant=named.fillna("unknown"))


def risks(kind: str, rows: pd.DataFrame) -> Iterable[Risk]:
    """The amounts of these rows, without those that are unknown."""
    known = rows[rows.amount.notna()]
    metrics = known.metric if "metric" in known else [""] * len(known)
    for tenant, metric, currency, amount in zip(known.tenant, metrics, known.currency, known.amount, strict=True):
        yield Risk(kind, tenant, metric, currency, int(amount))


def in_words(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """With `total` (the amounts of all rows with the same `by`, by currency), `tenants` (of these, in words) and `one` (of the row)."""
    totals, tenants = {}, {}
    for name, part in rows.groupby(by, sort=False):
        known = part[part.amount.notna()]
        totals[name] = in_currencies(zip(known.currency, known.amount, strict=True))
        number = part.tenant.nunique()
        tenants[name] = f"{number} tenant{'' if number == 1 else 's'}"
    ones = [
        "no price" if pd.isna(amount) else in_money(amount, currency)
        for currency, amount in zip(rows.currency, rows.amount, strict=True)
    ]
    return rows.assign(total=rows[by].map(totals), tenants=rows[by].map(tenants), one=ones)

"""Money: whole minor units, rounded half up once for each line; what is at risk is what was lost, to the cent."""

import random
from fractions import Fraction

import pandas as pd
import pytest

from nl_forensics.charts.billing.money import found_risks
from nl_forensics.facts.billing import NOT_INVOICED, REPEATED, invoiced_wrongly, recorded_twice, with_gaps
from nl_forensics.inputs.parameters import read_yaml, shipped
from nl_forensics.inputs.platform import Platform
from nl_forensics.money import in_currencies, in_money, price_of, summed
from tests.record.billing_stories import LATE, LATE_METRIC
from tests.recorded import recorded_case

PRICES = {"EUR": (25, 1_000), "USD": (7, 300), "JPY": (40, 1_000), "KWD": (1_250, 77)}


@pytest.mark.parametrize(
    ("minor", "currency", "words"),
    [
        (123_450, "EUR", "EUR 1,234.50"),
        (5, "usd", "USD 0.05"),
        (-205, "EUR", "EUR -2.05"),
        (1_234, "JPY", "JPY 1,234"),
        (5_120, "KWD", "KWD 5.120"),
        (500, "ISK", "ISK 5.00"),
        (10**17 + 1, "EUR", "EUR 1,000,000,000,000,000.01"),
    ],
)
def test_an_amount_in_words(minor, currency, words):
    assert in_money(minor, currency) == words


def test_currencies_are_never_added_to_each_other():
    assert summed([("EUR", 1), ("JPY", 2), ("eur", 3)]) == {"EUR": 4, "JPY": 2}
    assert in_currencies([("EUR", 150), ("JPY", 7)]) == "EUR 1.50, JPY 7"


@pytest.mark.parametrize(
    ("units", "amount", "per", "minor"),
    [(1, 1, 2, 1), (1, 1, 3, 0), (-1, 1, 2, -1), (0, 9, 7, 0), (3, 5, 10, 2), (10**15, 3, 7, None)],
)
def test_half_a_minor_unit_is_rounded_up(units, amount, per, minor):
    found = price_of(units, amount, per)
    assert type(found) is int
    assert found == (int(Fraction(units * amount, per) + Fraction(1, 2)) if minor is None else minor)


def lines(losses: dict[tuple[str, str], int]) -> pd.DataFrame:
    """Invoices of some tenants in every currency, which lack these units."""
    chance = random.Random(8)
    rows = []
    for n, currency in enumerate([*PRICES] * 5):
        tenant, recorded = f"tenant-{n}", chance.randint(10_000, 9_999_999)
        invoiced = recorded - losses.get((tenant, currency), 0)
        amount, per = PRICES[currency]
        row = {"tenant": tenant, "currency": currency, "price_amount": amount, "price_per": per, "metric": "searches"}
        rows.append(
            row
            | {
                "recorded_units": recorded,
                "invoiced_units": invoiced,
                "invoiced_amount": price_of(invoiced, amount, per),
            }
        )
    return pd.DataFrame(rows)


def test_the_money_at_risk_is_what_was_lost_in_every_currency():
    losses = {
        ("tenant-0", "EUR"): 12_345,
        ("tenant-1", "USD"): 777,
        ("tenant-2", "JPY"): 99_999,
        ("tenant-3", "KWD"): 1_001,
        ("tenant-4", "EUR"): 4,
    }
    table = lines(losses)
    risks = found_risks(table, None, None, None, None)[NOT_INVOICED]
    injected = {}
    for row in table[table.recorded_units != table.invoiced_units].itertuples():
        amount, per = PRICES[row.currency]
        lost = price_of(row.recorded_units, amount, per) - price_of(row.invoiced_units, amount, per)
        injected[row.currency] = injected.get(row.currency, 0) + lost
    assert summed((one.currency, one.amount) for one in risks) == dict(sorted(injected.items()))
    assert all(type(one.amount) is int for one in risks)


def test_an_invoice_that_follows_from_its_records_is_no_risk():
    assert invoiced_wrongly(lines({})).empty


def test_a_metric_without_a_price_has_no_amount_and_is_no_offender():
    table = lines({}).assign(price_amount=pd.array([None] * 20, dtype="Int64"))
    assert invoiced_wrongly(table).empty


def test_what_was_recorded_twice_costs_its_units():
    row = {
        "tenant": "a",
        "currency": "JPY",
        "price_amount": 40,
        "price_per": 1_000,
        "metric": "m",
        "extra_units": 12_600,
    }
    assert list(recorded_twice(pd.DataFrame([row])).amount) == [504]
    assert found_risks(None, pd.DataFrame([row]), None, None, None)[REPEATED][0].amount == 504


def test_the_estimate_of_a_gap_is_the_rate_of_the_baseline():
    row = {
        "tenant": "a", "metric": "m", "currency": "EUR", "price_amount": 10, "price_per": 100, "bucket_s": 300, "gap_s": 900,
        "records": 3, "units": 300, "expected_buckets": 6, "buckets": 3,
        "baseline_units": 1_200, "baseline_expected_buckets": 6, "baseline_buckets": 6,
    }  # fmt: skip
    assert list(with_gaps(pd.DataFrame([row])).amount) == [60]  # 3 buckets of 200 units, at 0.1 each
    assert with_gaps(pd.DataFrame([row | {"baseline_buckets": 5}])).empty  # not in use all the time


def test_the_story_of_lost_usage_is_told_to_the_cent():
    case = recorded_case("usage_lost")
    prices = Platform.model_validate(read_yaml(shipped("platforms/neurallog.yaml"))).billing.prices[LATE_METRIC]
    table = case.read("billing_invoiced").rows
    of = dict(zip(table.tenant_id, table.currency, strict=True))
    lost = [
        (of[str(tenant)], units * prices[of[str(tenant)]].amount // prices[of[str(tenant)]].per)
        for tenant, units in LATE.items()
    ]
    risks = found_risks(table, None, None, None, None)[NOT_INVOICED]
    assert {currency for currency, _ in lost} == {"EUR", "USD", "JPY"}
    assert summed((one.currency, one.amount) for one in risks) == summed(lost)

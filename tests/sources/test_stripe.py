"""Stripe: against its own stripe-mock, and against a small server for what that can't be brought to."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from unittest import mock

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable
from tests.asking import ask, incident, link, offenders, platform, specimen_tables
from tests.stack import faults as wire
from tests.stack import stripe as api
from tests.stack.stripe import KEY, address, start_mock, stripe

OF_STRIPE = [name for name, one in sources.load().items() if one.system == "stripe"]
SECRETS = ("_secret_", "owner-", "@customer.example", KEY, KEY[-8:])
HOSTILE = "<script>alert(1)</script>\x1b[31m=HYPERLINK(\u202e" + "x" * 1_000_000


@pytest.fixture(scope="module")
def mocked():
    with start_mock() as server:
        yield link("stripe", address(server.port, "rk_test_123"))


@pytest.fixture
def shown():
    now = time.time()
    payments = [
        api.payment(
            n, 1_000 + n, "EUR", now - 60 * n - 20, "tenant-4", "cus_Test00000004", "" if n % 3 else "do_not_honor"
        )
        for n in range(9)
    ]
    invoices = [api.invoice(n, 5_000, "JPY", now - api.DAY_S * n, "tenant-4", "cus_Test00000004") for n in range(3)]
    events = [
        api.event(n, "invoice.paid", f"in_test{n:08}", now - 60 * n - 1, customer="cus_Test00000004")
        for n in range(250)
    ]
    with stripe(payment_intents=payments, invoices=invoices, events=events) as server:
        yield server


# --- What is asked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_STRIPE)
def test_every_source_reads_what_the_mock_of_stripe_answers(mocked, name):
    """It answers with the examples of the API's specification."""
    asked = ask(mocked, name, incident(60 * 24 * 365 * 20), platform())
    assert len(asked.table)
    assert (
        not asked.table[[column for column in sources.load()[name].needed if column != "status"]].isna().any(axis=None)
    )


def test_the_link_says_which_account_it_reads(shown):
    opened = link("stripe", shown.url)
    assert opened.identity == {"version": api.API_VERSION, "livemode": False, "restricted": True}


def test_its_clock_is_that_of_the_date_header(shown):
    shown.clock_s = 120
    assert link("stripe", shown.url).clock.offset_s == pytest.approx(120, abs=2)


def test_nothing_but_get_is_sent_and_nothing_about_this_machine(shown):
    opened = link("stripe", shown.url)
    for name in OF_STRIPE:
        ask(opened, name)
    assert {"User-Agent": "nl_forensics", "Stripe-Version": api.API_VERSION}.items() <= shown.heard[-1].items()
    assert not [name for heard in shown.heard for name in heard if name.lower().startswith("x-stripe")]
    with pytest.raises(BadAnswer, match="refused to send POST"):
        opened._client.v1.customers.create({"description": "never"})
    assert not [path for path in shown.asked if "customers" in path]


def test_other_lists_are_refused(shown):
    with pytest.raises(BadAnswer, match="no source declares it"):
        next(link("stripe", shown.url).objects("customers"))


def test_events_of_the_window_come_page_by_page(shown):
    asked = ask(link("stripe", shown.url), "stripe_events", incident(245))
    assert len(asked.table) == 245
    assert asked.unseen == []
    assert sum("starting_after" in path for path in shown.asked) == 2
    assert all("created%5Bgte%5D" in path for path in shown.asked if "limit=100" in path)


def test_beyond_the_budget_is_a_gap(shown):
    where = platform(budget={"stripe_objects": 100})
    asked = ask(link("stripe", shown.url, {"stripe_objects": 100}), "stripe_events", incident(245), where)
    assert len(asked.table) == 100
    assert asked.unseen == ["events before the newest 100"]


def test_payments_of_both_windows(shown):
    table = ask(link("stripe", shown.url), "stripe_payments", incident(4, 60)).table
    assert table.groupby("window").size().to_dict() == {"incident": 4, "baseline": 5}
    wrong = table[table.failed]
    assert set(zip(wrong.reason, wrong.of_bank, strict=True)) == {("do_not_honor", True)}
    assert set(table.currency) == {"EUR"}


def test_a_payment_that_succeeded_after_a_failure_did_not_fail(shown):
    shown.objects["payment_intents"] = [
        api.payment(1, 100, "EUR", time.time() - 5, decline="do_not_honor", status="succeeded")
    ]
    [row] = ask(link("stripe", shown.url), "stripe_payments").table.to_dict("records")
    assert (row["failed"], row["reason"], row["of_bank"]) == (False, "", False)


def test_undelivered_events(shown):
    shown.objects["events"][3] |= {"_delivered": False, "pending_webhooks": 1}
    table = ask(link("stripe", shown.url), "stripe_undelivered").table
    assert list(table.event) == ["evt_test00000003"]
    assert "delivery_success=false" in shown.asked[-1]


def test_of_the_address_of_an_endpoint_no_secret_is_kept(shown):
    shown.objects["webhook_endpoints"] = [api.endpoint(url="https://user:word@api.example/hooks?token=hidden#x")]
    asked = ask(link("stripe", shown.url), "stripe_endpoints")
    assert asked.table.address[0] == "https://api.example/hooks"
    assert "hidden" not in asked.text
    assert "word" not in asked.text


# --- What is never kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_STRIPE)
def test_no_secret_and_no_person_is_in_an_answer(shown, name):
    text = ask(link("stripe", shown.url), name, incident(600)).text
    assert not [secret for secret in (*SECRETS, "cus_") if secret in text]


def test_a_customer_has_the_same_pseudonym_everywhere(shown):
    opened = link("stripe", shown.url)
    found = {
        one
        for name in ("stripe_payments", "stripe_invoices", "stripe_events")
        for one in ask(opened, name).table.customer
    }
    assert len(found) == 1
    assert found.pop().startswith("customer~")


def test_hostile_metadata_is_text(shown):
    shown.objects["payment_intents"] = [api.payment(1, 100, "EUR", time.time() - 5, HOSTILE, "cus_Test00000004")]
    [row] = ask(link("stripe", shown.url), "stripe_payments").table.to_dict("records")
    assert row["tenant"] == HOSTILE


# --- What is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://api.stripe.com", "not an API key"),
        ("https://api_key:whsec_abc@api.stripe.com", "not an API key"),
        ("https://api_key:sk_live_51abcdefghij@api.stripe.com", "may move money"),
        ("http://api_key:rk_live_51abcdefghij@api.stripe.example", "unencrypted"),
        ("ftp://api_key:rk_live_51abcdefghij@api.stripe.example", "not that of Stripe"),
    ],
)
def test_an_address_that_is_not_used(url, why):
    with pytest.raises(NotConfigured, match=why) as refused:
        link("stripe", url)
    assert "51abcdefghij" not in str(refused.value) + refused.value.remedy


def test_a_wrong_key_is_no_answer_and_is_not_repeated(shown):
    wrong = shown.url.replace(KEY, "rk_test_ofLastYear00")
    with pytest.raises(NotAllowed, match="401") as refused:
        link("stripe", wrong)
    assert "LastYear" not in str(refused.value)
    assert "****" not in str(refused.value)


def test_a_missing_permission_is_named(shown):
    opened = link("stripe", shown.url)
    shown.refused = {"invoices"}
    with pytest.raises(NotAllowed, match="the key lacks rak_event_read") as refused:
        ask(opened, "stripe_invoices")
    assert "acct_" not in str(refused.value)
    assert sources.load()["stripe_invoices"].remedy("NotAllowed") == "give the restricted key Invoices: read"


def test_the_rate_limit_ends_a_question_and_is_not_tried_again(shown):
    opened = link("stripe", shown.url)
    shown.allowance, asked = 1, len(shown.asked)
    with pytest.raises(BadAnswer, match="429"):
        ask(opened, "stripe_events", incident(245))
    assert len(shown.asked) == asked + 2


def test_a_server_error_is_an_outage(shown):
    opened = link("stripe", shown.url)
    with (
        mock.patch.object(api.Stripe, "answer", lambda *_: (503, {"error": {"type": "api_error"}})),
        pytest.raises(NotReachable),
    ):
        ask(opened, "stripe_events")


def test_nobody_listens():
    with pytest.raises(NotReachable):
        link("stripe", address(wire.closed_port()))


def test_an_answer_that_is_not_of_stripe(shown):
    with (
        mock.patch.object(api.Stripe, "answer", lambda *_: (200, ["hello"])),
        pytest.raises(BadAnswer, match="not JSON of Stripe"),
    ):
        link("stripe", shown.url)


def test_an_answer_has_a_bound(shown):
    opened = link("stripe", shown.url, {"answer_bytes": 20_000})
    with pytest.raises(BadAnswer, match="larger than"):
        ask(opened, "stripe_events", incident(245))


def test_neither_a_proxy_nor_the_log_of_the_library_is_taken_from_the_environment(shown):
    """In a process of its own: the library reads its variable when it is imported."""
    program = "from tests.asking import link, ask; import sys; print(len(ask(link('stripe', sys.argv[1]), 'stripe_payments').table))"
    variables = {
        "STRIPE_LOG": "debug",
        "HTTP_PROXY": address(wire.closed_port()),
        "http_proxy": address(wire.closed_port()),
    }
    command = [sys.executable, "-c", program, shown.url]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("9", "")


def offending(name):
    """The rows of a recorded fault that break its rule."""
    check, tables = specimen_tables(name)
    return offenders(check, *(tables[needed] for needed in checks.load()[check].needs))


# --- Faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "subjects"),
    [
        ("endpoint_disabled", ["we_test000002"]),
        ("endpoint_of_an_old_version", ["we_test000001"]),
    ],
)
def test_the_endpoint_is_named(name, subjects):
    assert list(offending(name).endpoint) == subjects


def test_an_event_that_stripe_gave_up_is_worse():
    rows = offending("events_undelivered")
    assert list(rows.severity) == ["critical", "high"]
    assert rows["at"].is_monotonic_increasing


def test_every_reason_has_its_share():
    [row] = offending("payments_declined").to_dict("records")
    assert (row["severity"], row["total"], row["number"]) == ("critical", "EUR 342.00", "18 payments")
    assert row["failed_ratio"] == pytest.approx(0.6)
    assert pd.Timestamp(row["at"]) < datetime.now(UTC)

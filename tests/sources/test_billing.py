"""The platform's own tables and keys of billing, on real servers."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from nl_forensics import sources
from nl_forensics.errors import BadAnswer, NotAllowed
from nl_forensics.facts.billing import of_tenants
from nl_forensics.money import price_of
from nl_forensics.sources.billing import tables
from tests.asking import ask, incident, link, offenders, platform, specimen_tables
from tests.stack import billing, postgres, redis
from tests.stack import stripe as api

OF_DATABASE = [name for name in sources.load() if name.startswith("billing_")]
HOSTILE = "<b>=HYPERLINK(1)\x1b[31m\u202e" + "x" * 10_000


@pytest.fixture(scope="module")
def filled():
    with postgres.start() as server:
        billing.fill(server, api.Stripe(0))
        yield server


@pytest.fixture(scope="module")
def database(filled):
    yield link("postgres", filled.dsn())


@pytest.fixture
def own():
    """One that a test may change."""
    with postgres.start() as server:
        billing.fill(server, api.Stripe(0))
        yield server


def of_neurallog(**changes):
    """The part of the platform file, with some of its tables changed."""
    part = json.loads(platform().billing.model_dump_json())
    return platform(billing=part | {name: part[name] | values for name, values in changes.items()})


# --- Usage -------------------------------------------------------------------------------------------------------------


def test_usage_is_added_up_by_tenant_and_metric(database, filled):
    asked_for = incident(30, 30)
    table = ask(database, "billing_usage", asked_for).table
    assert len(table) == 60
    sums = filled.execute(
        "SELECT tenant_id::text, metric_type, sum(value)::bigint, count(*) FROM usage_records"
        f" WHERE recorded_at >= '{asked_for.start}' AND recorded_at < '{asked_for.end}' GROUP BY 1, 2"
    )
    found = {(row.tenant_id, row.metric): (row.units, row.records) for row in table.itertuples()}
    assert found == {(tenant, metric): (int(units), records) for tenant, metric, units, records in sums}
    assert set(table.currency) == {"EUR", "USD", "JPY"}
    assert (table.expected_buckets == 6).all()
    assert (table.gap_s == 0).all()


@pytest.mark.parametrize(
    ("missing", "gap_s", "begins"),
    [((0, 11), 600, 0), ((10, 20), 600, 10), ((19, 30), 600, 20), ((0, 30), 1800, 0)],
    ids=["before the first", "between two", "after the last", "all of it"],
)
def test_the_longest_run_of_empty_buckets(own, missing, gap_s, begins):
    asked_for = incident(30, 30)
    since, until = (asked_for.start + timedelta(minutes=minutes) for minutes in missing)
    own.execute(
        f"DELETE FROM usage_records WHERE tenant_id = 3 AND recorded_at >= '{since}' AND recorded_at < '{until}'"
    )
    table = ask(link("postgres", own.dsn()), "billing_usage", asked_for).table
    gaps = table[table.tenant_id == "3"]
    assert set(gaps.gap_s) == {gap_s}
    assert {round((at - asked_for.start).total_seconds() / 60) for at in gaps.gap_at} == {begins}
    assert (table[table.tenant_id != "3"].gap_s == 0).all()


def test_without_a_baseline_nothing_is_compared(database):
    table = ask(database, "billing_usage", incident(30)).table
    assert (table.baseline_expected_buckets == 0).all()
    assert (table.baseline_records == 0).all()


def test_an_invoice_is_computed_again_from_its_records(database):
    table = ask(database, "billing_invoiced").table
    assert len(table) == 14 * 3, "plans without invoices are left out"
    expected = [price_of(row.recorded_units, row.price_amount, row.price_per) for row in table.itertuples()]
    assert list(table.invoiced_amount) == expected
    assert (table.recorded_units == table.invoiced_units).all()


def test_a_tenant_without_an_invoice_is_found(own):
    own.execute("DELETE FROM invoice_lines WHERE invoice_id = (SELECT max(id) FROM invoices)")
    own.execute("DELETE FROM invoices WHERE id = (SELECT max(id) FROM invoices)")
    table = ask(link("postgres", own.dsn()), "billing_invoiced").table
    rows = offenders("recorded_usage_is_invoiced", table)
    assert set(rows.tenant) == {"tenant-20"}
    assert rows.invoice.isna().all()
    assert set(rows.invoiced_units) == {0}


def test_a_metric_that_an_invoice_lacks_is_found(own):
    own.execute(
        "DELETE FROM invoice_lines WHERE metric_type = 'searches' AND invoice_id = (SELECT max(id) FROM invoices)"
    )
    rows = offenders("recorded_usage_is_invoiced", ask(link("postgres", own.dsn()), "billing_invoiced").table)
    assert list(zip(rows.tenant, rows.metric, strict=True)) == [("tenant-20", "searches")]


def test_without_a_price_the_amount_is_unknown(database):
    prices = {"logs_ingested": {"EUR": {"amount": 25, "per": 1000}}}
    where = platform(billing=json.loads(platform().billing.model_dump_json()) | {"prices": prices})
    table = ask(database, "billing_invoiced", None, where).table
    assert set(table.metric) == {"logs_ingested"}
    assert table[table.currency != "EUR"].price_amount.isna().all()
    assert (table[table.currency == "EUR"].price_amount == 25).all()


# --- Events and payments -----------------------------------------------------------------------------------------------


def test_an_event_is_one_row_however_often_it_came(own):
    event = api.event(950, "invoice.paid", "in_test00000950", datetime.now(UTC).timestamp() - 600)
    with own.connect() as sql:
        for minutes, processed in ((9, None), (8, 0.5), (7, 0.5)):
            billing.receive(sql, event, datetime.now(UTC) - timedelta(minutes=minutes), processed)
    table = ask(link("postgres", own.dsn()), "billing_events").table
    [row] = table[table.event == "evt_test00000950"].to_dict("records")
    assert (row["receipts"], row["processings"], row["verified"]) == (3, 2, True)


def test_payments_are_sums(database, filled):
    table = ask(database, "billing_payments", incident(30, 30)).table
    [(number, amount)] = filled.execute(
        "SELECT count(*), sum(amount_cents) FROM payments WHERE created_at > now() - interval '60 minutes'"
    )
    assert abs(table.payments.sum() - number) <= 1
    assert table.amount.sum() == pytest.approx(int(amount), abs=20_000)
    assert {"failed", "succeeded"} >= set(table.outcome)


# --- Names, rights, indexes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OF_DATABASE)
def test_a_name_is_a_name_whatever_it_looks_like(own, name):
    """Capital letters, and words of SQL."""
    own.execute('ALTER TABLE usage_records RENAME TO "User"; ALTER TABLE "User" RENAME COLUMN value TO "Order"')
    own.execute('GRANT SELECT ON "User" TO nl_forensics')
    where = of_neurallog(usage={"table": "User", "value": "Order"})
    asked = ask(link("postgres", own.dsn()), name, incident(30, 30), where)
    assert asked.unseen == []
    assert asked.proof


@pytest.mark.parametrize("name", OF_DATABASE)
def test_a_database_without_the_tables_proves_nothing(name):
    with postgres.start() as server:
        asked = ask(link("postgres", server.dsn(database="postgres")), name, incident(30, 30), of_neurallog())
        assert asked.proof, "the server has them in another database"
        server.execute("DROP TABLE usage_records, webhook_events, payments, invoice_lines, invoices CASCADE")
        asked = ask(link("postgres", server.dsn()), name, incident(30, 30))
    assert (len(asked.table), asked.proof) == (0, "")


def test_a_role_without_the_grants_is_told_where_they_are(own):
    own.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM nl_forensics")
    own.execute(
        "REVOKE SELECT (tenant_id, metric_type, value, recorded_at, idempotency_key) ON usage_records FROM nl_forensics"
    )
    asked = ask(link("postgres", own.dsn()), "billing_usage")
    assert asked.proof == ""
    assert any("permission denied" in gap for gap in asked.unseen)
    assert "nl-forensics permissions" in sources.load()["billing_usage"].remedy(NotAllowed.__name__)


def test_no_column_beside_those_of_the_platform_file_can_be_read(own):
    own.execute("ALTER TABLE usage_records ADD COLUMN note text")
    opened = link("postgres", own.dsn())
    with pytest.raises(NotAllowed):
        list(opened.rows("SELECT note FROM public.usage_records LIMIT 1"))


def test_a_large_table_without_an_index_on_time_is_not_read(own, monkeypatch):
    monkeypatch.setattr(tables, "FREE_OF_INDEX", 100)
    assert ask(link("postgres", own.dsn()), "billing_usage").proof
    own.execute("DROP INDEX usage_records_by_time")
    asked = ask(link("postgres", own.dsn()), "billing_usage")
    assert asked.proof == ""
    assert [gap for gap in asked.unseen if "no index begins with recorded_at" in gap]


def test_hostile_text_stays_text(own):
    own.execute("UPDATE tenants SET name = %s WHERE id = 3".replace("%s", f"E'{HOSTILE}'"))
    table = ask(link("postgres", own.dsn()), "billing_usage").table
    assert HOSTILE in set(table.tenant)


@pytest.mark.parametrize("version", ["13", "18"])
def test_every_version_answers(version):
    with postgres.start(version) as server:
        billing.fill(server, api.Stripe(0))
        opened = link("postgres", server.dsn())
        for name in OF_DATABASE:
            asked = ask(opened, name, incident(30, 30))
            assert asked.unseen == [], name
            assert asked.proof, name


# --- Counters in Redis -------------------------------------------------------------------------------------------------


@pytest.fixture
def counters():
    with redis.start() as server:
        with server.connect() as keys:
            keys.hset("usage:7:2026113008", mapping={"logs_ingested": 12, "searches": 3, "secret": "hidden"})
            keys.hset("usage:7:2026113009", mapping={"logs_ingested": 30, "searches": "many"})
            keys.hset("usage:8:2026113009", mapping={"bytes_stored": 5})
            keys.set("usage:9:1", "a string")
            keys.hset("session:1", mapping={"logs_ingested": 99})
        yield server


def test_counters_are_added_up_and_nothing_else_is_read(counters):
    asked = ask(link("redis", counters.url()), "redis_usage")
    found = {(row.tenant_id, row.metric): row.units for row in asked.table.itertuples()}
    assert found.pop(("7", "searches")) is not found.get(("7", "searches"), 0)
    assert found == {("7", "logs_ingested"): 42, ("8", "bytes_stored"): 5}
    assert "hidden" not in asked.text


def test_the_values_of_other_keys_cannot_be_read(counters):
    opened = link("redis", counters.url())
    with pytest.raises(NotAllowed):
        opened.call("HMGET", "session:1", "logs_ingested")
    with pytest.raises(BadAnswer, match="no source declares it"):
        opened.call("HGETALL", "usage:7:2026113008")


def test_redis_6_2_lets_no_value_be_read():
    with redis.start("6.2") as server:
        with server.connect() as keys:
            keys.hset("usage:7:1", mapping={"logs_ingested": 12})
        with pytest.raises(NotAllowed):
            ask(link("redis", server.url()), "redis_usage")


def test_beyond_the_budget_of_keys_is_a_gap(counters):
    with counters.connect() as keys:
        keys.mset({f"session:{n}": "x" for n in range(5_000)})
    asked = ask(link("redis", counters.url()), "redis_usage", None, platform(budget={"redis_scan_keys": 1_000}))
    assert any("of the 5,0" in gap for gap in asked.unseen)


# --- Joins -------------------------------------------------------------------------------------------------------------


def test_a_payment_finds_its_tenant_and_invoice_by_the_pseudonym(filled):
    """The metadata has no tenant; Stripe and the table of tenants have the same customer."""
    with api.stripe() as shown:
        now = datetime.now(UTC).timestamp()
        shown.objects["payment_intents"] = [
            api.payment(1, 700, "EUR", now - 60, "", "cus_Test00000004", "do_not_honor")
        ]
        payments = ask(link("stripe", shown.url), "stripe_payments").table
    filled.execute("UPDATE invoices SET status = 'open' WHERE stripe_id = 'in_test00000004'")
    invoices = ask(link("postgres", filled.dsn()), "billing_invoices").table
    [row] = of_tenants(payments, invoices).to_dict("records")
    assert (row["tenant"], row["payment"]) == ("tenant-4", "pi_test00000001")
    assert list(invoices[invoices.tenant == row["tenant"]].status) == ["open"]


def test_every_fault_of_usage_names_the_tenants():
    check, found = specimen_tables("usage_missing")
    rows = offenders(check, found["billing_usage"])
    assert set(rows.tenant) == {f"tenant-{n}" for n in range(1, 6)}

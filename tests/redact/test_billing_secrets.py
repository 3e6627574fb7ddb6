"""Keys, cards and customers that Stripe and the tables of billing show are nowhere in what we write or say; hostile text does nothing."""

import gzip
import json
import secrets
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from nl_forensics.inputs.parameters import home, read_yaml, shipped
from tests.investigation import Investigation, ago
from tests.stack import billing, postgres, redis
from tests.stack import stripe as api


def some(length):
    return "".join(secrets.choice("abcdefghkmnpqrstuvwxyzABCDEFGHKMNPQRSTUVWXYZ23456789") for _ in range(length))


KEY = "rk_test_" + some(40)
CUSTOMER, PERSON = "cus_" + some(14), f"{some(12).lower()}@customer.example"
PLANTED = {
    "the key": KEY,
    "the id of a customer": CUSTOMER,
    "an address of e-mail in the metadata": PERSON,
    "the client secret of a payment": some(24),
    "the signing secret in the URL of an endpoint": "whsec_" + some(32),
    "a card in the message of a decline": "4242424242424242",
    "a token as the name of a tenant": "ghp_" + some(36),
    "a value in a counter that has no price": some(24),
    "a note on a record": some(24),
}
SCRIPT = "<script>alert(1)</script>"
HOSTILE = f'=HYPERLINK("http://evil.example"){SCRIPT}\x1b[31mred\u202egnp.exe'


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """{where: text} of everything that was written and said."""
    folder = tmp_path_factory.mktemp("billing")
    platform = read_yaml(shipped("platforms/neurallog.yaml"))
    window = {"id": "test", "start": ago(minutes=30), "end": "now"}
    with ExitStack() as running:
        parts = {name: platform[name] for name in ("tenants", "billing")}
        asked = Investigation(folder, _full_of_secrets(running), incident=window, parts=parts)
        told = {}
        for words in (
            ["collect", asked.file],
            ["findings", asked.case_folder],
            ["findings", asked.case_folder, "--json"],
            ["doctor", asked.file],
            ["report", asked.case_folder, "--out", folder / "report", "--sections", "02,08", "--json"],
        ):
            done = asked.run(*words)
            assert "Traceback" not in done.stderr, done.stderr
            told |= {f"{' '.join(map(str, words))} said": done.stdout, f"{words[0]} warned": done.stderr}
    shutil.copytree(home(), folder / "home", ignore=shutil.ignore_patterns("demo-*"))
    ours = {folder / "incident.yaml", folder / "platform.yaml"}
    written = [path for path in folder.rglob("*") if path.is_file() and path not in ours and path.name != "vault.jsonl"]
    return told | {str(path.relative_to(folder)): _text(path) for path in written}


def _text(path: Path) -> str:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content.decode("utf-8", "replace")


def _full_of_secrets(running):
    database, cache = running.enter_context(postgres.start()), running.enter_context(redis.start())
    shown = running.enter_context(api.stripe())
    billing.fill(database, shown)
    with database.connect() as sql:
        sql.execute("UPDATE tenants SET name = %s, stripe_customer = %s WHERE id = 4", [HOSTILE, CUSTOMER])
        sql.execute("UPDATE tenants SET name = %s WHERE id = 5", [PLANTED["a token as the name of a tenant"]])
        sql.execute("ALTER TABLE usage_records ADD COLUMN note text DEFAULT '" + PLANTED["a note on a record"] + "'")
        sql.execute(
            "DELETE FROM usage_records WHERE tenant_id IN (4, 5) AND recorded_at > now() - interval '15 minutes'"
        )
        sql.execute(
            "UPDATE invoice_lines SET amount_cents = 1 WHERE invoice_id IN (SELECT id FROM invoices WHERE tenant_id IN (4, 5))"
        )
    with cache.connect() as keys:
        keys.hset("usage:4:1", mapping={"logs_ingested": 7, "note": PLANTED["a value in a counter that has no price"]})
    card = {"type": "card_error", "code": "card_declined", "decline_code": HOSTILE}
    card["message"] = f"Your card {PLANTED['a card in the message of a decline']} was declined."
    for n in range(8):
        one = api.payment(
            7_000 + n, 700, "EUR", time.time() - 60 * (n + 1), HOSTILE if n % 2 else PERSON, CUSTOMER, "x"
        )
        secret = {
            "client_secret": f"{one['id']}_secret_{PLANTED['the client secret of a payment']}",
            "last_payment_error": card,
        }
        shown.objects["payment_intents"].append(one | secret | {"receipt_email": PERSON})
        shown.objects["events"].append(
            api.event(7_000 + n, "payment_intent.payment_failed", one["id"], one["created"], 1, CUSTOMER, PERSON, False)
        )
    token = PLANTED["the signing secret in the URL of an endpoint"]
    shown.objects["webhook_endpoints"] = [
        api.endpoint(url=f"https://u:{token}@api.example/hooks?secret={token}", status="disabled")
    ]
    shown.key = KEY
    return {"postgres": {"main": database.dsn()}, "redis": {"main": cache.url()}, "stripe": {"main": shown.url}}


def test_they_were_there_to_be_seen(said):
    findings = next(
        json.loads(text) for name, text in said.items() if name.endswith("--json said") and name.startswith("findings")
    )
    broken = {one["check"] for one in findings["findings"] if one["status"] == "problem"}
    assert {"payments_succeed", "every_webhook_endpoint_is_enabled", "recorded_usage_is_invoiced"} <= broken
    recorded = "".join(text for name, text in said.items() if name.startswith("case/1/data"))
    assert "customer~" in recorded
    assert "email~" in recorded
    assert "<SECRET:github_token>" in recorded


@pytest.mark.parametrize("what", PLANTED)
def test_what_was_planted_is_nowhere(said, what):
    """Also no half of it."""
    half = PLANTED[what][-10:] if what != "an address of e-mail in the metadata" else PERSON.partition("@")[0]
    assert [where for where, text in said.items() if half in text] == []


def test_the_customer_is_the_same_in_the_table_and_at_stripe(said):
    texts = [text for name, text in said.items() if "billing_invoices" in name or "stripe_payments" in name]
    of_tenant = [json.loads(line) for text in texts for line in text.splitlines() if SCRIPT in line]
    customers = {one["customer"] for one in of_tenant}
    assert len(customers) == 1
    assert customers.pop().startswith("customer~")


def test_hostile_text_is_inert(said):
    """In a page it is escaped; in a terminal it moves nothing."""
    pages = {name: text for name, text in said.items() if name.endswith((".html", ".md"))}
    assert pages
    assert [name for name, text in pages.items() if SCRIPT in text] == []
    spoken = "".join(text for name, text in said.items() if name.endswith(("said", "warned")))
    assert "\x1b[31m" not in spoken
    assert "\u202e" not in spoken

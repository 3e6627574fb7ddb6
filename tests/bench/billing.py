"""Section 08 on a platform with many tenants."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from nl_forensics.inputs.parameters import read_yaml, shipped
from nl_forensics.money import price_of
from tests.bench.measure import parameters, tell, watched
from tests.stack import billing, postgres, redis
from tests.stack.stripe import stripe

TENANTS, RECORDS = 10_000, 1_000_000
HELD = ("postgres", "redis", "stripe")

FILL = f"""
INSERT INTO tenants (name, plan, currency, stripe_customer)
SELECT 'tenant-' || n, 'team', (ARRAY['EUR', 'USD', 'JPY'])[1 + n % 3], 'cus_Many' || lpad(n::text, 8, '0')
  FROM generate_series(21, {TENANTS}) n;
INSERT INTO usage_records (tenant_id, metric_type, value, recorded_at, idempotency_key)
SELECT 1 + n % {TENANTS}, (ARRAY['logs_ingested', 'bytes_stored', 'searches'])[1 + n % 3], n % 1000,
       now() - (n * 172800.0 / {RECORDS}) * interval '1 second', 'key-' || n
  FROM generate_series(1, {RECORDS}) n;
"""


def many_tenants() -> None:
    with (
        postgres.start() as database,
        redis.start() as cache,
        stripe() as shown,
        tempfile.TemporaryDirectory() as folder,
    ):
        billing.fill(database, shown)
        database.execute(FILL)
        _make_invoices(database)
        database.execute("VACUUM ANALYZE")
        with cache.connect() as keys, keys.pipeline(transaction=False) as pipe:
            for tenant in range(1, TENANTS + 1):
                pipe.hset(f"usage:{tenant}:2026113008", mapping={"logs_ingested": tenant})
            pipe.execute()
        addresses = {"NL_POSTGRES_DSN": database.dsn(), "NL_REDIS_URL": cache.url(), "NL_STRIPE_URL": shown.url}
        file = parameters(Path(folder), str(_platform(Path(folder))))
        _, whole, peak = watched(["findings", file, "--sections", "08"], addresses)
        what = f"section 08, {TENANTS:,} tenants, {RECORDS:,} records of usage"
        tell(f"{what}: asked and judged", f"{whole:.2f} s", "≤ 20 s")
        tell(f"{what}: memory", f"{peak:.0f} MiB", "≤ 1 GB")


def _make_invoices(database) -> None:
    """Of yesterday, as they follow from the records; each hundredth tenant has a hundred units too few on its invoice."""
    begun, ended = billing.period(datetime.now(UTC))
    with database.connect() as sql:
        used = sql.execute(
            "SELECT tenant_id, metric_type, currency, sum(value)::bigint FROM usage_records JOIN tenants ON tenants.id = tenant_id"
            " WHERE tenant_id > 20 AND recorded_at >= %s AND recorded_at < %s GROUP BY 1, 2, 3",
            [begun, ended],
        ).fetchall()
        sql.execute(
            "INSERT INTO invoices (tenant_id, period_start, period_end, amount_cents, currency)"
            " SELECT id, %s, %s, 0, currency FROM tenants WHERE id > 20",
            [begun.date(), (begun + timedelta(days=1)).date()],
        )
        numbers = dict(
            sql.execute("SELECT tenant_id, id FROM invoices WHERE period_end = %s", [ended.date()]).fetchall()
        )
        with sql.cursor() as cursor, cursor.copy("COPY invoice_lines FROM STDIN") as copy:
            for tenant, metric, currency, recorded in used:
                units, price = recorded - 100 * (tenant % 100 == 0), billing.PRICES[metric][currency]
                copy.write_row((numbers[tenant], metric, units, price_of(units, price.amount, price.per)))


def _platform(folder: Path) -> Path:
    """NeuralLog's, with the systems of billing alone."""
    values = read_yaml(shipped("platforms/neurallog.yaml"))
    values["systems"] = {name: one if name in HELD else "absent" for name, one in values["systems"].items()}
    path = folder / "platform.yaml"
    path.write_text(yaml.safe_dump(values | {"flows": []}))
    return path

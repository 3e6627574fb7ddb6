"""Invoices: what they say, and what they would say if they were computed again from the records of usage."""

from datetime import timedelta

from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.billing.tables import asked, is_here, names, not_cheap, of_tenants
from nl_forensics.sources.billing.usage import PRICE, WHOLE, priced
from nl_forensics.sources.column import Column

MAX_INVOICES = 50_000
DRAFT = "draft"

# Every invoice of a period that has ended, with every metric; and every tenant without an invoice in such a period.
INVOICED = """
WITH recent AS (
    SELECT i.{invoices_id} AS id, i.{invoices_tenant} AS tenant_id, i.{invoices_start}::timestamptz AS period_start,
           i.{invoices_end}::timestamptz AS period_end, i.{invoices_currency}::text AS currency
      FROM {invoices} i
     WHERE i.{invoices_end} > %(since)s AND i.{invoices_end} <= %(end)s
), billed AS (
    SELECT * FROM recent
    UNION ALL
    SELECT NULL, t.{tenants_id}, p.period_start, p.period_end, t.{tenants_currency}::text
      FROM {tenants} t CROSS JOIN (SELECT DISTINCT period_start, period_end FROM recent) p
     WHERE {billable} AND NOT EXISTS (SELECT FROM {invoices} o WHERE o.{invoices_tenant} = t.{tenants_id}
                                      AND o.{invoices_start} < p.period_end AND o.{invoices_end} > p.period_start)
), line AS (
    SELECT l.{lines_invoice} AS id, l.{lines_metric}::text AS metric, sum(l.{lines_quantity}) AS units, sum(l.{lines_amount}) AS amount
      FROM {lines} l JOIN recent r ON r.id = l.{lines_invoice} GROUP BY 1, 2
), recorded AS (
    SELECT p.period_start, p.period_end, u.{usage_tenant} AS tenant_id, u.{usage_metric}::text AS metric,
           count(*) AS records, sum(u.{usage_value}) AS units
      FROM (SELECT DISTINCT period_start, period_end FROM billed) p
      JOIN {usage} u ON u.{usage_at} >= p.period_start AND u.{usage_at} < p.period_end
     WHERE u.{usage_at} >= (SELECT min(period_start) FROM billed) AND u.{usage_at} < %(end)s
     GROUP BY 1, 2, 3, 4
)
SELECT b.id::text AS invoice, t.{tenants_id}::text AS tenant_id, t.{tenants_name}::text AS tenant, upper(b.currency) AS currency,
       b.period_start, b.period_end AS at, m.metric,
       coalesce(r.records, 0)::bigint AS records, round(coalesce(r.units, 0))::bigint AS recorded_units,
       round(coalesce(l.units, 0))::bigint AS invoiced_units, coalesce(l.amount, 0)::bigint AS invoiced_amount
  FROM billed b
  JOIN {tenants} t ON t.{tenants_id} = b.tenant_id
 CROSS JOIN unnest(%(metrics)s::text[]) AS m(metric)
  LEFT JOIN line l ON l.id = b.id AND l.metric = m.metric
  LEFT JOIN recorded r ON r.tenant_id = b.tenant_id AND r.metric = m.metric AND r.period_start = b.period_start
       AND r.period_end = b.period_end
 WHERE l.units IS NOT NULL OR r.units IS NOT NULL
"""

INVOICES = """
SELECT i.{invoices_id}::text AS invoice, t.{tenants_name}::text AS tenant, {customer} AS customer, i.{invoices_end}::timestamptz AS at,
       i.{invoices_amount}::bigint AS amount, upper(i.{invoices_currency}::text) AS currency, i.{invoices_status}::text AS status,
       {stripe_id} AS stripe_invoice
  FROM {invoices} i JOIN {tenants} t ON t.{tenants_id} = i.{invoices_tenant}
 WHERE i.{invoices_end} > %(since)s AND i.{invoices_end} <= %(end)s
 ORDER BY i.{invoices_end} DESC, i.{invoices_id}
 LIMIT %(most)s
"""


@source(
    columns={
        "invoice": Column("str", "id of the invoice", absent="the tenant has no invoice for this period"),
        "tenant_id": Column("str", "id of the tenant"),
        "tenant": Column("str", "name of the tenant"),
        **PRICE,
        "metric": Column("str", "metric with a price in the platform file"),
        "period_start": Column(UTC, "the billing period began"),
        "at": Column(UTC, "the billing period ended"),
        "records": Column("Int64", "records of usage in the period"),
        "recorded_units": Column("Int64", f"sum of their values, {WHOLE}"),
        "invoiced_units": Column("Int64", f"quantity on the invoice, {WHOLE}"),
        "invoiced_amount": Column("Int64", "amount of the line, in the minor unit of the currency"),
    },
    covers="window",
    needs=Permission(tables="billing"),
    guide=("C111",),
    about="billing.lines",
)
def billing_invoiced(database, incident, platform):
    """Recorded and invoiced usage of every billing period that ended lately; one row per tenant, period and metric.

    The server adds up the records of each period again, as the invoice run did. The price is that of the platform file.
    """
    billing = platform.billing
    tables = {"usage": billing.usage, "invoices": billing.invoices, "lines": billing.lines}
    if not all(tables.values()) or not is_here(database, *tables.values()):
        return
    if gap := next(not_cheap(database, billing.usage, billing.usage.at), None):
        yield gap
        return
    named = names(**tables) | of_tenants(platform)
    billable = "NOT t.{tenants_plan}::text = ANY (%(free)s)" if "tenants_plan" in named else "%(free)s IS NOT NULL"
    times = {"since": incident.end - timedelta(days=billing.period_days), "end": incident.end}
    asked_for = times | {"metrics": sorted(billing.prices), "free": [*billing.free_plans]}
    for row in asked(database, INVOICED.replace("{billable}", billable), asked_for, named):
        yield priced(row, platform)
    yield Proof(f"usage was added up for the periods that ended within {billing.period_days} days")


@source(
    columns={
        "invoice": Column("str", "id of the invoice"),
        "tenant": Column("str", "name of the tenant"),
        "customer": Column("str", "pseudonym of the tenant's customer id at Stripe", absent="it has none"),
        "at": Column(UTC, "the billing period ended"),
        "amount": Column("Int64", "amount in the minor unit of the currency"),
        "currency": Column("str", "currency, three letters"),
        "status": Column("str", "status of the invoice"),
        "stripe_invoice": Column("str", "id of the invoice at Stripe", absent="it is not at Stripe"),
    },
    covers="window",
    needs=Permission(tables="billing"),
    guide=("C107", "C111"),
    about="billing.invoices",
)
def billing_invoices(database, incident, platform):
    """Invoices of the billing periods that ended lately; one row per invoice, newest first."""
    billing = platform.billing
    if not is_here(database, billing.invoices):
        return
    named = names(invoices=billing.invoices) | of_tenants(platform)
    customer = billing.tenants.customer
    named |= {"tenants_customer": (customer,)} if customer else {}
    query = INVOICES.replace("{customer}", "t.{tenants_customer}::text" if customer else "NULL::text")
    query = query.replace("{stripe_id}", "i.{invoices_stripe_id}::text" if billing.invoices.stripe_id else "NULL::text")
    since = incident.end - timedelta(days=billing.period_days)
    rows = list(asked(database, query, {"since": since, "end": incident.end, "most": MAX_INVOICES}, named))
    yield from rows
    if len(rows) == MAX_INVOICES:
        yield Partial(f"invoices before the newest {MAX_INVOICES:,}")
    yield Proof(f"the invoices of {billing.period_days} days were read")

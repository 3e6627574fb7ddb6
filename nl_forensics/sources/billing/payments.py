"""Payments as the platform has them: sums, without the rows of a customer."""

from nl_forensics.sources import UTC, Permission, Proof, source
from nl_forensics.sources.billing.tables import asked, is_here, names, not_cheap, of_tenants
from nl_forensics.sources.billing.usage import times
from nl_forensics.sources.column import Column

PAYMENTS = """
SELECT CASE WHEN p.{payments_at} >= %(start)s THEN 'incident' ELSE 'baseline' END AS "window",
       t.{tenants_name}::text AS tenant, upper(p.{payments_currency}::text) AS currency,
       CASE WHEN p.{payments_status}::text = ANY (%(failed)s) THEN 'failed'
            WHEN p.{payments_status}::text = ANY (%(succeeded)s) THEN 'succeeded' ELSE 'pending' END AS outcome,
       coalesce(p.{payments_reason}::text, '') AS reason,
       count(*) AS payments, sum(p.{payments_amount})::bigint AS amount, min(p.{payments_at}) AS at, max(p.{payments_at}) AS last_at
  FROM {payments} p JOIN {tenants} t ON t.{tenants_id} = p.{payments_tenant}
 WHERE p.{payments_at} >= %(start)s AND p.{payments_at} < %(end)s OR p.{payments_at} >= %(before)s AND p.{payments_at} < %(until)s
 GROUP BY 1, 2, 3, 4, 5
 ORDER BY 4, 7 DESC
"""


@source(
    columns={
        "window": Column("str", "`incident` or `baseline`"),
        "tenant": Column("str", "name of the tenant"),
        "currency": Column("str", "currency, three letters"),
        "outcome": Column("str", "`failed`, `succeeded` or `pending`"),
        "reason": Column("str", "reason of the failure; empty if there is none"),
        "payments": Column("Int64", "number of payments"),
        "amount": Column("Int64", "sum of their amounts, in the minor unit of the currency"),
        "at": Column(UTC, "the first of them was begun"),
        "last_at": Column(UTC, "the last of them was begun"),
    },
    covers="window",
    needs=Permission(tables="billing"),
    guide=("C107",),
    about="billing.payments",
)
def billing_payments(database, incident, platform):
    """Payments by tenant, currency, outcome and reason; one row per combination, aggregated by the server."""
    payments = platform.billing.payments
    if not is_here(database, payments):
        return
    if gap := next(not_cheap(database, payments, payments.at), None):
        yield gap
        return
    statuses = {"failed": [*payments.failed], "succeeded": [*payments.succeeded]}
    windows = times(incident, 1)
    named = names(payments=payments) | of_tenants(platform)
    yield from asked(database, PAYMENTS, windows | statuses, named)
    yield Proof("the payments of the windows were added up")

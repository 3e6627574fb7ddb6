"""Recorded usage: how much, without gaps, and once; recomputed from the records where an invoice has been made of it."""

from datetime import timedelta

from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.billing.tables import asked, is_here, names, not_cheap, of_tenants
from nl_forensics.sources.column import Column

MAX_REPEATED = 1_000
PRICED = "the platform file has no price of the metric in this currency"
PRICE = {
    "currency": Column("str", "currency of the tenant, three letters"),
    "price_amount": Column("Int64", "price of `price_per` units in minor units of the currency", unknown=PRICED),
    "price_per": Column("Int64", "units that the price is for", unknown=PRICED),
}
WHOLE = "rounded to whole units"

# Of each window: whole buckets only, so that the last one is never short. `missing` is the longest run of empty buckets.
USAGE = """
WITH asked AS (
    SELECT u.{usage_tenant} AS tenant_id, u.{usage_metric}::text AS metric, u.{usage_value} AS value, u.{usage_at} AS at,
           u.{usage_at} >= %(start)s AS is_incident,
           floor(extract(epoch FROM u.{usage_at} - CASE WHEN u.{usage_at} >= %(start)s THEN %(start)s ELSE %(before)s END)
                 / %(bucket)s)::bigint AS bucket
      FROM {usage} u
     WHERE u.{usage_at} >= %(start)s AND u.{usage_at} < %(end)s OR u.{usage_at} >= %(before)s AND u.{usage_at} < %(until)s
), buckets AS (
    SELECT tenant_id, metric, is_incident, bucket, count(*) AS records, sum(value) AS units, max(at) AS newest_at
      FROM asked GROUP BY 1, 2, 3, 4
), runs AS (
    SELECT *, bucket - lag(bucket, 1, -1::bigint) OVER after - 1 AS missing, lead(bucket) OVER after IS NULL AS is_last
      FROM buckets WINDOW after AS (PARTITION BY tenant_id, metric, is_incident ORDER BY bucket)
), sums AS (
    SELECT tenant_id, metric,
           sum(records) FILTER (WHERE is_incident) AS records, sum(units) FILTER (WHERE is_incident) AS units,
           count(*) FILTER (WHERE is_incident AND bucket < %(expected)s) AS buckets,
           max(missing) FILTER (WHERE is_incident) AS missing,
           (array_agg(bucket - missing ORDER BY missing DESC, bucket) FILTER (WHERE is_incident))[1] AS missing_from,
           max(bucket) FILTER (WHERE is_incident) AS last_bucket,
           max(newest_at) AS newest_at,
           sum(records) FILTER (WHERE NOT is_incident) AS baseline_records,
           sum(units) FILTER (WHERE NOT is_incident) AS baseline_units,
           count(*) FILTER (WHERE NOT is_incident AND bucket < %(baseline_expected)s) AS baseline_buckets
      FROM runs GROUP BY 1, 2
)
SELECT t.{tenants_id}::text AS tenant_id, t.{tenants_name}::text AS tenant, upper(t.{tenants_currency}::text) AS currency, m.metric,
       coalesce(s.records, 0)::bigint AS records, round(coalesce(s.units, 0))::bigint AS units,
       coalesce(s.buckets, 0)::bigint AS buckets, s.missing, s.missing_from, s.last_bucket, s.newest_at,
       coalesce(s.baseline_records, 0)::bigint AS baseline_records, round(coalesce(s.baseline_units, 0))::bigint AS baseline_units,
       coalesce(s.baseline_buckets, 0)::bigint AS baseline_buckets
  FROM {tenants} t CROSS JOIN unnest(%(metrics)s::text[]) AS m(metric)
  LEFT JOIN sums s ON s.tenant_id = t.{tenants_id} AND s.metric = m.metric
 ORDER BY t.{tenants_id}, m.metric
"""

REPEATED = """
SELECT t.{tenants_id}::text AS tenant_id, t.{tenants_name}::text AS tenant, upper(t.{tenants_currency}::text) AS currency,
       r.metric, r.records, r.units, r.extra_units, r.at, r.last_at
  FROM (SELECT u.{usage_tenant} AS tenant_id, u.{usage_metric}::text AS metric, count(*) AS records,
               round(sum(u.{usage_value}))::bigint AS units,
               round(sum(u.{usage_value}) - (array_agg(u.{usage_value} ORDER BY u.{usage_at}))[1])::bigint AS extra_units,
               (array_agg(u.{usage_at} ORDER BY u.{usage_at}))[2] AS at, max(u.{usage_at}) AS last_at
          FROM {usage} u
         WHERE u.{usage_at} >= %(before)s AND u.{usage_at} < %(end)s AND u.{usage_key} IS NOT NULL
         GROUP BY u.{usage_tenant}, u.{usage_metric}, u.{usage_key}
        HAVING count(*) > 1
         ORDER BY 5 DESC
         LIMIT %(most)s) r
  JOIN {tenants} t ON t.{tenants_id} = r.tenant_id
"""


def times(incident, bucket_s: int) -> dict:
    """The parameters of the two windows; without a baseline, it is empty."""
    before = incident.baseline or incident
    until = incident.baseline.end if incident.baseline else before.start
    return {
        "start": incident.start,
        "end": incident.end,
        "before": before.start,
        "until": until,
        "bucket": bucket_s,
        "expected": int(incident.seconds // bucket_s),
        "baseline_expected": int((until - before.start).total_seconds() // bucket_s),
    }


def priced(row: dict, platform) -> dict:
    """The row, with the price of its metric in its currency."""
    price = platform.billing.prices.get(row["metric"], {}).get(row["currency"])
    return row | {"price_amount": price.amount if price else None, "price_per": price.per if price else None}


@source(
    columns={
        "tenant_id": Column("str", "id of the tenant"),
        "tenant": Column("str", "name of the tenant"),
        **PRICE,
        "metric": Column("str", "metric with a price in the platform file"),
        "records": Column("Int64", "records written during the incident"),
        "units": Column("Int64", f"sum of their values, {WHOLE}"),
        "expected_buckets": Column("Int64", "whole buckets of `usage.bucket_s` in the incident window"),
        "buckets": Column("Int64", "of these, buckets with a record"),
        "gap_at": Column(UTC, "the longest run of empty buckets began", absent="no bucket is empty"),
        "gap_s": Column("Int64", "length of that run; 0: no bucket is empty"),
        "bucket_s": Column("Int64", "length of a bucket"),
        "until_at": Column(UTC, "end of the incident window: later records are not read"),
        "newest_at": Column(
            UTC, "the newest record was written", absent="no record in the incident window or the baseline"
        ),
        "baseline_records": Column("Int64", "records written during the baseline"),
        "baseline_units": Column("Int64", f"sum of their values, {WHOLE}"),
        "baseline_expected_buckets": Column("Int64", "whole buckets in the baseline; 0: there is no baseline"),
        "baseline_buckets": Column("Int64", "of these, buckets with a record"),
    },
    covers="window",
    needs=Permission(tables="billing"),
    guide=("C110", "C111"),
    about="billing.usage",
)
def billing_usage(database, incident, platform):
    """Recorded usage of each tenant and metric, in buckets of time; one row per tenant and metric, aggregated by the server."""
    usage, metrics = platform.billing.usage, sorted(platform.billing.prices)
    if not is_here(database, usage):
        return
    if gap := next(not_cheap(database, usage, usage.at), None):
        yield gap
        return
    windows = times(incident, usage.bucket_s)
    named = names(usage=usage) | of_tenants(platform)
    for row in asked(database, USAGE, windows | {"metrics": metrics}, named):
        yield priced(_with_gap(row, incident, windows), platform)
    yield Proof(f"recorded usage of {len(metrics)} metrics was read")


def _with_gap(row: dict, incident, windows: dict) -> dict:
    """The longest run of empty buckets: between two records, before the first, or after the last."""
    missing, first, last = row.pop("missing") or 0, row.pop("missing_from") or 0, row.pop("last_bucket")
    expected = windows["expected"]
    at_end = expected if last is None else max(0, expected - 1 - last)
    if at_end > missing:
        missing, first = at_end, expected - at_end
    began = incident.start + timedelta(seconds=first * windows["bucket"]) if missing else None
    gap = {
        "gap_at": began,
        "gap_s": missing * windows["bucket"],
        "bucket_s": windows["bucket"],
        "until_at": incident.end,
    }
    expected_buckets = {"expected_buckets": expected, "baseline_expected_buckets": windows["baseline_expected"]}
    return row | gap | expected_buckets


@source(
    columns={
        "tenant_id": Column("str", "id of the tenant"),
        "tenant": Column("str", "name of the tenant"),
        **PRICE,
        "metric": Column("str", "metric of the records"),
        "records": Column("Int64", "records with the same key; the key itself is not recorded"),
        "units": Column("Int64", f"sum of their values, {WHOLE}"),
        "extra_units": Column("Int64", f"the same without the first of them, {WHOLE}"),
        "at": Column(UTC, "the key was used for the second time"),
        "last_at": Column(UTC, "the key was used for the last time"),
    },
    covers="window",
    needs=Permission(tables="billing"),
    guide=("C110", "C111"),
    about="billing.usage.key",
)
def billing_repeated(database, incident, platform):
    """Idempotency keys that more than one record has, from the baseline to the end of the incident; one row per key, 1,000 at most.

    A record without a key cannot be compared, and is left out.
    """
    usage = platform.billing.usage
    if not is_here(database, usage):
        return
    if gap := next(not_cheap(database, usage, usage.at), None):
        yield gap
        return
    named = names(usage=usage) | of_tenants(platform)
    asked_for = times(incident, usage.bucket_s) | {"most": MAX_REPEATED}
    rows = list(asked(database, REPEATED, asked_for, named))
    yield from (priced(row, platform) for row in rows)
    if len(rows) == MAX_REPEATED:
        yield Partial(f"keys beyond the first {MAX_REPEATED:,} that were used more than once")
    yield Proof("the idempotency keys of usage were compared")

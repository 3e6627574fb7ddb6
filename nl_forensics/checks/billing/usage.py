"""Rules about usage: it is recorded without gaps, and once; what was counted is written."""

from nl_forensics.checks.rule import check
from nl_forensics.facts.billing import MIN_GAP_BUCKETS, in_words, not_written, recorded_twice, with_gaps

WORST = {"by": ["amount", "tenant"], "ascending": [False, True]}


@check(
    section="08",
    severity="high",
    critical="is_everyone",
    subject="postgres/{instance}, {metric}",
    because="no usage of {tenants} recorded from {gap_at:%H:%M:%S} UTC, about {total}; longest: {gap_s:seconds} of {tenant}",
    at="gap_at",
    guide=("C108", "C110"),
)
def usage_is_recorded_without_gaps(billing_usage, *, min_buckets=MIN_GAP_BUCKETS):
    """Every tenant and metric in use had a record at least every {min_buckets:.0f} buckets.

    In use: a record in every bucket of the baseline. What was not recorded is not invoiced. The amount is an estimate; critical if it is
    all tenants in use. 2 intervals: the guide's review.
    """
    rows = with_gaps(billing_usage, min_buckets).sort_values(["gap_s", "tenant"], ascending=[False, True])
    in_use = (
        billing_usage[billing_usage.records + billing_usage.baseline_records > 0].groupby("metric").tenant.nunique()
    )
    everyone = rows.groupby("metric").tenant.transform("nunique") >= rows.metric.map(in_use)
    return in_words(rows.assign(is_everyone=everyone), "metric")


@check(
    section="08",
    severity="critical",
    subject="postgres/{instance}, {metric}",
    because="{total} of {tenants} recorded more than once; {tenant}: {extra_units:number} units too many, {records} records with one key",
    at="at",
    guide=("C110", "C111"),
)
def usage_is_recorded_once(billing_repeated):
    """No two records of usage have the same idempotency key.

    The second one is the same usage, recorded again: the tenant is billed twice for it.
    """
    rows = recorded_twice(billing_repeated).sort_values(**WORST)
    return in_words(rows, "metric")


@check(
    section="08",
    severity="critical",
    subject="redis/{instance}, {metric}",
    because="{total} of {tenants} counted and not written; {tenant}: {units:number} units, and the newest record is {age_s:seconds} old",
    guide=("C109",),
)
def counted_usage_is_written(redis_usage, billing_usage, *, min_buckets=MIN_GAP_BUCKETS):
    """No tenant has counted usage in Redis and no new record for {min_buckets:.0f} buckets.

    The job that writes it does not run, or fails. A restart or an eviction of Redis would lose it.
    """
    rows = not_written(redis_usage, billing_usage, min_buckets).sort_values(**WORST)
    return in_words(rows, "metric")

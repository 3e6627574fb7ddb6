"""Recorded usage: how much, and where it stopped."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed
from nl_forensics.charts.shapes import Bar
from nl_forensics.charts.units import PERCENT, SECONDS
from nl_forensics.facts.billing import with_gaps

MISSING = "no record"
STATES = {MISSING: ("#a3140f", "xxx")}
MAX_TRACKS = 20


@chart("Usage recorded, against the baseline")
def usage_recorded(canvas: Canvas, billing_usage):
    """Records per hour of each metric, of all tenants, as a share of the baseline; the mark is the baseline."""
    hours = billing_usage.expected_buckets * billing_usage.bucket_s / 3600
    before = billing_usage.baseline_expected_buckets * billing_usage.bucket_s / 3600
    rows = billing_usage.assign(hours=hours, before=before)
    sums = rows.groupby("metric").agg(
        records=("records", "sum"), usual=("baseline_records", "sum"), hours=("hours", "max"), before=("before", "max")
    )
    bars = []
    for metric, one in sums.iterrows():
        if one.usual and one.hours and one.before:
            ratio = float((one.records / one.hours) / (one.usual / one.before))
            text = f"{one.records / one.hours:,.0f} records per hour, {one.usual / one.before:,.0f} in the baseline"
            bars.append(Bar(str(metric), {"": ratio}, text, 1.0))
    if not bars:
        return canvas.say("No usage was recorded in the baseline, so there is nothing to compare with.")
    canvas.bars(sorted(bars, key=lambda bar: sum(bar.parts.values())), PERCENT, "share of the baseline", "baseline")
    return listed((f"{bar.name} {PERCENT.words(sum(bar.parts.values()))} of the baseline" for bar in bars), 6) + "."


@chart("Gaps in recorded usage")
def usage_gaps(canvas: Canvas, billing_usage):
    """The longest time without a record of each tenant and metric in use, the longest first."""
    rows = with_gaps(billing_usage).sort_values(["gap_s", "tenant", "metric"], ascending=[False, True, True])
    if rows.empty:
        in_use = billing_usage[billing_usage.records > 0]
        return canvas.say(f"No gap in the usage of {in_use.tenant.nunique()} tenants.")
    ended = rows.gap_at + pd.to_timedelta(rows.gap_s, unit="s")
    rows = rows.assign(name=rows.tenant + " · " + rows.metric, begin=rows.gap_at, end=ended, state=MISSING)
    shown = rows.head(MAX_TRACKS)
    canvas.bands({name: part[["begin", "end", "state"]] for name, part in shown.groupby("name", sort=False)}, STATES)
    words = listed(
        f"{row.name}: {SECONDS.words(row.gap_s)} from {row.begin:%H:%M:%S} UTC" for row in shown.itertuples(index=False)
    )
    more = f" {len(rows) - len(shown)} more are not drawn." if len(rows) > len(shown) else ""
    return f"{len(rows)} gaps. {words}.{more}"

"""Rules about alerts: they fire when their rules say so."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.units import in_seconds


@check(
    section="10",
    severity="high",
    critical="severity_label == 'critical'",
    subject="prometheus/{instance}, {rule}: {labels}",
    because="missed {missed_at:%H:%M:%S} to {missed_until:%H:%M:%S} UTC; its expression was true, and it {instead}{pending}",
    at="missed_at",
    guide=("C122",),
)
def every_alert_that_should_fire_fires(prom_rule_series):
    """Every alert fired when the expression of its rule requires it.

    The expression of each rule is queried again at each of its evaluations, including `for` and `keep_firing_for`. A rule that fails,
    exceeds the limit of its group, or makes two alerts with the same labels, sends no alert. Critical for alerts with that severity.
    """
    rows = prom_rule_series[~prom_rule_series.fired].rename(columns={"severity": "severity_label"})
    rows["pending"] = [f" (expression true for {in_seconds(s)} before)" if s else "" for s in rows.for_s]
    rows["instead"] = [_instead(row) for row in rows.itertuples()]
    return rows.sort_values("missed_at")


def _instead(row) -> str:
    late = pd.notna(row.fired_at) and row.fired_at > row.missed_until
    failed = f"; its evaluation fails: {row.last_error}" if row.last_error else ""
    return (f"fired only from {row.fired_at:%H:%M:%S} UTC" if late else "did not fire") + failed

"""Rules about alerts: what should have been told was told."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.units import in_seconds


@check(
    section="10",
    severity="high",
    subject="{rule}: {labels}",
    because="by its own expression it should have been firing from {missed_at:%H:%M:%S} to {missed_until:%H:%M:%S} UTC{held},"
    " and {instead}",
    at="missed_at",
    guide=("C122",),
)
def every_alert_that_should_fire_fires(prom_rule_series):
    """Every alert was firing when the expression of its rule says that it should have been.

    Each rule's own expression is asked again at each moment at which it was evaluated, its `for` and `keep_firing_for` counted. A rule
    that fails, that is over the limit of its group, or that makes two alerts with the same labels, alerts nobody.
    """
    rows = prom_rule_series[~prom_rule_series.fired].copy()
    rows["held"] = [f" (true for {in_seconds(s)} before)" if s else "" for s in rows.for_s]
    rows["instead"] = [_instead(row) for row in rows.itertuples()]
    critical = (rows.severity == "critical").map({True: "critical", False: "high"})
    return rows.assign(severity=critical).sort_values(["severity", "missed_at"])


def _instead(row) -> str:
    late = pd.notna(row.fired_at) and row.fired_at > row.missed_until
    failed = f"; its evaluation fails: {row.last_error}" if row.last_error else ""
    return (f"was only from {row.fired_at:%H:%M:%S} UTC" if late else "was not") + failed

"""Rules about payments: they succeed as often as before."""

import pandas as pd

from nl_forensics.checks.rows import counted, usual
from nl_forensics.checks.rule import check
from nl_forensics.money import in_currencies
from nl_forensics.units import in_percent

MIN_PAYMENTS = 5
MIN_SHARE = 0.1  # of the failed payments; a rarer reason is not the cause


@check(
    section="08",
    severity="high",
    critical="failed_ratio >= critical_ratio",
    subject="stripe/{instance}, {reason}",
    because="{number} failed ({reason}), {total} of {tenants}; {failed_ratio:percent} of {finished} failed for any reason, {before}",
    at="at",
    baseline=True,
    guide=("C104",),
)
def payments_succeed(stripe_payments, *, max_ratio=0.1, factor=2, min_failed=MIN_PAYMENTS, critical_ratio=0.5):
    """Less than {max_ratio:percent} of the payments at Stripe failed, or less than {factor:.0f} times the share of the baseline.

    Of {min_failed:.0f} failed payments and more. Banks decline a few always; many with one decline code are declined by one rule, many with
    an error code are an error of the integration. Twice the baseline: the guide's review; 10 % and 5 payments: choices of ours.
    """
    rows = stripe_payments[stripe_payments.failed | (stripe_payments.status == "succeeded")]
    rows = rows.assign(payments=1, outcome=rows.failed.map({True: "failed", False: "succeeded"}))
    return _failing(rows, max_ratio, factor, min_failed)


@check(
    section="08",
    severity="high",
    critical="failed_ratio >= critical_ratio",
    subject="postgres/{instance}, {reason}",
    because="{number} failed ({reason}), {total} of {tenants}; {failed_ratio:percent} of {finished} failed for any reason, {before}",
    at="at",
    baseline=True,
    guide=("C107",),
)
def recorded_payments_succeed(
    billing_payments, *, max_ratio=0.1, factor=2, min_failed=MIN_PAYMENTS, critical_ratio=0.5
):
    """Less than {max_ratio:percent} of the recorded payments failed, or less than {factor:.0f} times the share of the baseline.

    As the platform's own table has them, of {min_failed:.0f} failed payments and more. Where Stripe has fewer, they failed before they got
    there.
    """
    return _failing(billing_payments[billing_payments.outcome != "pending"], max_ratio, factor, min_failed)


def _failing(rows: pd.DataFrame, max_ratio: float, factor: float, min_failed: float) -> pd.DataFrame:
    """One row per frequent reason, where too many failed."""
    by_outcome = rows.groupby(["instance", "window", "outcome"]).payments.sum().unstack(fill_value=0)
    by_outcome = by_outcome.reindex(columns=["failed", "succeeded"], fill_value=0).reset_index()
    by_outcome["finished"] = by_outcome.failed + by_outcome.succeeded
    by_outcome["failed_ratio"] = by_outcome.failed / by_outcome.finished
    before = by_outcome[by_outcome.window == "baseline"].set_index("instance").failed_ratio
    now = by_outcome[by_outcome.window == "incident"]
    usual_ratio = now.instance.map(before)
    too_many = (now.failed_ratio >= max_ratio) & ~(now.failed_ratio < factor * usual_ratio) & (now.failed >= min_failed)
    told = now.assign(before=usual(usual_ratio, in_percent))[too_many]
    told = told[["instance", "finished", "failed_ratio", "before"]].assign(finished=counted(told.finished, "payment"))
    failed = rows[(rows.window == "incident") & (rows.outcome == "failed")]
    return _by_reason(failed.assign(reason=failed.reason.replace("", "no reason"))).merge(told, on="instance")


def _by_reason(failed: pd.DataFrame) -> pd.DataFrame:
    found = []
    for (instance, reason), part in failed.groupby(["instance", "reason"]):
        if part.payments.sum() < MIN_SHARE * failed[failed.instance == instance].payments.sum():
            continue
        tenants = part.tenant.nunique()
        row = {
            "instance": instance,
            "reason": reason,
            "payments": part.payments.sum(),
            "at": part["at"].min(),
            "asked_at": part.asked_at.max(),
            "total": in_currencies(zip(part.currency, part.amount, strict=True)),
            "tenants": f"{tenants} tenant{'' if tenants == 1 else 's'}",
        }
        found.append(row)
    columns = ["instance", "reason", "payments", "at", "asked_at", "total", "tenants"]
    rows = pd.DataFrame(found, columns=columns).sort_values("payments", ascending=False)
    return rows.assign(number=counted(rows.payments, "payment"))

"""Rules about the provisioning of tenants."""

import pandas as pd

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import check

KEY = ["instance", "tenant"]


@check(
    section="07",
    severity="high",
    critical="never_done",
    subject="{instance}: tenant {tenant}",
    because="provisioning stopped at step {number} of {steps}, {step}: {what}{since}; {reason}the operator: {said}",
    at="since_at",
    guide=("C092", "C093", "C094", "C095", "C096", "C100"),
)
def every_tenant_is_provisioned(k8s_tenant_steps, k8s_tenants, *, max_s=60):
    """Every step of the provisioning of a tenant is done within {max_s:seconds}.

    The first step without a result is where to search: the ones after it wait for it. The message is the operator's own, in the condition
    Ready; without one, the operator may not run. A workload that was available before is a matter of section 6. 60 s: a choice of ours.
    """
    rows = k8s_tenant_steps.sort_values("number", kind="stable")
    done = rows[rows.done.fillna(True)]
    open_ = rows[~rows.done & ~rows.was_done].drop_duplicates(KEY)
    later = done.groupby(KEY).number.max().rename("last_done").reset_index()
    before = done.merge(open_[[*KEY, "number"]], on=KEY, suffixes=("", "_open"))
    newest = before[before.number < before.number_open].groupby(KEY).created_at.max().rename("done_at").reset_index()
    open_ = open_.merge(later, on=KEY, how="left").merge(newest, on=KEY, how="left")
    removed = ~open_.exists & (open_.last_done > open_.number).fillna(False)
    since_at = open_.created_at.fillna(open_.done_at.fillna(open_.wanted_at)).mask(removed)
    reason = (one_line(open_.why, 120) + "; ").mask(open_.why == "", "")
    open_ = open_.assign(never_done=~removed, since_at=since_at, what=_what(open_, removed), reason=reason)
    open_ = open_.assign(since=since_at.dt.strftime(" since %Y-%m-%d %H:%M:%S UTC").fillna(""))
    waits_s = seconds_since(since_at, open_)
    open_ = open_[removed | (waits_s >= max_s)]
    return open_.assign(said=_said(open_, k8s_tenants)).sort_values(["never_done", "since_at"], ascending=[False, True])


def _what(rows: pd.DataFrame, removed: pd.Series) -> pd.Series:
    """`deployments log-server is not ready`."""
    name = (rows.kind + " " + rows.object).str.strip()
    absent = name + removed.map({True: " was removed, later steps are done", False: " is missing"})
    return absent.mask(rows.exists.astype(bool), name + " is not ready")


def _said(rows: pd.DataFrame, tenants: pd.DataFrame) -> pd.Series:
    """What the operator says of each tenant."""
    words = tenants[[*KEY, "ready_message"]].merge(rows[KEY], on=KEY, how="right").ready_message
    return one_line(words.fillna("").set_axis(rows.index)).replace("", "no message, check whether it runs")


@check(
    section="07",
    severity="medium",
    subject="{instance}: operator, tenant {tenant}",
    because="{lines} warnings and errors in the log of the operator, last at {at:%Y-%m-%d %H:%M:%S} UTC; {said}",
    at="at",
    guide=("C093",),
)
def the_operator_reports_no_error(k8s_operator_log, *, min_lines=3):
    """The operator does not log {min_lines} or more errors about one tenant.

    The line names what was refused: a right, a quota, a webhook. One or two are usual: a conflict that the next attempt solves; 3 are a
    choice of ours. Only replicas that lead write lines; the logs of all are read.
    """
    rows = k8s_operator_log.sort_values("at", ascending=False, kind="stable")
    counts = rows.groupby(KEY).at.transform("size")
    rows = rows.assign(lines=counts, said=one_line(rows.message)).drop_duplicates(KEY)
    rows = rows[rows.lines >= min_lines]
    return rows.assign(tenant=rows.tenant.replace("", "(none named)"))

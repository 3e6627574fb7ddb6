"""Rules about suspended tenants."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during
from nl_forensics.sources.prometheus.series import RATE_S

SUSPENDED = "Suspended"


@check(
    section="07",
    severity="high",
    subject="{instance}: tenant {tenant}",
    because="is suspended, and {pods} of its pods run, {pod} among them; the operator calls it {state}",
    guide=("C013",),
)
def suspended_tenants_run_no_pod(k8s_tenants, k8s_pods):
    """No pod of a suspended tenant runs.

    A field that is set and not acted upon gives a false sense of safety: the operator does not run, or something else starts the pods.
    Pods that are being deleted do not count.
    """
    who = k8s_tenants[k8s_tenants.suspended][["instance", "tenant", "namespace", "phase"]]
    alive = k8s_pods[(k8s_pods.phase == "Running") & k8s_pods.deletion_requested_at.isna()].drop(columns="phase")
    rows = alive.merge(who, on=["instance", "namespace"])
    rows = rows.assign(
        pods=rows.groupby(["instance", "tenant"]).pod.transform("size"),
        state=rows.phase.replace("", "nothing"),
    )
    return rows.drop_duplicates(["instance", "tenant"])


@check(
    section="07",
    severity="high",
    subject="tenant {tenant}",
    because="is suspended since {since_at:%Y-%m-%d %H:%M:%S} UTC, and still sends {accepted_per_s:.1f} log lines per second",
    at="at",
    guide=("C013",),
)
def suspended_tenants_write_nothing(prom_lines_accepted, k8s_tenants):
    """No log line of a suspended tenant is accepted.

    Its keys still work, or another path leads around the check. A rate covers the 5 minutes before it: only later ones are judged.
    """
    who = k8s_tenants[k8s_tenants.suspended & (k8s_tenants.phase == SUSPENDED)]
    who = who[["tenant", "ready_at"]].rename(columns={"ready_at": "since_at"}).drop_duplicates("tenant")
    rows = during(prom_lines_accepted).merge(who, on="tenant")
    rows = rows[(rows.accepted_per_s > 0) & (rows["at"] >= rows.since_at + pd.Timedelta(seconds=RATE_S))]
    return rows.sort_values("at", kind="stable").drop_duplicates(["instance", "tenant"])

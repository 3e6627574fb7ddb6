"""Rules about the quotas of tenants, and about requests that were rejected for their rate."""

import pandas as pd

from nl_forensics.checks.rows import one_line
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.quotas import nearly_used, rejections_by

PLACE = ["instance", "namespace"]
BY_QUOTA = "exceeded quota"
OF_REQUESTS = {"requests.cpu": "cpu_cores", "requests.memory": "memory_bytes"}


def of_tenants(rows: pd.DataFrame, namespaces: pd.DataFrame) -> pd.DataFrame:
    """Rows in the namespaces of tenants, with the tenant of each."""
    return rows.merge(namespaces[[*PLACE, "tenant"]], on=PLACE)


@check(
    section="07",
    severity="critical",
    subject="{instance}: tenant {tenant}",
    because="its quota rejected pods of {name} {repeats} times, last at {last_at:%Y-%m-%d %H:%M:%S} UTC; {said}",
    at="first_at",
    guide=("C095", "C097"),
)
def no_quota_rejects_a_pod_of_a_tenant(k8s_events, k8s_tenant_namespaces):
    """No pod of a tenant was rejected by its quota.

    The workload keeps its old pods and gets no new one: no replacement, no rollout, no more replicas. Events are kept for an hour.
    """
    rows = k8s_events[(k8s_events.reason == "FailedCreate") & k8s_events.message.str.contains(BY_QUOTA, regex=False)]
    rows = of_tenants(rows, k8s_tenant_namespaces)
    rows = rejections_by([*PLACE, "tenant", "name"], rows)
    return rows.assign(said=one_line(rows.said))


@check(
    section="07",
    severity="medium",
    high="used_ratio >= 1",
    subject="{instance}: tenant {tenant}, {resource}",
    because="{used_in_words} of {hard_in_words} used, {used_ratio:percent} (limit {max_ratio:percent})",
    guide=("C095", "C097", "C099"),
)
def the_quota_of_every_tenant_leaves_room(k8s_quotas, k8s_tenant_namespaces, *, max_ratio=0.9):
    """Every tenant uses less than {max_ratio:percent} of its quota.

    90 % is medium, 100 % high: kubernetes-mixin (KubeQuotaAlmostFull, KubeQuotaFullyUsed). A quota counts what is requested, not what is
    used: see `requests_of_every_tenant_match_its_use` before it is raised.
    """
    return nearly_used(of_tenants(k8s_quotas, k8s_tenant_namespaces), max_ratio)


@check(
    section="07",
    severity="note",
    subject="{instance}: tenant {tenant}, {resource}",
    because="{used_ratio:percent} of its quota is requested, but {real_ratio:percent} of that is in use (limit {min_ratio:percent})",
    guide=("C098", "C099"),
)
def requests_of_every_tenant_match_its_use(
    k8s_quotas, k8s_pod_metrics, k8s_tenant_namespaces, *, max_ratio=0.9, min_ratio=0.3
):
    """No tenant exhausts {max_ratio:percent} of its quota with requests of which it uses less than {min_ratio:percent}.

    Smaller requests make room where a larger quota would only move the limit. One reading of the metrics API. 30 %: the guide's review.
    """
    used = k8s_pod_metrics.groupby(PLACE)[["cpu_cores", "memory_bytes"]].sum().reset_index()
    rows = of_tenants(
        k8s_quotas[k8s_quotas.resource.isin(list(OF_REQUESTS)) & (k8s_quotas.hard > 0)], k8s_tenant_namespaces
    )
    rows = rows.merge(used, on=PLACE)
    real = rows.cpu_cores.where(rows.resource == "requests.cpu", rows.memory_bytes)
    rows = rows.assign(used_ratio=rows.used / rows.hard, real_ratio=real / rows.used.where(rows.used > 0))
    return rows[(rows.used_ratio >= max_ratio) & (rows.real_ratio < min_ratio)].sort_values("real_ratio")


@check(
    section="07",
    severity="medium",
    subject="{instance}: {namespace}/{workload}",
    because="{lines} answers with status 429 in its log, first at {at:%Y-%m-%d %H:%M:%S} UTC: {request}",
    at="at",
    guide=("C097",),
)
def no_request_is_rejected_for_its_rate(k8s_logs):
    """No request is rejected with 429 Too Many Requests.

    A customer is over the limit of requests, or the limit is too low for its plan. Compare with the quota: 429 without an exhausted quota
    is a limit of the program. The log of one pod of each workload is read, so there may be more.
    """
    key = ["instance", "namespace", "workload"]
    rows = k8s_logs[k8s_logs.status == 429].sort_values("at", kind="stable")
    rows = rows.assign(lines=rows.groupby(key)["at"].transform("size"))
    return rows.drop_duplicates(key).sort_values("lines", ascending=False)

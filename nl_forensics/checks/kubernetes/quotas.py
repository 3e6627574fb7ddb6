"""Rules about the quotas of namespaces."""

import pandas as pd

from nl_forensics.checks.rows import one_line
from nl_forensics.checks.rule import check
from nl_forensics.units import amount


@check(
    section="06",
    severity="medium",
    high="used_ratio >= 1",
    subject="{instance}: {namespace}/{name}",
    because="{used_ratio:percent} of {resource} used, {used_in_words} of {hard_in_words} (limit {max_ratio:percent})",
    guide=("C009", "C090"),
)
def every_quota_leaves_room(k8s_quotas, *, max_ratio=0.9):
    """Less than {max_ratio:percent} of every quota is used.

    An exhausted quota rejects every new pod: no replacement, and no rollout, which needs one more. 90 % is medium, 100 % high:
    kubernetes-mixin (KubeQuotaAlmostFull, KubeQuotaFullyUsed). A quota of 0 forbids the resource on purpose.
    """
    rows = k8s_quotas[k8s_quotas.hard > 0]
    rows = rows.assign(used_ratio=rows.used / rows.hard)
    for column in ("used", "hard"):
        amounts = zip(rows.resource, rows[column], strict=True)
        rows[f"{column}_in_words"] = [amount(resource, value) for resource, value in amounts]
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="{kind} cannot create pods, last rejected at {last_at:%Y-%m-%d %H:%M:%S} UTC (times: {repeats}); {said}",
    at="first_at",
    guide=("C081", "C090"),
)
def no_pod_is_refused(k8s_events, k8s_replica_sets):
    """No pod was rejected at its creation.

    By a quota, a limit range, a webhook or a policy: there is no pod to inspect, only the event FailedCreate of its owner. A replica set
    that still can't create its pods has a rule of its own. Events are kept for an hour.
    """
    name = ["instance", "namespace", "name"]
    failing = k8s_replica_sets[k8s_replica_sets.replica_failure].set_index(name).index
    rows = k8s_events[(k8s_events.reason == "FailedCreate") & (k8s_events.type == "Warning")]
    rows = rows[~((rows.kind == "ReplicaSet") & pd.MultiIndex.from_frame(rows[name]).isin(failing))]
    rows = rows.groupby(["instance", "namespace", "kind", "name"], as_index=False).agg(
        repeats=("repeats", "sum"),
        said=("message", "first"),
        first_at=("first_at", "min"),
        last_at=("at", "max"),
        asked_at=("asked_at", "max"),
    )
    return rows.assign(said=one_line(rows.said)).sort_values("repeats", ascending=False)

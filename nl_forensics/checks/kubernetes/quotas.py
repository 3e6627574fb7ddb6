"""Rules about the quotas of namespaces."""

import pandas as pd

from nl_forensics.checks.rows import one_line
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.quotas import nearly_used, rejections_by


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
    return nearly_used(k8s_quotas, max_ratio)


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
    rows = rejections_by(["instance", "namespace", "kind", "name"], rows)
    return rows.assign(said=one_line(rows.said))

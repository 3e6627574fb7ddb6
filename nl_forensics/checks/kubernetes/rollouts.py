"""Rules about change: what was rolled out or edited, and what went wrong just after."""

from nl_forensics.checks.rows import graded, one_line, worst_first
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.field_managers import BY_HAND
from nl_forensics.facts.kubernetes.revisions import WORKLOAD, revisions, symptoms, what_changed


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{workload}",
    because="revision {revision} was rolled out at {created_at:%Y-%m-%d %H:%M:%S} UTC; its pod {pod} {symptom}, since "
    "{symptom_at:%H:%M:%S} at the earliest. Changed since revision {before_revision}: {changed}",
    at="symptom_at",
    until="over_at",
    guide=("C004", "C088", "C089", "C091"),
)
def no_rollout_precedes_a_symptom(
    k8s_replica_sets, k8s_controller_revisions, k8s_containers, k8s_pods, *, within_s=1800
):
    """No pod of a new revision crashed, could not start or was not ready within {within_s:seconds} after its rollout.

    What was changed last is the first suspect. 30 minutes: the guide's review. The first rollout of a workload changes nothing, so that
    it is left out; a revision that was rolled back to has the time of its first rollout.
    """
    changed = revisions(k8s_replica_sets, k8s_controller_revisions)
    changed = changed[changed.before_revision.notna()]
    wrong = symptoms(k8s_containers, k8s_pods).drop(columns="config_maps")
    pairs = changed.merge(wrong.rename(columns={"revision": "template_hash"}), on=[*WORKLOAD, "template_hash"])
    pairs["after_s"] = (pairs.symptom_at - pairs.created_at).dt.total_seconds()
    pairs = pairs[pairs.after_s <= within_s].sort_values(["revision", "after_s"], ascending=[False, True])
    pairs = pairs.drop_duplicates(WORKLOAD)
    return pairs.assign(changed=[what_changed(row) for row in pairs.itertuples()]).sort_values("created_at")


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="changed by {changed_by} at {changed_at:%Y-%m-%d %H:%M:%S} UTC; pod {pod}, which reads it, {symptom} after that",
    at="symptom_at",
    until="over_at",
    guide=("C004", "C089"),
)
def no_config_change_precedes_a_symptom(
    k8s_config_maps, k8s_containers, k8s_pods, *, within_s=1800, shortest_pause_s=10
):
    """No pod that reads a config map got into trouble within {within_s:seconds} after the config map was changed.

    No rollout is needed for that: a running pod goes on with what it read, and the next restart reads what breaks it. The data are not
    recorded, only that they changed. A container that crashed more often than is possible since then, as the kubelet waits 10 s at
    least, had crashed before. High where it lasts. 30 minutes: the guide's review.
    """
    wrong = symptoms(k8s_containers, k8s_pods)
    readers = wrong.assign(name=wrong.config_maps.str.split(", ")).explode("name")
    edited = k8s_config_maps[k8s_config_maps.changed_at > k8s_config_maps.created_at]
    pairs = edited.merge(readers, on=["instance", "namespace", "name"])
    pairs["symptom_at"] = pairs.symptom_at.where(pairs.symptom_at > pairs.changed_at, pairs.changed_at)
    pairs["after_s"] = (pairs.symptom_at - pairs.changed_at).dt.total_seconds()
    since_s = (pairs.last_at - pairs.changed_at).dt.total_seconds()
    may_be_new = (since_s >= 0) & (pairs.restarts.astype("float64") <= 1 + since_s / shortest_pause_s)
    pairs = pairs[may_be_new & (pairs.after_s <= within_s)]
    pairs = graded(pairs, high=pairs.over_at.isna(), medium=pairs.over_at.notna())
    return worst_first(pairs, "last_at").drop_duplicates(["instance", "namespace", "name"])


@check(
    section="06",
    severity="note",
    subject="{instance}: {kind} {namespace}/{name}",
    because="changed with {manager} at {at:%Y-%m-%d %H:%M:%S} UTC: {said}",
    at="at",
    guide=("C004",),
)
def nothing_was_changed_by_hand(k8s_changes):
    """Nothing was edited, patched or scaled by hand.

    What a pipeline writes next takes it away again, and meanwhile nobody knows of it. Which person it was, only the audit log of the API
    server knows. `kubectl apply` is what pipelines use, too, and left out.
    """
    rows = k8s_changes[k8s_changes.manager.str.match(BY_HAND) & k8s_changes["at"].notna()]
    return rows.assign(said=one_line(rows.fields)).sort_values("at", ascending=False)

"""Rules about changes: rollouts and edits that preceded a symptom."""

from nl_forensics.checks.rows import one_line
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.field_managers import INTERACTIVE
from nl_forensics.facts.kubernetes.revisions import JUST_BEFORE_S, WORKLOAD, revisions, symptoms, what_changed


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{workload}",
    because="revision {revision} rolled out at {created_at:%Y-%m-%d %H:%M:%S} UTC, then its pod {symptom}; {pod}, from "
    "{symptom_at:%H:%M:%S} UTC at the earliest; changed since revision {before_revision}: {changed}",
    at="symptom_at",
    until="over_at",
    guide=("C004", "C088", "C089", "C091"),
)
def no_rollout_precedes_a_symptom(
    k8s_replica_sets, k8s_controller_revisions, k8s_containers, k8s_pods, *, within_s=JUST_BEFORE_S
):
    """No pod of a new revision crashed, could not start or was unready within {within_s:seconds} after its rollout.

    The latest change is the first suspect. 30 minutes: the guide's review. The first rollout of a workload changes nothing and is left
    out; a revision that was rolled back to has the time of its first rollout.
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
    high="is_ongoing",
    because="changed by {changed_by} at {changed_at:%Y-%m-%d %H:%M:%S} UTC, then a pod that reads it {symptom}; pod {pod}",
    at="symptom_at",
    until="over_at",
    guide=("C004", "C089"),
)
def no_config_change_precedes_a_symptom(
    k8s_config_maps, k8s_containers, k8s_pods, *, within_s=JUST_BEFORE_S, shortest_pause_s=10
):
    """No pod that reads a config map failed within {within_s:seconds} after a change of the config map.

    This needs no rollout: a running pod keeps the values that it read, and its next restart reads the new ones. The data are not
    recorded, only that they changed. A container that crashed more often than is possible since then, as the kubelet waits at least
    10 s, had crashed before. High while it is ongoing. 30 minutes: the guide's review.
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
    pairs = pairs.assign(is_ongoing=pairs.over_at.isna()).sort_values(["is_ongoing", "last_at"], ascending=False)
    return pairs.drop_duplicates(["instance", "namespace", "name"])


@check(
    section="06",
    severity="note",
    subject="{instance}: {kind} {namespace}/{name}",
    because="changed manually with {manager} at {at:%Y-%m-%d %H:%M:%S} UTC; {said}",
    at="at",
    guide=("C004",),
)
def nothing_was_changed_manually(k8s_changes):
    """Nothing was edited, patched or scaled manually.

    The next deployment by a pipeline reverts a manual change, which is documented nowhere. Only the audit log of the API server has the
    user. `kubectl apply` is left out, as pipelines use it, too.
    """
    rows = k8s_changes[k8s_changes.manager.str.match(INTERACTIVE) & k8s_changes["at"].notna()]
    return rows.assign(said=one_line(rows.fields)).sort_values("at", ascending=False)

"""Rules about change: what was rolled out or edited, and what went wrong just after."""

import re

import pandas as pd

from nl_forensics.checks import check
from nl_forensics.checks.kubernetes.containers import IMAGE_REASONS, START_REASONS
from nl_forensics.checks.kubernetes.ends import first_crash, kept, loops, with_last_end
from nl_forensics.checks.kubernetes.words import graded, one_line, seconds_since, worst_first
from nl_forensics.sources import UTC

SECTION = "06"
# What of a pod template is compared, and how it is called.
PARTS = {
    "images": "image",
    "env_names": "names of the environment",
    "resources": "resources",
    "probes": "probes",
    "config_maps": "config maps",
}
LISTED = re.compile(r"[,;] ")
WORKLOAD = ["instance", "namespace", "workload_kind", "workload"]
BY_HAND = r"^(kubectl-(edit|patch|scale|set|rollout|label|annotate|replace|cordon)|Mozilla|node-fetch|k9s|Lens)"
STARTING_S = 60  # a new pod may be without a node, or not ready, for so long
MIN_RESTARTS = 3  # as in no_container_crash_loops
HIDDEN = "values of the environment, the command or its arguments (not recorded)"


def _revisions(k8s_replica_sets, k8s_controller_revisions) -> pd.DataFrame:
    """Every revision of a workload that is kept, beside the one before it (columns `before_…`).

    template_hash   the label by which its pods are known: for a daemon set the end of the revision's name, for a stateful set all of it
    """
    columns = [
        *WORKLOAD,
        "revision",
        "created_at",
        "asked_at",
        "template_hash",
        *PARTS,
        "env_digest",
        "template_digest",
        "restarted_at",
    ]
    ends = k8s_controller_revisions.name.str.extract(r"([^-]*)$", expand=False)
    of_daemons = k8s_controller_revisions.workload_kind == "DaemonSet"
    others = k8s_controller_revisions.assign(template_hash=k8s_controller_revisions.name.mask(of_daemons, ends))
    rows = pd.concat([k8s_replica_sets[columns], others[columns]], ignore_index=True)
    rows = rows[(rows.workload != "") & rows.revision.notna()].sort_values([*WORKLOAD, "revision"])
    before = rows.groupby(WORKLOAD)[["revision", *PARTS, "env_digest", "template_digest"]].shift()
    return rows.join(before.add_prefix("before_"))


def _what_changed(row) -> str:
    """`image: a:1 → a:2; probes: …`. Of each part only what differs."""
    found = [
        f"{words}: {_only_in(before, now)} → {_only_in(now, before)}"
        for name, words in PARTS.items()
        if (now := getattr(row, name)) != (before := getattr(row, f"before_{name}"))
    ]
    if row.env_digest != row.before_env_digest and row.env_names == row.before_env_names:
        found.append(HIDDEN)
    restarted = row.template_digest == row.before_template_digest and pd.notna(row.restarted_at)
    return "; ".join(found) or ("nothing: it was restarted" if restarted else "other parts of the pod template")


def _only_in(one: str, other: str) -> str:
    """The items of a list that another has not: `A, B` and `B, C` → `A`."""
    known = LISTED.split(other)
    return ", ".join(item for item in LISTED.split(one) if item not in known) or "none"


def _symptoms(k8s_containers: pd.DataFrame, k8s_pods: pd.DataFrame) -> pd.DataFrame:
    """What is or was wrong with each pod that is to last, in words.

    symptom_at   since when at the earliest; last_at: when last; over_at: null while it lasts
    """
    containers = with_last_end(kept(k8s_containers))
    crashed = containers[containers.ended_at.notna() & (containers.end_reason != "Completed")]
    waiting = containers[
        (containers.state == "waiting") & containers.state_reason.isin((*IMAGE_REASONS, *START_REASONS))
    ]
    pods = k8s_pods[k8s_pods.deletion_requested_at.isna()]
    young = seconds_since(pods.created_at, pods) < STARTING_S
    unready = pods[pods.scheduled & ~pods.ready & (pods.phase == "Running") & ~young]
    homeless = pods[(pods.phase == "Pending") & ~pods.scheduled & ~young]
    crashes = "crashed (" + crashed.end_reason + ", restarts: " + crashed.restarts.astype("str") + ")"
    found = [
        crashed.assign(
            symptom_at=first_crash(crashed),
            last_at=crashed.ended_at,
            over_at=crashed.ended_at.mask(loops(crashed, MIN_RESTARTS) | ~crashed.ready),
            symptom=crashes,
        ),
        waiting.assign(symptom_at=waiting.pod_created_at, symptom="could not start (" + waiting.state_reason + ")"),
        unready.assign(symptom_at=unready.ready_changed_at, symptom="was not ready"),
        homeless.assign(symptom_at=homeless.created_at, symptom="found no node"),
    ]
    columns = ["instance", "uid", "restarts", "symptom_at", "last_at", "over_at", "symptom"]
    times = {"last_at": UTC, "over_at": UTC}
    rows = pd.concat([part.reindex(columns=columns).astype(times) for part in found], ignore_index=True)
    rows = rows.assign(last_at=rows.last_at.fillna(rows.symptom_at))
    pods = pods[pods.workload_kind != "Job"][[*WORKLOAD, "uid", "pod", "revision", "config_maps"]]
    return rows.dropna(subset=["symptom_at"]).merge(pods, on=["instance", "uid"])


@check(
    severity="high",
    subject="{instance}: {namespace}/{workload}",
    because="revision {revision} was rolled out at {created_at:%Y-%m-%d %H:%M:%S} UTC; its pod {pod} {symptom}, since "
    "{symptom_at:%H:%M:%S} at the earliest. Changed since revision {before_revision}: {changed}",
    at="symptom_at",
    until="over_at",
    guide=("C004", "C088"),
)
def no_rollout_precedes_a_symptom(
    k8s_replica_sets, k8s_controller_revisions, k8s_containers, k8s_pods, *, within_s=1800
):
    """No pod of a new revision crashed, could not start or was not ready within {within_s:seconds} after its rollout.

    What was changed last is the first suspect. 30 minutes: the guide's review. The first rollout of a workload changes nothing, so that
    it is left out; a revision that was rolled back to has the time of its first rollout.
    """
    revisions = _revisions(k8s_replica_sets, k8s_controller_revisions)
    revisions = revisions[revisions.before_revision.notna()]
    symptoms = _symptoms(k8s_containers, k8s_pods).drop(columns="config_maps")
    symptoms = symptoms.rename(columns={"revision": "template_hash"})
    pairs = revisions.merge(symptoms, on=[*WORKLOAD, "template_hash"])
    pairs["after_s"] = (pairs.symptom_at - pairs.created_at).dt.total_seconds()
    pairs = pairs[pairs.after_s <= within_s].sort_values(["revision", "after_s"], ascending=[False, True])
    pairs = pairs.drop_duplicates(WORKLOAD)
    return pairs.assign(changed=[_what_changed(row) for row in pairs.itertuples()]).sort_values("created_at")


@check(
    severity="medium",
    subject="{instance}: {namespace}/{name}",
    because="changed by {changed_by} at {changed_at:%Y-%m-%d %H:%M:%S} UTC; pod {pod}, which reads it, {symptom} after that",
    at="symptom_at",
    until="over_at",
    guide=("C004",),
)
def no_config_change_precedes_a_symptom(
    k8s_config_maps, k8s_containers, k8s_pods, *, within_s=1800, shortest_pause_s=10
):
    """No pod that reads a config map got into trouble within {within_s:seconds} after the config map was changed.

    No rollout is needed for that: a running pod goes on with what it read, and the next restart reads what breaks it. The data are not
    recorded, only that they changed. A container that crashed more often than is possible since then, as the kubelet waits 10 s at
    least, had crashed before. High where it lasts. 30 minutes: the guide's review.
    """
    symptoms = _symptoms(k8s_containers, k8s_pods)
    readers = symptoms.assign(name=symptoms.config_maps.str.split(", ")).explode("name")
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

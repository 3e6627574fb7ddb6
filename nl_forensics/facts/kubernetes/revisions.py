"""Changes of a rollout, and symptoms of the pods of a workload."""

import re

import pandas as pd

from nl_forensics.facts.kubernetes.pending import IMAGE_REASONS, MIN_RESTARTS, START_REASONS
from nl_forensics.facts.kubernetes.terminations import first_crash, is_crash_looping, kept, with_last_end
from nl_forensics.sources import UTC

# Compared parts of a pod template, and their names.
PARTS = {
    "images": "image",
    "env_names": "environment variables",
    "resources": "resources",
    "probes": "probes",
    "config_maps": "config maps",
}
WORKLOAD = ["instance", "namespace", "workload_kind", "workload"]
JUST_BEFORE_S = 1800  # a change this long before a symptom may have caused it: the guide's review looks at 30 minutes
JUST_BEFORE = pd.Timedelta(seconds=JUST_BEFORE_S)
STARTING_S = 60  # a new pod may be unscheduled, or unready, for this long
IMAGE = re.compile(r"[^\s,]+:[^\s,/:]+")
HIDDEN = "values of environment variables, command or arguments (not recorded)"


def revisions(k8s_replica_sets, k8s_controllerrevisions) -> pd.DataFrame:
    """Every stored revision of a workload, beside the one before it (columns `before_…`).

    template_hash   the label by which its pods are known: for a daemon set the suffix of the revision's name, for a stateful set all of it
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
    suffixes = k8s_controllerrevisions.name.str.extract(r"([^-]*)$", expand=False)
    of_daemons = k8s_controllerrevisions.workload_kind == "DaemonSet"
    others = k8s_controllerrevisions.assign(template_hash=k8s_controllerrevisions.name.mask(of_daemons, suffixes))
    rows = pd.concat([k8s_replica_sets[columns], others[columns]], ignore_index=True)
    rows = rows[(rows.workload != "") & rows.revision.notna()].sort_values([*WORKLOAD, "revision"])
    before = rows.groupby(WORKLOAD)[["revision", *PARTS, "env_digest", "template_digest"]].shift()
    return rows.join(before.add_prefix("before_"))


def what_changed(row) -> str:
    """`image: a:1 → a:2; environment variables: + DEBUG`."""
    found = [
        f"{words}: {_difference(getattr(row, f'before_{name}'), getattr(row, name))}"
        for name, words in PARTS.items()
        if getattr(row, name) != getattr(row, f"before_{name}")
    ]
    if row.env_digest != row.before_env_digest and row.env_names == row.before_env_names:
        found.append(HIDDEN)
    restarted = row.template_digest == row.before_template_digest and pd.notna(row.restarted_at)
    return "; ".join(found) or ("nothing: it was restarted" if restarted else "other parts of the pod template")


def _difference(before: str, after: str) -> str:
    """The items that differ between two lists; for two tags of one image `image:1 → 2`."""
    if pd.isna(before) or pd.isna(after):
        return "unknown"
    old, new = before.split(", ") if before else [], after.split(", ") if after else []
    gone, added = [item for item in old if item not in new], [item for item in new if item not in old]
    if IMAGE.fullmatch(before) and IMAGE.fullmatch(after) and before.rpartition(":")[0] == after.rpartition(":")[0]:
        return f"{before} → {after.rpartition(':')[2]}"
    if gone and added:
        return f"{', '.join(gone)} → {', '.join(added)}"
    return f"+ {', '.join(added)}" if added else f"− {', '.join(gone)}" if gone else f"{before} → {after}"


def symptoms(k8s_containers: pd.DataFrame, k8s_pods: pd.DataFrame) -> pd.DataFrame:
    """Symptoms of each pod that is not being deleted, in words.

    symptom_at   earliest onset; last_at: last occurrence; over_at: null while ongoing
    """
    containers = with_last_end(kept(k8s_containers))
    crashed = containers[containers.ended_at.notna() & (containers.end_reason != "Completed")]
    waiting = containers[
        (containers.state == "waiting") & containers.state_reason.isin((*IMAGE_REASONS, *START_REASONS))
    ]
    pods = k8s_pods[k8s_pods.deletion_requested_at.isna()]
    young = (pods.asked_at - pods.created_at).dt.total_seconds() < STARTING_S
    unready = pods[pods.scheduled & ~pods.ready & (pods.phase == "Running") & ~young]
    unscheduled = pods[(pods.phase == "Pending") & ~pods.scheduled & ~young]
    crashes = "crashed (" + crashed.end_reason + ", restarts: " + crashed.restarts.astype("str") + ")"
    found = [
        crashed.assign(
            symptom_at=first_crash(crashed),
            last_at=crashed.ended_at,
            over_at=crashed.ended_at.mask(is_crash_looping(crashed, MIN_RESTARTS) | ~crashed.ready),
            symptom=crashes,
        ),
        waiting.assign(symptom_at=waiting.pod_created_at, symptom="could not start (" + waiting.state_reason + ")"),
        unready.assign(symptom_at=unready.ready_changed_at, symptom="was unready"),
        unscheduled.assign(symptom_at=unscheduled.created_at, symptom="was unscheduled"),
    ]
    columns = ["instance", "uid", "restarts", "symptom_at", "last_at", "over_at", "symptom"]
    times = {"last_at": UTC, "over_at": UTC}
    rows = pd.concat([part.reindex(columns=columns).astype(times) for part in found], ignore_index=True)
    rows = rows.assign(last_at=rows.last_at.fillna(rows.symptom_at))
    pods = pods[pods.workload_kind != "Job"][[*WORKLOAD, "uid", "pod", "revision", "config_maps"]]
    return rows.dropna(subset=["symptom_at"]).merge(pods, on=["instance", "uid"])

"""Reasons why pods are unready."""

import re

import pandas as pd

from nl_forensics.facts.kubernetes.terminations import is_crash_looping, with_last_end

IMAGE_REASONS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
START_REASONS = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PostStartHookError",
    "StartError",
    "ContainerCannotRun",
)
VOLUME_REASONS = ("FailedAttachVolume", "FailedMapVolume", "FailedMount")  # of events
# Reasons of the scheduler for rejecting nodes. The first match is the cause: taints exclude nodes that were never meant for a pod, so
# they are the cause only if there is no other.
REFUSALS = {
    r"Insufficient [\w./-]+|Too many pods": "no node has enough free capacity for its requests",
    r"(?i)volume": "one of its volumes is missing, or bound to another node",
    r"were unschedulable": "the nodes that fit are cordoned",
    r"affinity|selector|topology spread": "no node fits its selector, affinity or spread",
    r"taint": "it does not tolerate the taints of the nodes",
    r"": "no node accepts it",
}
PREEMPTION = r"(?s)\.? (?:no new claims to deallocate|preemption: ).*"  # preemption: it names the same nodes again
MIN_RESTARTS = 3  # as in no_container_crash_loops


def refusals(scheduling_message: pd.Series) -> pd.Series:
    """The message of the scheduler, without its attempt of preemption."""
    return scheduling_message.str.replace(PREEMPTION, "", regex=True)


def refused_for(message: str) -> str:
    """Of `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)`: the cause, in words."""
    return next(words for pattern, words in REFUSALS.items() if re.search(pattern, message))


def not_ready(
    k8s_pods: pd.DataFrame, k8s_containers: pd.DataFrame, k8s_events: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The pods that are unready or being deleted, with `why` and `since_at`.

    Without events, a pod blocked by a volume is reported as starting.
    """
    rows = k8s_pods[(k8s_pods.phase != "Succeeded") & (~k8s_pods.ready | k8s_pods.deletion_requested_at.notna())]
    ends, waits = with_last_end(k8s_containers), k8s_containers.state == "waiting"
    unfinished = (k8s_containers.kind == "init") & (k8s_containers.state.isin(("running", "waiting")))

    def having(containers: pd.Series) -> pd.Series:
        return rows.uid.isin(k8s_containers[containers].uid)

    pending, failed = rows.phase == "Pending", rows.phase == "Failed"
    unscheduled, deleted = pending & ~rows.scheduled, rows.deletion_requested_at.notna()
    no_volume = rows.uid.isin(_without_volume(k8s_events))
    # The last one that holds counts.
    reasons = [
        (pending, "starting"),
        (pending & having(unfinished), "its init containers have not finished"),
        (pending & no_volume, "blocked: a volume, config map or secret that it mounts is unavailable"),
        (having(is_crash_looping(ends, MIN_RESTARTS)), "crash loop"),
        (having(waits & k8s_containers.state_reason.isin(START_REASONS)), "one of its containers can't be started"),
        (having(waits & k8s_containers.state_reason.isin(IMAGE_REASONS)), "its image can't be pulled"),
        (unscheduled, "unscheduled: " + refusals(rows.scheduling_message).map(refused_for)),
        (unscheduled & (rows.schedulable_gates != ""), "its scheduling is blocked by a gate"),
        (failed, "failed"),
        (failed & (rows.reason != ""), "evicted by its node (" + rows.reason + ")"),
        (deleted, "being deleted"),
    ]
    why = pd.Series("running, but unready", rows.index, dtype="str")
    for holds, words in reasons:
        why = why.mask(holds, words)
    since_at = rows.deletion_requested_at.fillna(rows.ready_changed_at).fillna(rows.created_at)
    return rows.assign(why=why, since_at=since_at)


def _without_volume(k8s_events: pd.DataFrame | None) -> pd.Series:
    if k8s_events is None:
        return pd.Series(dtype="str")
    return k8s_events[k8s_events.reason.isin(VOLUME_REASONS)].uid

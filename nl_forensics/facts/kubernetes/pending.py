"""Why pods wait."""

import re

import pandas as pd

from nl_forensics.facts.kubernetes.terminations import loops, with_last_end

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
# What the scheduler writes of the nodes that it refused. The first that it names is the cause: taints keep pods from nodes that
# were never meant for them, so they are the cause only where nothing else is.
REFUSALS = {
    r"Insufficient [\w./-]+|Too many pods": "no node has as much free as it requests",
    r"(?i)volume": "a volume of it is not there, or elsewhere",
    r"were unschedulable": "the nodes that fit are cordoned",
    r"affinity|selector|topology spread": "no node fits its selector, affinity or spread",
    r"taint": "it does not tolerate the taints of the nodes",
    r"": "no node takes it",
}
AND_SO_ON = (
    r"(?s)\.? (?:no new claims to deallocate|preemption: ).*"  # what else was tried: it names the same nodes again
)
MIN_RESTARTS = 3  # as in no_container_crash_loops


def refusals(scheduling_message: pd.Series) -> pd.Series:
    """What the scheduler says, without what it tried after that."""
    return scheduling_message.str.replace(AND_SO_ON, "", regex=True)


def refused_for(said: str) -> str:
    """Of `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s)`: the cause, in words."""
    return next(words for pattern, words in REFUSALS.items() if re.search(pattern, said))


def not_ready(
    k8s_pods: pd.DataFrame, k8s_containers: pd.DataFrame, k8s_events: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The pods that are not ready, or on their way out, with `why` and `since_at`.

    Without events, one that waits for a volume is not told from one that is being started.
    """
    rows = k8s_pods[(k8s_pods.phase != "Succeeded") & (~k8s_pods.ready | k8s_pods.deletion_requested_at.notna())]
    ends, waits = with_last_end(k8s_containers), k8s_containers.state == "waiting"
    undone = (k8s_containers.kind == "init") & (k8s_containers.state.isin(("running", "waiting")))

    def having(containers: pd.Series) -> pd.Series:
        return rows.uid.isin(k8s_containers[containers].uid)

    pending, failed = rows.phase == "Pending", rows.phase == "Failed"
    homeless, deleted = pending & ~rows.scheduled, rows.deletion_requested_at.notna()
    no_volume = rows.uid.isin(_without_volume(k8s_events))
    # The later one counts.
    reasons = [
        (pending, "is being started"),
        (pending & having(undone), "its init containers are not done"),
        (pending & no_volume, "waits for a volume, a config map or a secret that it mounts"),
        (having(loops(ends, MIN_RESTARTS)), "crashes again and again"),
        (having(waits & k8s_containers.state_reason.isin(START_REASONS)), "a container of it can't be started"),
        (having(waits & k8s_containers.state_reason.isin(IMAGE_REASONS)), "its image can't be had"),
        (homeless, "has no node: " + refusals(rows.scheduling_message).map(refused_for)),
        (homeless & (rows.schedulable_gates != ""), "is held back from scheduling by a gate"),
        (failed, "has failed"),
        (failed & (rows.reason != ""), "was put out by its node (" + rows.reason + ")"),
        (deleted, "is being deleted"),
    ]
    why = pd.Series("runs, but is not ready", rows.index, dtype="str")
    for holds, words in reasons:
        why = why.mask(holds, words)
    since_at = rows.deletion_requested_at.fillna(rows.ready_changed_at).fillna(rows.created_at)
    return rows.assign(why=why, since_at=since_at)


def _without_volume(k8s_events: pd.DataFrame | None) -> pd.Series:
    if k8s_events is None:
        return pd.Series(dtype="str")
    return k8s_events[k8s_events.reason.isin(VOLUME_REASONS)].uid

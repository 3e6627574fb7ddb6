"""Rules about volumes: claims are bound, volumes attached where they are needed."""

from nl_forensics.checks.rows import graded, one_line, seconds_since, worst_first
from nl_forensics.checks.rule import check


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="{phase} since {created_at:%Y-%m-%d %H:%M:%S} UTC ({waits_s:seconds}): {why}",
    at="created_at",
    guide=("C078", "C130"),
)
def every_volume_claim_is_bound(k8s_claims, k8s_storage_classes, *, max_s=120):
    """Every volume claim is bound within {max_s:seconds}.

    Its storage class does not exist, its driver makes no volume, or no volume fits. Critical: `Lost`, its volume is gone. A claim whose
    class waits for the first pod is pending until one uses it, and left out until a node was chosen. 2 minutes: awesome-prometheus-alerts.
    """
    classes = k8s_storage_classes.rename(columns={"name": "storage_class"})[
        ["instance", "storage_class", "binding", "provisioner"]
    ]
    rows = k8s_claims[(k8s_claims.phase != "Bound") & k8s_claims.deletion_requested_at.isna()]
    rows = rows.merge(classes, on=["instance", "storage_class"], how="left")
    rows = rows.assign(waits_s=seconds_since(rows.created_at, rows))
    no_class = rows.storage_class == ""
    why = "the driver " + rows.provisioner.fillna("") + " has made no volume"
    why = why.mask(rows.provisioner.isna(), "there is no storage class " + rows.storage_class)
    why = why.mask(no_class, "it names no storage class, and no volume fits").mask(
        rows.volume != "", "its volume " + rows.volume + " is not there"
    )
    waits_for_pod = (rows.binding == "WaitForFirstConsumer") & (rows.selected_node == "")
    late = (rows.waits_s >= max_s) & ~waits_for_pod.fillna(False)
    rows = graded(rows.assign(why=why), critical=rows.phase == "Lost", high=late)
    return worst_first(rows, "waits_s")


@check(
    section="06",
    severity="high",
    subject="{instance}: {name}",
    because="{phase}{since}, {capacity_bytes:bytes}, of the claim {claim_namespace}/{claim}: {said}",
    at="phase_at",
    guide=("C130",),
)
def no_volume_is_orphaned(k8s_volumes):
    """Every volume is bound, or free to be bound.

    Failed: it could not be taken back. Released: its claim was deleted and its data kept on purpose (Retain), which is a note.
    """
    since = (" since " + k8s_volumes.phase_at.dt.strftime("%Y-%m-%d %H:%M:%S UTC")).fillna("")
    silent = k8s_volumes.message == ""
    said = one_line(k8s_volumes.message).mask(silent, "its reclaim policy is " + k8s_volumes.reclaim_policy)
    rows = k8s_volumes.assign(since=since, said=said)
    kept = (rows.phase == "Released") & (rows.reclaim_policy == "Retain")
    rows = graded(rows, note=kept, high=rows.phase.isin(("Failed", "Released")))
    return worst_first(rows, "created_at")


@check(
    section="06",
    severity="high",
    subject="{instance}: {volume}",
    because="is attached to node {held_by}, and pod {namespace}/{pod} on node {node} waits for it since {created_at:%Y-%m-%d %H:%M:%S} UTC",
    at="created_at",
    guide=("C130",),
)
def no_volume_is_attached_elsewhere(k8s_attachments, k8s_volumes, k8s_pods, *, max_s=60):
    """No pod waits for {max_s:seconds} for a volume that one node may use at a time and that is attached to another.

    The other node is lost, or a pod on it still uses the volume: often the former revision, which goes only when its successor is ready, so
    that each waits for the other. Kubernetes says it once, in an event (Multi-Attach error), and tries nothing. A move takes seconds;
    after a node was lost Kubernetes waits 6 minutes before it takes the volume away.
    """
    alone = k8s_volumes[~k8s_volumes.access_modes.str.contains("Many")]
    alone = alone.rename(columns={"name": "volume", "claim_namespace": "namespace"})
    waiting = k8s_pods[(k8s_pods.phase == "Pending") & k8s_pods.scheduled & k8s_pods.deletion_requested_at.isna()]
    rows = waiting.assign(claim=waiting.claims.str.split(", ")).explode("claim")
    rows = rows.merge(alone[["instance", "volume", "namespace", "claim"]], on=["instance", "namespace", "claim"])
    held = k8s_attachments[k8s_attachments.attached]
    holders = held.groupby(["instance", "volume"]).node.agg(", ".join).rename("held_by")
    rows = rows.join(holders, on=["instance", "volume"])
    rows = rows[rows.held_by.notna() & (rows.held_by != rows.node)]
    return rows[seconds_since(rows.created_at, rows) >= max_s].sort_values("created_at")


@check(
    section="06",
    severity="high",
    subject="{instance}: {volume}",
    because="on node {node}, since {error_at:%Y-%m-%d %H:%M:%S} UTC: {said}",
    at="error_at",
    guide=("C130",),
)
def every_volume_can_be_attached(k8s_attachments):
    """No volume fails to be attached to its node, or detached from it.

    Its zone, its driver, or how many volumes a node can hold: the message is the driver's. Pods that need it wait meanwhile.
    """
    rows = k8s_attachments[k8s_attachments.error != ""]
    return rows.assign(said=one_line(rows.error)).sort_values("error_at")


@check(
    section="06",
    severity="note",
    subject="{instance}",
    because="{number} storage classes are the default: {names}",
    guide=("C130",),
)
def one_storage_class_is_the_default(k8s_storage_classes):
    """At most one storage class is the default.

    With several, a claim that names none gets the newest of them. Popeye and k8sgpt look for it, too.
    """
    rows = k8s_storage_classes[k8s_storage_classes.is_default]
    rows = rows.groupby("instance", as_index=False).agg(
        number=("name", "size"), names=("name", lambda names: ", ".join(sorted(names))), asked_at=("asked_at", "max")
    )
    return rows[rows.number > 1]


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    because="{reason} {repeats} times from {first_at:%H:%M:%S} to {at:%H:%M:%S} UTC: {said}",
    at="first_at",
    guide=("C079", "C081", "C130"),
)
def every_volume_can_be_mounted(k8s_events, k8s_pods, *, min_failures=2):
    """No pod waits for a volume that can't be attached or mounted.

    The volume is in use on another node, or a config map or secret that it mounts is missing. One failure is usual while a node
    changes, and what is mounted in the end is no fault any more. Events are kept for an hour.
    """
    rows = k8s_events[k8s_events.reason.isin(("FailedMount", "FailedAttachVolume", "FailedMapVolume"))]
    waiting = k8s_pods[(k8s_pods.phase == "Pending") & k8s_pods.deletion_requested_at.isna()].uid
    rows = rows[rows.uid.isin(waiting) & (rows.repeats >= min_failures)]
    return rows.assign(said=one_line(rows.message)).sort_values("repeats", ascending=False)

"""Rules about volumes: claims are bound, volumes are attached where they are used."""

from nl_forensics.checks.rows import one_line, seconds_since
from nl_forensics.checks.rule import check


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}",
    critical="is_lost",
    because="claim has been {phase} for {waits_s:seconds}: {why}; since {created_at:%Y-%m-%d %H:%M:%S} UTC",
    at="created_at",
    guide=("C078", "C130"),
)
def every_volume_claim_is_bound(k8s_claims, k8s_storage_classes, *, max_s=120):
    """Every volume claim is bound within {max_s:seconds}.

    Its storage class does not exist, its driver provisions no volume, or no volume matches. Critical: `Lost`, its volume is gone. A claim
    of a class with WaitForFirstConsumer is left out until a node was selected. 2 minutes: awesome-prometheus-alerts.
    """
    classes = k8s_storage_classes.rename(columns={"name": "storage_class"})[
        ["instance", "storage_class", "binding", "provisioner"]
    ]
    rows = k8s_claims[(k8s_claims.phase != "Bound") & k8s_claims.deletion_requested_at.isna()]
    rows = rows.merge(classes, on=["instance", "storage_class"], how="left")
    rows = rows.assign(waits_s=seconds_since(rows.created_at, rows))
    no_class = rows.storage_class == ""
    why = "driver " + rows.provisioner.fillna("") + " has not provisioned a volume"
    why = why.mask(rows.provisioner.isna(), "storage class " + rows.storage_class + " does not exist")
    why = why.mask(no_class, "it names no storage class, and no volume matches").mask(
        rows.volume != "", "its volume " + rows.volume + " does not exist"
    )
    waits_for_pod = (rows.binding == "WaitForFirstConsumer") & (rows.selected_node == "")
    late, lost = (rows.waits_s >= max_s) & ~waits_for_pod, rows.phase == "Lost"
    return rows.assign(why=why, is_lost=lost)[late | lost].sort_values("waits_s", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {name}",
    note="is_retained",
    because="volume is {phase}{since} ({capacity_bytes:bytes}, claim {claim_namespace}/{claim}); {said}",
    at="phase_at",
    guide=("C130",),
)
def no_volume_is_orphaned(k8s_volumes):
    """Every volume is bound or available.

    Failed: it could not be reclaimed. Released: its claim was deleted; where its data is kept on purpose (Retain), that is a note.
    """
    since = (" since " + k8s_volumes.phase_at.dt.strftime("%Y-%m-%d %H:%M:%S UTC")).fillna("")
    silent = k8s_volumes.message == ""
    said = one_line(k8s_volumes.message).mask(silent, "reclaim policy " + k8s_volumes.reclaim_policy)
    retained = (k8s_volumes.phase == "Released") & (k8s_volumes.reclaim_policy == "Retain")
    rows = k8s_volumes.assign(since=since, said=said, is_retained=retained)
    return rows[rows.phase.isin(("Failed", "Released"))].sort_values("created_at", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {volume}",
    because="attached to node {holder}, blocks pod {namespace}/{pod} on node {node}; since {created_at:%Y-%m-%d %H:%M:%S} UTC",
    at="created_at",
    guide=("C130",),
)
def no_volume_is_attached_elsewhere(k8s_attachments, k8s_volumes, k8s_pods, *, max_s=60):
    """No pod waits {max_s:seconds} for a single-node volume that is attached to another node.

    The other node is lost, or a pod on it still uses the volume: often one of the former revision, which ends only when its replacement is
    ready, a deadlock. Kubernetes reports it once, in an event (Multi-Attach error), and does not resolve it. A move takes seconds; after
    the loss of a node Kubernetes waits 6 minutes before it detaches the volume.
    """
    alone = k8s_volumes[~k8s_volumes.access_modes.str.contains("Many")]
    alone = alone.rename(columns={"name": "volume", "claim_namespace": "namespace"})
    waiting = k8s_pods[(k8s_pods.phase == "Pending") & k8s_pods.scheduled & k8s_pods.deletion_requested_at.isna()]
    rows = waiting.assign(claim=waiting.claims.str.split(", ")).explode("claim")
    rows = rows.merge(alone[["instance", "volume", "namespace", "claim"]], on=["instance", "namespace", "claim"])
    attached = k8s_attachments[k8s_attachments.attached]
    holders = attached.groupby(["instance", "volume"]).node.agg(", ".join).rename("holder")
    rows = rows.join(holders, on=["instance", "volume"])
    rows = rows[rows.holder.notna() & (rows.holder != rows.node)]
    return rows[seconds_since(rows.created_at, rows) >= max_s].sort_values("created_at")


@check(
    section="06",
    severity="high",
    subject="{instance}: {volume}",
    because="attach or detach fails on node {node} since {error_at:%Y-%m-%d %H:%M:%S} UTC; {said}",
    at="error_at",
    guide=("C130",),
)
def every_volume_can_be_attached(k8s_attachments):
    """Every volume can be attached to its node and detached from it.

    Its zone, its driver, or the maximum number of volumes per node: the message is the driver's. Pods that use it wait meanwhile.
    """
    rows = k8s_attachments[k8s_attachments.error != ""]
    return rows.assign(said=one_line(rows.error)).sort_values("error_at")


@check(
    section="06",
    severity="note",
    subject="{instance}",
    because="{number} default storage classes: {names}",
    guide=("C130",),
)
def one_storage_class_is_the_default(k8s_storage_classes):
    """At most one storage class is the default.

    With several, a claim that names none gets the newest of them. Popeye and k8sgpt check this, too.
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
    because="{reason} {repeats} times from {first_at:%H:%M:%S} to {at:%H:%M:%S} UTC; {said}",
    at="first_at",
    guide=("C079", "C081", "C130"),
)
def every_volume_can_be_mounted(k8s_events, k8s_pods, *, min_failures=2):
    """Every volume of a pending pod can be attached and mounted.

    The volume is in use on another node, or a mounted config map or secret is missing. A single failure is normal while a volume moves,
    and a volume that is mounted in the end is no fault. Events are kept for an hour.
    """
    rows = k8s_events[k8s_events.reason.isin(("FailedMount", "FailedAttachVolume", "FailedMapVolume"))]
    waiting = k8s_pods[(k8s_pods.phase == "Pending") & k8s_pods.deletion_requested_at.isna()].uid
    rows = rows[rows.uid.isin(waiting) & (rows.repeats >= min_failures)]
    return rows.assign(said=one_line(rows.message)).sort_values("repeats", ascending=False)

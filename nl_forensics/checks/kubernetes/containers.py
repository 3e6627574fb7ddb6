"""Rules about containers: they start, go on running, and stay within what they were given."""

import pandas as pd

from nl_forensics.checks.rows import graded, one_line, seconds_since, worst_first
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.pending import IMAGE_REASONS, START_REASONS
from nl_forensics.facts.kubernetes.terminations import first_crash, kept, loops, with_last_end

PULL_FAILURES = {
    "this node has no such image, and its pull policy is Never": r"(?i)pull policy of never|ErrImageNeverPull",
    "that is no valid name of an image": r"(?i)invalid reference format|InvalidImageName|couldn't parse image",
    "the registry knows no such image or tag": r"(?i)not found|manifest unknown|does not exist",
    "the registry wants other credentials": r"(?i)unauthorized|authentication required|denied|forbidden|no basic auth",
    "the registry allows no more pulls for now": r"(?i)toomanyrequests|rate limit",
    "the registry could not be reached": r"(?i)connection refused|i/o timeout|no such host|no route|dial tcp|timeout",
}


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="crashes again and again (restarts: {restarts}), last at {ended_at:%H:%M:%S} UTC after it ran {ran_s:seconds}: "
    "{ended}; memory limit {memory_limit_bytes:bytes}, image {image}",
    at="first_crash_at",
    guide=("C003", "C078", "C080", "C083", "C084", "C091"),
)
def no_container_crash_loops(k8s_containers, *, min_restarts=3):
    """No container crashes again and again.

    It waits for its next start (CrashLoopBackOff), or it runs, was restarted 3 times or more and crashed within the last 10 minutes,
    after which the kubelet forgets. 3 restarts: a choice of ours. One that is killed for memory has a rule of its own.
    """
    rows = with_last_end(kept(k8s_containers))
    rows = rows[loops(rows, min_restarts) & (rows.end_reason != "OOMKilled")]
    return rows.assign(first_crash_at=first_crash(rows)).sort_values("restarts", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="killed for memory at {ended_at:%Y-%m-%d %H:%M:%S} UTC after it ran {ran_s:seconds}: {ended}; memory limit "
    "{memory_limit_bytes:bytes}, restarts: {restarts}, {now}",
    at="killed_at",
    until="over_at",
    guide=("C049", "C084", "C085", "C086"),
)
def no_container_runs_out_of_memory(k8s_containers, *, min_restarts=3):
    """No container was killed for using more memory than its limit.

    The kernel kills the process; Kubernetes tells it only as the reason of the container's last end, never as an event. One that
    has run since then is over. Without a limit of its own, a container is killed when its node runs out.
    """
    rows = with_last_end(kept(k8s_containers))
    rows = rows[rows.end_reason == "OOMKilled"]
    looping = loops(rows, min_restarts)
    rows["now"] = rows.state.where(rows.state_reason == "", rows.state + " (" + rows.state_reason + ")") + " now"
    rows["killed_at"] = first_crash(rows).where(looping, rows.ended_at)
    rows["over_at"] = rows.ended_at.mask(looping)
    return rows.sort_values(["ended_at"], ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="waits for its image {image} since {pod_created_at:%H:%M:%S} UTC ({state_reason}): {failure}; {said}",
    at="pod_created_at",
    guide=("C078", "C079", "C081"),
)
def every_image_can_be_pulled(k8s_containers):
    """Every container has got its image.

    A wrong tag, missing credentials or a registry that can't be reached: the new pod never starts, while older ones go on with the
    image that their nodes have.
    """
    rows = kept(k8s_containers)
    rows = rows[(rows.state == "waiting") & rows.state_reason.isin(IMAGE_REASONS)]
    failure = pd.Series("why, the runtime does not say", index=rows.index, dtype="str")
    told = rows.state_reason + " " + rows.state_message
    for words, pattern in reversed(PULL_FAILURES.items()):
        failure = failure.mask(told.str.contains(pattern, regex=True), words)
    return rows.assign(failure=failure, said=one_line(rows.state_message)).sort_values("pod_created_at")


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="can't be started since {pod_created_at:%H:%M:%S} UTC ({cause}, restarts: {restarts}): {said}",
    at="pod_created_at",
    guide=("C078", "C079", "C081"),
)
def every_container_can_be_started(k8s_containers):
    """Every container can be created and its command started.

    What is missing is a config map, a secret or a key in them, or the command or a folder inside the image. The message names it.
    """
    rows = kept(k8s_containers)
    waits = (rows.state == "waiting") & rows.state_reason.isin(START_REASONS)
    failed = (rows.state == "terminated") & rows.state_reason.isin(START_REASONS)
    failed_before = (rows.state == "waiting") & rows.last_reason.isin(START_REASONS)
    rows = rows[waits | failed | failed_before].copy()
    now = rows.state_reason.isin(START_REASONS)
    rows["cause"] = rows.state_reason.where(now, rows.last_reason)
    rows["said"] = one_line(rows.state_message.where(now, rows.last_message))
    return rows.sort_values("restarts", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="{restarts} restarts in {age_s:seconds}, {per_hour:.1f} an hour (limit {max_per_hour:.0f}), the last at {ended_at:%H:%M:%S} "
    "UTC after it ran {ran_s:seconds}: {ended}",
    at="ended_at",
    until="ended_at",
    guide=("C083", "C084"),
)
def containers_seldom_restart(k8s_containers, *, max_per_hour=3, min_age_s=3600, min_restarts=3):
    """No container restarts {max_per_hour:.0f} times an hour, over the life of its pod.

    A total says nothing of a pod that is months old, so it is divided by its age, of one hour at least. 3 an hour: the guide's review. One
    that crash loops now has a rule of its own.
    """
    rows = with_last_end(kept(k8s_containers))
    rows = rows[~loops(rows, min_restarts)]
    rows["age_s"] = seconds_since(rows.pod_created_at, rows)
    rows["per_hour"] = rows.restarts / rows.age_s.clip(lower=min_age_s) * 3600
    rows = rows[(rows.per_hour >= max_per_hour) & rows.ended_at.notna()]
    return rows.sort_values("per_hour", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="waits since {pod_created_at:%H:%M:%S} UTC ({waits_s:seconds}, limit {max_s:seconds}): {state_reason} {said}",
    at="pod_created_at",
    guide=("C003", "C079"),
)
def no_container_waits_long(k8s_containers, *, max_s=300, high_s=3600):
    """No container of a pod that has a node waits longer than {max_s:seconds} for its start.

    A young pod may: images are pulled, volumes attached, init containers run. 1 hour: kubernetes-mixin (KubeContainerWaiting); 5 minutes: a
    choice of ours. Crash loops, images and failing starts have rules of their own.
    """
    rows = kept(k8s_containers)
    elsewhere = rows.state_reason.isin((*IMAGE_REASONS, *START_REASONS, "CrashLoopBackOff"))
    rows = rows[(rows.state == "waiting") & (rows.node != "") & ~elsewhere]
    rows = rows.assign(waits_s=seconds_since(rows.pod_created_at, rows), said=one_line(rows.state_message))
    rows = graded(rows, high=rows.waits_s >= high_s, medium=rows.waits_s >= max_s)
    return worst_first(rows, "waits_s")


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{workload}/{container}",
    because="has no {missing}",
    guide=("C079",),
)
def every_container_says_what_it_needs(k8s_containers):
    """Every container of a lasting workload has a memory request and limit, a CPU request, and a readiness probe.

    Without requests the scheduler guesses; without a memory limit one leak takes the whole node; without a readiness probe
    requests are sent to a process that is not there yet. Popeye's rules 102 to 107.
    """
    rows = k8s_containers[k8s_containers.kind.isin(("container", "sidecar")) & (k8s_containers.workload_kind != "Job")]
    lacks = {
        "memory limit": rows.memory_limit_bytes.isna(),
        "memory request": rows.memory_request_bytes.isna(),
        "CPU request": rows.cpu_request_cores.isna(),
        "readiness probe": (rows.readiness == "") & (rows.kind == "container"),
    }
    named = pd.DataFrame({name: lacking.map({True: name, False: ""}) for name, lacking in lacks.items()}, dtype="str")
    rows = rows.assign(missing=[", no ".join(filter(None, names)) for names in named.itertuples(index=False)])
    rows = rows[rows.missing != ""]
    return rows.drop_duplicates(["instance", "namespace", "workload_kind", "workload", "container"]).sort_values(
        "namespace"
    )

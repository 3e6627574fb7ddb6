"""Rules about containers: they start, keep running, and stay within their resources."""

import pandas as pd

from nl_forensics.checks.rows import counted, one_line, seconds_since
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.pending import IMAGE_REASONS, START_REASONS
from nl_forensics.facts.kubernetes.terminations import first_crash, is_crash_looping, kept, with_last_end
from nl_forensics.units import in_bytes

PULL_FAILURES = {
    "the node has no such image and the pull policy is Never": r"(?i)pull policy of never|ErrImageNeverPull",
    "invalid image name": r"(?i)invalid reference format|InvalidImageName|couldn't parse image",
    "the registry has no such image or tag": r"(?i)not found|manifest unknown|does not exist",
    "the registry rejects the credentials": r"(?i)unauthorized|authentication required|denied|forbidden|no basic auth",
    "the rate limit of the registry is reached": r"(?i)toomanyrequests|rate limit",
    "the registry is unreachable": r"(?i)connection refused|i/o timeout|no such host|no route|dial tcp|timeout",
}


def _memory_limit(rows: pd.DataFrame) -> pd.Series:
    """`memory limit 1.5 GiB`."""
    words = [
        "no memory limit" if pd.isna(limit) else f"memory limit {in_bytes(limit)}" for limit in rows.memory_limit_bytes
    ]
    return pd.Series(words, rows.index, dtype="str")


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="crash loop: {total}, last crash at {ended_at:%H:%M:%S} UTC after {ran_s:seconds}; {ended}; {memory_limit}, image {image}",
    at="first_crash_at",
    guide=("C003", "C078", "C080", "C083", "C084", "C091"),
)
def no_container_crash_loops(k8s_containers, *, min_restarts=3):
    """No container is in a crash loop.

    It waits for its next start (CrashLoopBackOff), or it runs, was restarted 3 times or more and crashed within the last 10 minutes,
    after which the kubelet resets its back-off. 3 restarts: a choice of ours. OOM kills have a rule of their own.
    """
    rows = with_last_end(kept(k8s_containers))
    rows = rows[is_crash_looping(rows, min_restarts) & (rows.end_reason != "OOMKilled")]
    rows = rows.assign(first_crash_at=first_crash(rows), memory_limit=_memory_limit(rows))
    return rows.assign(total=counted(rows.restarts, "restart")).sort_values("restarts", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="OOM-killed at {ended_at:%Y-%m-%d %H:%M:%S} UTC after {ran_s:seconds} ({memory_limit}); {ended}; restarts: {restarts}, {now}",
    at="killed_at",
    until="over_at",
    guide=("C049", "C084", "C085", "C086"),
)
def no_container_runs_out_of_memory(k8s_containers, *, min_restarts=3):
    """No container was OOM-killed.

    The kernel kills the process; Kubernetes reports it only as the reason of the container's last termination, never as an event. It is
    over once the container runs again. A container without a limit is killed when its node runs out of memory.
    """
    rows = with_last_end(kept(k8s_containers))
    rows = rows[rows.end_reason == "OOMKilled"]
    looping = is_crash_looping(rows, min_restarts)
    rows["now"] = rows.state.where(rows.state_reason == "", rows.state + " (" + rows.state_reason + ")") + " now"
    rows["killed_at"] = first_crash(rows).where(looping, rows.ended_at)
    rows["over_at"] = rows.ended_at.mask(looping)
    rows["memory_limit"] = _memory_limit(rows)
    return rows.sort_values(["ended_at"], ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="image pull fails since {pod_created_at:%H:%M:%S} UTC: {failure}; image {image}, {state_reason}: {said}",
    at="pod_created_at",
    guide=("C078", "C079", "C081"),
)
def every_image_can_be_pulled(k8s_containers):
    """Every image can be pulled.

    A wrong tag, missing credentials or an unreachable registry: the new pod never starts, while older pods keep running with the image
    that their nodes have.
    """
    rows = kept(k8s_containers)
    rows = rows[(rows.state == "waiting") & rows.state_reason.isin(IMAGE_REASONS)]
    failure = pd.Series("the runtime gives no reason", index=rows.index, dtype="str")
    text = rows.state_reason + " " + rows.state_message
    for words, pattern in reversed(PULL_FAILURES.items()):
        failure = failure.mask(text.str.contains(pattern, regex=True), words)
    return rows.assign(failure=failure, said=one_line(rows.state_message)).sort_values("pod_created_at")


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="fails to start since {pod_created_at:%H:%M:%S} UTC ({cause}, restarts: {restarts}); {said}",
    at="pod_created_at",
    guide=("C078", "C079", "C081"),
)
def every_container_can_be_started(k8s_containers):
    """Every container can be created and its command started.

    A config map, a secret or one of their keys is missing, or the command or a folder inside the image. The message names it.
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
    because="{restarts} restarts in {age_s:seconds} ({per_hour:.1f}/h, limit {max_per_hour:.0f}/h); last at {ended_at:%H:%M:%S} UTC after "
    "{ran_s:seconds}: {ended}",
    at="ended_at",
    until="ended_at",
    guide=("C083", "C084"),
)
def containers_seldom_restart(k8s_containers, *, max_per_hour=3, min_age_s=3600, min_restarts=3):
    """No container restarts {max_per_hour:.0f} times an hour, over the life of its pod.

    A total means nothing for a pod that is months old, so it is divided by the pod's age (at least an hour). 3 per hour: the guide's
    review. A current crash loop has a rule of its own.
    """
    rows = with_last_end(kept(k8s_containers))
    rows = rows[~is_crash_looping(rows, min_restarts)]
    rows["age_s"] = seconds_since(rows.pod_created_at, rows)
    rows["per_hour"] = rows.restarts / rows.age_s.clip(lower=min_age_s) * 3600
    rows = rows[(rows.per_hour >= max_per_hour) & rows.ended_at.notna()]
    return rows.sort_values("per_hour", ascending=False)


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{pod}/{container}",
    high="waits_s >= high_s",
    because="not started since {pod_created_at:%H:%M:%S} UTC ({waits_s:seconds}, limit {max_s:seconds}); {state_reason}{said}",
    at="pod_created_at",
    guide=("C003", "C079"),
)
def no_container_waits_long(k8s_containers, *, max_s=300, high_s=3600):
    """No container of a scheduled pod waits longer than {max_s:seconds} for its start.

    A new pod pulls images, attaches volumes and runs init containers. High from 1 hour: kubernetes-mixin (KubeContainerWaiting); 5
    minutes: a choice of ours. Crash loops, image pulls and failing starts have rules of their own.
    """
    rows = kept(k8s_containers)
    elsewhere = rows.state_reason.isin((*IMAGE_REASONS, *START_REASONS, "CrashLoopBackOff"))
    rows = rows[(rows.state == "waiting") & (rows.node != "") & ~elsewhere]
    said = (": " + one_line(rows.state_message)).where(rows.state_message != "", "")
    rows = rows.assign(waits_s=seconds_since(rows.pod_created_at, rows), said=said)
    return rows[rows.waits_s >= max_s].sort_values("waits_s", ascending=False)


@check(
    section="06",
    severity="note",
    subject="{instance}: {namespace}/{workload}/{container}",
    because="has no {missing}",
    guide=("C079",),
)
def every_container_says_what_it_needs(k8s_containers):
    """Every container of a long-running workload has a memory request and limit, a CPU request, and a readiness probe.

    Without requests the scheduler guesses; without a memory limit one leak exhausts the whole node; without a readiness probe requests
    go to a process that has not started. Popeye's rules 102 to 107.
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

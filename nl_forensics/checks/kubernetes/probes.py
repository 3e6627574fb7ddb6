"""Rules about probes: they succeed, and leave a container enough time to start."""

import pandas as pd

from nl_forensics.checks.rows import one_line
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.terminations import kept, with_last_end

PROBE = ["instance", "uid", "container", "probe"]
SIGNALLED = (137, 143)  # exit codes of a container that the kubelet terminates or kills


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}/{container}",
    high="is_liveness",
    because="{probe} probe failed {repeats} times from {first_at:%H:%M:%S} to {at:%H:%M:%S} UTC (limit {min_failures:number}); {said}",
    at="first_at",
    guide=("C025", "C079", "C081", "C129"),
)
def probes_succeed(k8s_events, k8s_pods, *, min_failures=5, start_s=60):
    """No probe of a pod failed {min_failures:number} times.

    A failing readiness probe removes the pod from its services. A failing liveness probe (high) leads to a restart, which has a rule of its
    own. Left out, as they are normal: startup probes, pods that are being deleted, and the first {start_s:seconds} of a pod that is ready
    now. 5 times: the guide's review; 60 s: a choice of ours. Events are kept for an hour.
    """
    leaving = k8s_pods[k8s_pods.deletion_requested_at.notna()].uid
    rows = _failures(k8s_events)
    killed = pd.MultiIndex.from_frame(rows[PROBE]).isin(_kills(k8s_events).set_index(PROBE).index)
    made = k8s_pods[k8s_pods.ready].set_index(["instance", "uid"]).created_at.rename("made_at")
    rows = rows.join(made, on=["instance", "uid"])
    starting = ((rows["at"] - rows.made_at).dt.total_seconds() <= start_s) | (rows.probe == "Startup")
    rows = rows[~rows.uid.isin(leaving) & ~killed & ~starting]
    rows = rows[rows.repeats >= min_failures].sort_values("repeats", ascending=False)
    return rows.assign(is_liveness=rows.probe == "Liveness")


def _failures(k8s_events: pd.DataFrame) -> pd.DataFrame:
    """The failed probes with their message."""
    rows = k8s_events[k8s_events.reason == "Unhealthy"]
    words = rows.message.str.extract(r"^(?P<probe>Readiness|Liveness|Startup) probe \w+: ?(?P<said>(?s:.*))$")
    said = one_line(words.said.fillna(rows.message)).replace("", "no reason given")
    return rows.assign(probe=words.probe.fillna("A"), said=said)


def _kills(k8s_events: pd.DataFrame) -> pd.DataFrame:
    """The containers that were killed because of a probe."""
    rows = k8s_events[k8s_events.reason == "Killing"]
    probe = rows.message.str.extract(r"failed (liveness|startup) probe", expand=False).str.capitalize()
    return rows.assign(probe=probe)[probe.notna()]


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}/{container}",
    because="killed by its {probe} probe, last at {at:%Y-%m-%d %H:%M:%S} UTC (times: {repeats}); {said}",
    at="first_at",
    guide=("C079", "C081", "C084"),
)
def no_container_is_killed_by_its_probe(k8s_events):
    """No container was killed because its liveness or startup probe failed.

    The container hangs, or the timeout of the probe is too short; a probe that calls a dependency turns an outage of that dependency into
    restarts of all its clients. Events are kept for an hour.
    """
    said = _failures(k8s_events).groupby(PROBE).said.first()
    rows = _kills(k8s_events).join(said, on=PROBE)
    rows = rows.assign(said=rows.said.fillna("the message of the probe is not recorded"), probe=rows.probe.str.lower())
    return rows.sort_values("repeats", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="killed by its liveness probe after {ran_s:seconds}, before it was ready (restarts: {restarts}); liveness probe {liveness}: "
    "initial delay {liveness_initial_delay_s} s, period {liveness_period_s} s, {liveness_failures_allowed} failures allowed, no startup "
    "probe",
    at="pod_created_at",
    guide=("C079",),
)
def liveness_probes_leave_time_to_start(k8s_containers, *, min_restarts=1):
    """No liveness probe kills a container before it has started.

    Such a container is not ready, was ended by a signal, and ran just as long as a probe that fails from the start allows. It needs a
    startup probe, or a longer initial delay.
    """
    rows = with_last_end(kept(k8s_containers))
    rows = rows[(rows.liveness != "") & (rows.startup == "") & ~rows.ready & (rows.restarts >= min_restarts)]
    allowed_s = rows.liveness_initial_delay_s + rows.liveness_period_s * rows.liveness_failures_allowed
    longest_s = allowed_s + rows.liveness_timeout_s + rows.termination_grace_s.fillna(30)
    shortest_s = allowed_s - 2 * rows.liveness_period_s
    as_long = (rows.ran_s <= longest_s.astype("float64")) & (rows.ran_s >= shortest_s.astype("float64"))
    rows = rows[as_long & rows.end_code.isin(SIGNALLED) & (rows.end_reason != "OOMKilled")]
    return rows.sort_values("restarts", ascending=False)

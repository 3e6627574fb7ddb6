"""Rules about probes: they succeed, and leave a container the time that it needs."""

import pandas as pd

from nl_forensics.checks.rows import graded, one_line, worst_first
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.terminations import kept, with_last_end

PROBE = ["instance", "uid", "container", "probe"]
SIGNALLED = (137, 143)  # what a liveness probe ends a container with, if it does not end by itself


@check(
    section="06",
    severity="medium",
    subject="{instance}: {namespace}/{name}/{container}",
    because="{probe} probe failed {repeats} times from {first_at:%H:%M:%S} to {at:%H:%M:%S} UTC (limit {min_failures:number}): {said}",
    at="first_at",
    guide=("C025", "C079", "C081", "C129"),
)
def probes_succeed(k8s_events, k8s_pods, *, min_failures=5, start_s=60):
    """No probe of a pod failed {min_failures:number} times.

    A readiness probe takes the pod out of its services, a liveness probe kills the container, which is high; where it did, that has a
    rule of its own. A startup probe is there to fail until the container has come up. Those of a pod that is deleted are meant, and
    those within the first {start_s:seconds} of one that is ready now are usual. 5 times: the guide's review; 60 s: a choice of ours.
    Events are kept for an hour.
    """
    leaving = k8s_pods[k8s_pods.deletion_requested_at.notna()].uid
    rows = _failures(k8s_events)
    killed = pd.MultiIndex.from_frame(rows[PROBE]).isin(_kills(k8s_events).set_index(PROBE).index)
    made = k8s_pods[k8s_pods.ready.fillna(False)].set_index(["instance", "uid"]).created_at.rename("made_at")
    rows = rows.join(made, on=["instance", "uid"])
    starting = ((rows["at"] - rows.made_at).dt.total_seconds() <= start_s) | (rows.probe == "Startup")
    rows = rows[~rows.uid.isin(leaving) & ~killed & ~starting]
    often = rows.repeats >= min_failures
    rows = graded(rows, high=often & (rows.probe == "Liveness"), medium=often)
    return worst_first(rows, "repeats")


def _failures(k8s_events: pd.DataFrame) -> pd.DataFrame:
    """The probes that failed, and what they said."""
    rows = k8s_events[k8s_events.reason == "Unhealthy"]
    words = rows.message.str.extract(r"^(?P<probe>Readiness|Liveness|Startup) probe \w+: ?(?P<said>(?s:.*))$")
    said = one_line(words.said.fillna(rows.message)).replace("", "it gave no reason")
    return rows.assign(probe=words.probe.fillna("A"), said=said)


def _kills(k8s_events: pd.DataFrame) -> pd.DataFrame:
    """The containers that were killed for a probe."""
    rows = k8s_events[k8s_events.reason == "Killing"]
    probe = rows.message.str.extract(r"failed (liveness|startup) probe", expand=False).str.capitalize()
    return rows.assign(probe=probe)[probe.notna()]


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{name}/{container}",
    because="killed by its {probe} probe, last at {at:%Y-%m-%d %H:%M:%S} UTC (times: {repeats}): {said}",
    at="first_at",
    guide=("C079", "C081", "C084"),
)
def no_container_is_killed_by_its_probe(k8s_events):
    """No container was killed because its liveness or startup probe failed.

    It hangs, or the probe is more eager than the container is fast; one that asks a dependency turns an outage of that into a restart of
    everything. Events are kept for an hour.
    """
    said = _failures(k8s_events).groupby(PROBE).said.first()
    rows = _kills(k8s_events).join(said, on=PROBE)
    rows = rows.assign(said=rows.said.fillna("what the probe said, is not kept"), probe=rows.probe.str.lower())
    return rows.sort_values("repeats", ascending=False)


@check(
    section="06",
    severity="high",
    subject="{instance}: {namespace}/{pod}/{container}",
    because="ended by signal after {ran_s:seconds}, and is not ready; its liveness probe ({liveness}) begins after "
    "{liveness_initial_delay_s} s, asks every {liveness_period_s} s, and may fail {liveness_failures_allowed} times; no startup probe, "
    "restarts: {restarts}",
    at="pod_created_at",
    guide=("C079",),
)
def liveness_probes_leave_time_to_start(k8s_containers, *, min_restarts=1):
    """No container is killed by its liveness probe each time before it has come up.

    It was never ready, was ended by a signal, and lived for as long as the probe may fail from the start. It needs a startup probe, or
    a longer initial delay.
    """
    rows = with_last_end(kept(k8s_containers))
    rows = rows[(rows.liveness != "") & (rows.startup == "") & ~rows.ready & (rows.restarts >= min_restarts)]
    allowed_s = rows.liveness_initial_delay_s + rows.liveness_period_s * rows.liveness_failures_allowed
    longest_s = allowed_s + rows.liveness_timeout_s + rows.termination_grace_s.fillna(30)
    shortest_s = allowed_s - 2 * rows.liveness_period_s
    as_long = (rows.ran_s <= longest_s.astype("float64")) & (rows.ran_s >= shortest_s.astype("float64"))
    rows = rows[as_long & rows.end_code.isin(SIGNALLED) & (rows.end_reason != "OOMKilled")]
    return rows.sort_values("restarts", ascending=False)

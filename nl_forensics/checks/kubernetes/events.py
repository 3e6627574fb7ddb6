"""Rules about the warning events of Kubernetes."""

from nl_forensics.checks.rows import one_line
from nl_forensics.checks.rule import check

# Judged by rules of their own, with details that the events lack.
ELSEWHERE = (
    "BackOff",
    "Failed",
    "FailedAttachVolume",
    "FailedBinding",
    "FailedCreate",
    "FailedMapVolume",
    "FailedMount",
    "FailedScheduling",
    "ProvisioningFailed",
    "Unhealthy",
)


@check(
    section="02",
    severity="medium",
    subject="{instance}: {kind} {namespace}/{name}: {reason}",
    because="{repeats} times from {first_at:%H:%M:%S} to {at:%H:%M:%S} UTC (limit {min_repeats:number}); {component}: {said}",
    at="first_at",
    guide=("C025", "C081", "C129"),
)
def no_warning_is_repeated(k8s_events, *, min_repeats=5):
    """No warning event of Kubernetes was repeated {min_repeats:number} times.

    Reasons with rules of their own (scheduling, images, probes, volumes, rejected pods) are left out. 5 times: the guide's review. Events
    are kept for an hour: their absence proves nothing about earlier times.
    """
    rows = k8s_events[(k8s_events.type == "Warning") & ~k8s_events.reason.isin(ELSEWHERE)]
    rows = rows[rows.repeats >= min_repeats]
    return rows.assign(said=one_line(rows.message)).sort_values("repeats", ascending=False)

"""Every rule about Kubernetes and its workloads. One module per subject."""

from nl_forensics.checks.kubernetes import (  # noqa: F401
    access,
    api,
    containers,
    custom,
    events,
    jobs,
    logs,
    memory,
    nodes,
    pod_security,
    pods,
    probes,
    quotas,
    rollouts,
    services,
    storage,
    usage,
    workloads,
)

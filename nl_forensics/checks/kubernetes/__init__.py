"""Every rule about Kubernetes and its workloads. One module per subject."""

from nl_forensics.checks.kubernetes import (  # noqa: F401
    api,
    containers,
    custom,
    events,
    jobs,
    logs,
    memory,
    nodes,
    pods,
    probes,
    quotas,
    rollouts,
    services,
    storage,
    usage,
    workloads,
)

"""Who writes into Kubernetes, by the names under which the API server knows them (`manager`)."""

CONTROLLERS = (
    r"^(kube-|kubelet|kwok|k3s|rke2|metrics-server|cluster-autoscaler|cloud-controller|Go-http-client|operator$)"
)
"""Its own parts and those of its distributions, which write all the time."""

"""Who writes into Kubernetes, by the names under which the API server knows them (`manager`)."""

CONTROLLERS = (
    r"^(kube-|kubelet|kwok|k3s|rke2|metrics-server|cluster-autoscaler|cloud-controller|Go-http-client|operator$)"
)
"""Its own parts and those of its distributions, which write all the time."""

BY_HAND = r"^(kubectl-(edit|patch|scale|set|rollout|label|annotate|replace|cordon)|Mozilla|node-fetch|k9s|Lens)"
"""Programs that a person sits before. `kubectl apply` is what pipelines use, too, and left out."""

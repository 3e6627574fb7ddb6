"""Programs that write objects, by the name that the API server records (`manager`)."""

CONTROLLERS = (
    r"^(kube-|kubelet|kwok|k3s|rke2|metrics-server|cluster-autoscaler|cloud-controller|Go-http-client|operator$)"
)
"""Controllers of Kubernetes and its distributions, which write continuously."""

INTERACTIVE = r"^(kubectl-(edit|patch|scale|set|rollout|label|annotate|replace|cordon)|Mozilla|node-fetch|k9s|Lens)"
"""Interactive programs. `kubectl apply` is left out, as pipelines use it as well."""

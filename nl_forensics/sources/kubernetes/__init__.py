"""What Kubernetes says. One module per subject, in the order of asking: first what is lost soonest."""

# isort: off
from nl_forensics.sources.kubernetes import events, pods, logs, workloads, batch, nodes, network, flows, storage  # noqa: F401
from nl_forensics.sources.kubernetes import quotas, config, identity, custom, certificates, api, changes, scraping  # noqa: F401
from nl_forensics.sources.kubernetes import access, healthy_logs  # noqa: F401

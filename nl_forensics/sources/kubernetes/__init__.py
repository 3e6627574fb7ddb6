"""What Kubernetes answers. One module per subject."""

from importlib import import_module

# The order of asking: first what is lost soonest.
MODULES = (
    "events",
    "pods",
    "logs",
    "workloads",
    "batch",
    "nodes",
    "network",
    "flows",
    "storage",
    "quotas",
    "config",
    "identity",
    "pod_security",
    "custom",
    "tenants",
    "certificates",
    "api",
    "changes",
    "scraping",
    "access",
    "healthy_logs",
)

for module in MODULES:
    import_module(f"{__name__}.{module}")

"""What Redis or Valkey answers about itself. One module per subject."""

from importlib import import_module

# The order of asking: first what is lost soonest.
MODULES = (
    "slow",
    "clients",
    "queues",
    "counters",
    "server",
    "settings",
    "keys",
    "tenants",
)

for module in MODULES:
    import_module(f"{__name__}.{module}")

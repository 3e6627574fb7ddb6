"""What PostgreSQL answers about itself. One module per subject."""

from importlib import import_module

# The order of asking: first what is lost soonest.
MODULES = (
    "activity",
    "locks",
    "statements",
    "databases",
    "settings",
    "replication",
    "wal",
    "vacuum",
    "tables",
    "indexes",
    "bloat",
    "sequences",
    "tenants",
)

for module in MODULES:
    import_module(f"{__name__}.{module}")

"""What the platform's own tables and keys say of usage, invoices, payments and webhook events: aggregates, never the rows of a customer."""

from importlib import import_module

# The order of asking: first what is lost soonest.
MODULES = ("counters", "usage", "webhooks", "payments", "invoices")

for module in MODULES:
    import_module(f"{__name__}.{module}")

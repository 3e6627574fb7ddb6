"""What Stripe says: payments, invoices, events and the endpoints that they are sent to. Never a card, a name, an address or an e-mail."""

from importlib import import_module

# The order of asking: first what is lost soonest.
MODULES = ("events", "payments", "endpoints")

for module in MODULES:
    import_module(f"{__name__}.{module}")

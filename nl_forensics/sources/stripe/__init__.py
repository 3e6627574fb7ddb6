"""What Stripe says: payments, invoices, events and the endpoints that they are sent to. Never a card, a name, an address or an e-mail."""

# isort: off (the order in which they are asked: first what is lost soonest)
from nl_forensics.sources.stripe import events, payments, endpoints  # noqa: F401

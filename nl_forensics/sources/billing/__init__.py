"""What the platform's own tables and keys say of usage, invoices, payments and webhook events: aggregates, never the rows of a customer."""

# isort: off (the order in which they are asked: first what is lost soonest)
from nl_forensics.sources.billing import counters, usage, webhooks, payments, invoices  # noqa: F401

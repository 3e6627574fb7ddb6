"""Rules about billing: what was used is recorded once, invoiced in full, paid, and known to both sides."""

from nl_forensics.checks.billing import events, invoices, payments, stripe, usage  # noqa: F401

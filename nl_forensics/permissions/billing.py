"""The grants on the tables that the platform file names: of the columns that are read, and of no others."""

from nl_forensics.inputs.billing import BillingTable
from nl_forensics.inputs.platform import Platform


def selects(platform: Platform) -> list[str]:
    """`SELECT (columns) ON table`, of every table of billing."""
    billing = platform.billing
    if not billing or not platform.tenants or not (tenants := platform.tenants.table):
        return []
    own = [tenants.id, tenants.tenant, tenants.plan, billing.tenants.currency, billing.tenants.customer]
    read = {BillingTable(table=tenants.name).place: dict.fromkeys(filter(None, own))}
    for part in (billing.usage, billing.invoices, billing.lines, billing.payments, billing.webhooks):
        if part:
            read.setdefault(part.place, {}).update(dict.fromkeys(part.columns.values()))
    return [f"SELECT ({_quoted(columns, ', ')}) ON {_quoted(place, '.')}" for place, columns in read.items()]


def _quoted(names, separator: str) -> str:
    return separator.join(f'"{name}"' for name in names)

"""How the platform bills: its tables of usage, invoices, payments and webhook events, its keys in Redis, and its prices."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from nl_forensics.inputs.tenants import Name, Table

PLACE = "{tenant_id}"
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
KeyPattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_:./|*{}-]*$")]
SCHEMA = "public"  # of a table without one


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BillingTable(_Model):
    """A table of a database: every other field that holds a name is one of its columns."""

    table: Table

    @property
    def place(self) -> tuple[str, str]:
        """(schema, table)."""
        schema, _, name = self.table.rpartition(".")
        return schema or SCHEMA, name

    @property
    def columns(self) -> dict[str, str]:
        """The columns that are read, by field."""
        fields = self.model_dump()
        return {field: name for field, name in fields.items() if field in self.named() and name}

    @classmethod
    def named(cls) -> frozenset[str]:
        """The fields that name columns."""
        return frozenset(cls.model_fields) - {"table"}


class Price(_Model):
    """`amount` in the minor unit of the currency (cents; whole yen) for each `per` units of a metric."""

    amount: int = Field(ge=0)
    per: int = Field(default=1, ge=1)


class TenantColumns(_Model):
    """Columns of the table in `tenants.table`. `currency`: of the tenant's invoices; `customer`: its customer id at Stripe."""

    currency: Name
    customer: Name | None = None


class Usage(BillingTable):
    """The table with one row for each tenant, metric and flush.

    at           when the row was written; with an index
    key          idempotency key, which no two rows share; none: there is none
    bucket_s     at most this long between two rows of a tenant and metric that are in use
    redis_key    keys of counters not yet written, hashes of metric and value; {tenant_id} once, `*` for any characters
    """

    tenant: Name
    metric: Name
    value: Name
    at: Name
    key: Name | None = None
    bucket_s: int = Field(default=300, ge=1)
    redis_key: KeyPattern = ""

    @classmethod
    def named(cls) -> frozenset[str]:
        return frozenset({"tenant", "metric", "value", "at", "key"})

    @field_validator("redis_key")
    @classmethod
    def _has_one_place(cls, pattern: str) -> str:
        if pattern and pattern.count(PLACE) != 1:
            raise ValueError(f"write {PLACE} once: usage:{PLACE}:*")
        return pattern

    @property
    def keys(self) -> str:
        """The pattern as Redis has it: `usage:*:*`."""
        return self.redis_key.replace(PLACE, "*")

    def tenant_of(self, key: str) -> str:
        """The tenant that a key belongs to; empty if it is none of these keys."""
        before, after = (re.escape(part).replace(r"\*", ".*") for part in self.redis_key.split(PLACE))
        found = re.fullmatch(f"{before}([^:/|]+?){after}", key, re.DOTALL)
        return found[1] if found else ""


class Invoices(BillingTable):
    """The table of invoices. `start`, `end`: the billing period; `stripe_id`: the invoice at Stripe."""

    id: Name = "id"
    tenant: Name
    start: Name
    end: Name
    amount: Name
    currency: Name
    status: Name
    stripe_id: Name | None = None


class Lines(BillingTable):
    """The table of the lines of invoices: the quantity of a metric, and its amount in minor units."""

    invoice: Name
    metric: Name
    quantity: Name
    amount: Name


class Payments(BillingTable):
    """The table of payments. `failed`, `succeeded`: values of the status."""

    tenant: Name
    amount: Name
    currency: Name
    status: Name
    reason: Name
    at: Name
    failed: tuple[str, ...] = ("failed",)
    succeeded: tuple[str, ...] = ("succeeded",)

    @classmethod
    def named(cls) -> frozenset[str]:
        return frozenset({"tenant", "amount", "currency", "status", "reason", "at"})


class Webhooks(BillingTable):
    """The table of events that were received from Stripe, one row for each time that one was received.

    event      id of the event; type; object: id of what it is about
    created    when Stripe created it; received; processed: null until then
    verified   whether its signature was verified
    """

    event: Name
    type: Name
    object: Name
    created: Name
    received: Name
    processed: Name
    verified: Name


class Billing(_Model):
    """What is needed to compare counted, recorded and invoiced usage with each other and with Stripe.

    tenants      columns of the table that lists the tenants
    prices       {metric: {currency: price}}: a tenant pays in its own currency
    free_plans   plans without invoices
    period_days  invoices of periods that ended within so many days before the end of the incident are recomputed
    metadata     key in the metadata of Stripe's objects that holds the name of the tenant
    api_version  version of Stripe's API that the billing service is written for; empty: unknown
    """

    tenants: TenantColumns
    usage: Usage | None = None
    invoices: Invoices | None = None
    lines: Lines | None = None
    payments: Payments | None = None
    webhooks: Webhooks | None = None
    prices: dict[str, dict[Currency, Price]] = {}
    free_plans: tuple[str, ...] = ()
    period_days: int = Field(default=40, ge=1, le=400)
    metadata: str = "tenant"
    api_version: str = ""

"""Objects of Stripe within a time, as far as the budget goes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from nl_forensics.inputs.billing import Billing
from nl_forensics.sources import Partial


def created(start: datetime, end: datetime) -> dict[str, int]:
    """The filter of a list: created from `start` (included) to `end` (excluded)."""
    return {"gte": int(start.timestamp()), "lt": int(end.timestamp())}


def at(seconds: int) -> str:
    """A time of Stripe as ISO text."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def listed(stripe, budget, resource: str, what: str, window: str = "incident", **filters: Any) -> Iterator:
    """The objects, newest first; a gap where there are more than the budget allows."""
    for number, one in enumerate(stripe.objects(resource, **filters)):
        if number == budget.stripe_objects:
            yield Partial(f"{what} before the newest {number:,}", "raise budget.stripe_objects", window)
            return
        yield one


def windows(incident) -> dict[str, Any]:
    """{`incident`: window, `baseline`: window}; without a baseline, the incident alone."""
    return {"incident": incident} | ({"baseline": incident.baseline} if incident.baseline else {})


def tenant_of(one: dict, platform) -> str:
    """The name of the tenant in the metadata; empty if it is not there."""
    key = platform.billing.metadata if platform.billing else Billing.model_fields["metadata"].default
    return str((one.get("metadata") or {}).get(key) or "")


def customer_of(one: dict) -> str | None:
    """The id of the customer, also where the object was expanded."""
    found = one.get("customer")
    return found.get("id") if isinstance(found, dict) else found

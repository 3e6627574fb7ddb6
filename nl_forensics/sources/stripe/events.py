"""Events of the account, and whether its endpoints confirmed them."""

from datetime import timedelta

from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.stripe.objects import at, created, customer_of, listed, tenant_of

KEPT = timedelta(days=30)  # Stripe lists events of the last 30 days
EVENT = {
    "event": Column("str", "id of the event"),
    "type": Column("str", "type of the event: `invoice.paid`, …"),
    "at": Column(UTC, "Stripe created the event"),
    "object": Column("str", "id of the object that the event is about; empty if it has none"),
    "pending_webhooks": Column("Int64", "endpoints that have not confirmed the event yet"),
    "api_version": Column("str", "version of the API in which the event is written", absent="not stated"),
    "tenant": Column("str", "tenant in the metadata of the object; empty if it is not there"),
    "customer": Column("str", "pseudonym of the customer", absent="the object has no customer"),
}


@source(
    columns={
        "request": Column("Int64", "number of the request, from 0"),
        "took_ms": Column("float64", "time until Stripe answered, with the network"),
    },
    covers="now",
    needs=Permission(stripe="Events: read"),
    guide=("C027", "C104"),
)
def stripe_requests(stripe):
    """Latency of Stripe's API from this machine: the newest event, five times; one row per request."""
    for number in range(5):
        yield {"request": number, "took_ms": round(stripe.took_ms(), 1)}


@source(columns=EVENT, covers="window", needs=Permission(stripe="Events: read"), guide=("C104", "C105", "C106"))
def stripe_events(stripe, incident, platform):
    """Events of the incident window; one row per event, newest first.

    Of the object, only its id, its customer (as a pseudonym) and the tenant in its metadata are recorded.
    """
    found = listed(stripe, platform.budget, "events", "events", created=created(incident.start, incident.end))
    yield Proof("Stripe listed the events of the window")
    yield from (_row(one, platform) for one in found)


@source(columns=EVENT, covers="now", needs=Permission(stripe="Events: read"), guide=("C105",))
def stripe_undelivered(stripe, incident, platform):
    """Events that an endpoint has not confirmed: still pending, or every attempt failed; one row per event, newest first.

    Of the last 30 days, which is how long Stripe lists events. It repeats the delivery for up to 3 days.
    """
    since = created(incident.end - KEPT, incident.end)
    found = listed(stripe, platform.budget, "events", "undelivered events", delivery_success=False, created=since)
    yield Proof("Stripe listed the undelivered events of 30 days")
    yield from (_row(one, platform) for one in found)


def _row(one, platform):
    if isinstance(one, Partial):
        return one
    about = (one.get("data") or {}).get("object") or {}
    return {
        "event": one["id"],
        "type": one["type"],
        "at": at(one["created"]),
        "object": about.get("id") or "",
        "pending_webhooks": one["pending_webhooks"],
        "api_version": one.get("api_version"),
        "tenant": tenant_of(about, platform),
        "customer": customer_of(about),
    }

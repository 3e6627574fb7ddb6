"""Events of Stripe as the billing service received and processed them."""

from datetime import timedelta

from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.billing.tables import asked, is_here, names, not_cheap
from nl_forensics.sources.billing.usage import times
from nl_forensics.sources.column import Column

MAX_EVENTS = 5_000
LATE = timedelta(hours=1)  # an event of the window can arrive after it

EVENTS = """
SELECT w.{webhooks_event}::text AS event, max(w.{webhooks_type}::text) AS type, max(w.{webhooks_object}::text) AS object,
       min(w.{webhooks_created}) AS at, min(w.{webhooks_received}) AS received_at, count(*) AS receipts,
       min(w.{webhooks_processed}) AS processed_at, max(w.{webhooks_processed}) AS last_processed_at,
       count(w.{webhooks_processed}) AS processings, bool_and(w.{webhooks_verified}) AS verified
  FROM {webhooks} w
 WHERE w.{webhooks_received} >= %(start)s AND w.{webhooks_received} < %(late)s
       OR w.{webhooks_received} >= %(before)s AND w.{webhooks_received} < %(until)s
 GROUP BY 1
 ORDER BY min(w.{webhooks_received}) DESC
 LIMIT %(most)s
"""


@source(
    columns={
        "event": Column("str", "id of the event"),
        "type": Column("str", "type of the event: `invoice.paid`, …"),
        "object": Column("str", "id of the object that the event is about", absent="not stored"),
        "at": Column(UTC, "Stripe created the event", unknown="not stored"),
        "received_at": Column(UTC, "the event was received for the first time"),
        "receipts": Column("Int64", "times that it was received"),
        "processed_at": Column(UTC, "it was processed for the first time", absent="it was not processed"),
        "last_processed_at": Column(UTC, "it was processed for the last time", absent="it was not processed"),
        "processings": Column("Int64", "times that it was processed"),
        "verified": Column("boolean", "its signature was verified each time", unknown="not stored"),
    },
    covers="window",
    needs=Permission(tables="billing"),
    guide=("C105", "C106"),
    about="billing.webhooks",
)
def billing_events(database, incident, platform):
    """Events of Stripe; one row per event, newest first, 5,000 at most.

    Received during the baseline, during the incident, or within an hour after it.
    """
    webhooks = platform.billing.webhooks
    if not is_here(database, webhooks):
        return
    if gap := next(not_cheap(database, webhooks, webhooks.received), None):
        yield gap
        return
    asked_for = times(incident, 1) | {"late": incident.end + LATE, "most": MAX_EVENTS}
    rows = list(asked(database, EVENTS, asked_for, names(webhooks=webhooks)))
    yield from rows
    if len(rows) == MAX_EVENTS:
        yield Partial(f"events before the newest {MAX_EVENTS:,}")
    yield Proof("the received events of the window were read")

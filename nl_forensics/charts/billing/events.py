"""Webhook events: delivered by Stripe, processed by the billing service."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed
from nl_forensics.charts.table import table
from nl_forensics.charts.units import SECONDS

ONCE, TWICE, NEVER = "processed once", "processed more than once", "not processed"


@chart("Delay of webhook events")
def event_delay(canvas: Canvas, billing_events):
    """Seconds from the creation of each event at Stripe until it was processed; until the moment of asking, if it was not."""
    rows = billing_events[billing_events["at"].notna()]
    if rows.empty:
        return canvas.say("No event was received.")
    state = rows.processings.map(lambda number: NEVER if number == 0 else ONCE if number == 1 else TWICE)
    ended = rows.processed_at.fillna(rows.asked_at)
    rows = rows.assign(state=state, delay_s=(ended - rows["at"]).dt.total_seconds().clip(lower=0))
    groups = {name: part for name in (ONCE, TWICE, NEVER) if len(part := rows[rows.state == name])}
    canvas.dots(groups, "delay_s", SECONDS, "from creation to processing")
    words = listed(f"{len(part)} {name}, longest {SECONDS.words(part.delay_s.max())}" for name, part in groups.items())
    return f"{len(rows)} events: {words}."


@table("Events that were not delivered", "No event is undelivered.")
def undelivered_events(stripe_undelivered) -> pd.DataFrame:
    """By type: how many, since when, of which tenants. Stripe repeats a delivery for up to 3 days."""
    found = []
    for type_, part in stripe_undelivered.groupby("type"):
        tenants = sorted({*part.tenant} - {""})
        oldest = part.sort_values("at").iloc[0]
        found.append([type_, len(part), oldest["at"], part["at"].max(), oldest.event, listed(tenants, 5) or "unknown"])
    columns = ["type", "events", "oldest at", "newest at", "oldest event", "tenants"]
    return pd.DataFrame(found, columns=columns).sort_values(["events", "type"], ascending=[False, True])


@table("Webhook endpoints", "No webhook endpoint is set up.")
def webhook_endpoints(stripe_endpoints) -> pd.DataFrame:
    """Where Stripe sends its events, and in which version of the API."""
    rows = stripe_endpoints.assign(version=stripe_endpoints.api_version.fillna("that of the account"))
    return rows[["endpoint", "status", "address", "version", "types", "created_at"]]

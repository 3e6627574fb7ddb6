"""Rules about webhook events in the billing service: each arrives, is genuine, and is processed once and in order."""

from nl_forensics.checks.rows import counted, one_line, seconds_since
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.lines import dated_lines

# What the libraries of Stripe say where a signature does not hold.
NOT_GENUINE = (
    "(?i)no signatures? found (?:matching the expected signature|with expected scheme)|unable to extract timestamp and signatures"
    "|timestamp (?:outside the tolerance zone|wasn't within tolerance)|webhook had no valid signature|invalid stripe-signature header"
    "|signatureverification(?:error|exception)"
)


@check(
    section="08",
    severity="high",
    subject="postgres/{instance}, {type}",
    because="received at {received_at:%Y-%m-%d %H:%M:%S} UTC and not processed: event {event}",
    at="received_at",
    guide=("C105",),
)
def every_event_is_processed(billing_events, *, min_age_s=300):
    """Every event that was received is processed within {min_age_s:seconds}.

    The endpoint has confirmed it, so Stripe does not send it again. What it would have changed is not changed.
    """
    rows = billing_events[billing_events.processings == 0]
    return rows[seconds_since(rows.received_at, rows) >= min_age_s].sort_values("received_at")


@check(
    section="08",
    severity="high",
    subject="postgres/{instance}, {type}",
    because="processed {processings} times, {processed_at:%H:%M:%S} to {last_processed_at:%H:%M:%S} UTC: event {event}",
    at="processed_at",
    guide=("C105",),
)
def no_event_is_processed_twice(billing_events):
    """No event was processed more than once.

    Stripe may deliver an event several times; its id says that it is the same. Processed twice, it credits or charges twice.
    """
    return billing_events[billing_events.processings > 1].sort_values(["processings", "event"], ascending=[False, True])


@check(
    section="08",
    severity="medium",
    subject="postgres/{instance}, {type}",
    because="processed at {processed_at:%H:%M:%S} UTC, after a later event on {object}: event {event}",
    at="processed_at",
    guide=("C105",),
)
def events_are_processed_in_order(billing_events):
    """Events on the same object were processed in the order in which Stripe created them.

    Stripe does not guarantee the order of delivery. An older state that is written last replaces a newer one.
    """
    rows = billing_events[billing_events.object.notna() & billing_events.processed_at.notna()]
    rows = rows.sort_values(["instance", "object", "at"], ascending=[True, True, False])
    moments = rows.groupby(["instance", "object", "at"], sort=False).processed_at.min().rename("first_at").reset_index()
    moments["earliest_at"] = moments.groupby(["instance", "object"]).first_at.cummin()
    moments["later_at"] = moments.groupby(["instance", "object"]).earliest_at.shift()
    rows = rows.merge(moments.drop(columns=["first_at", "earliest_at"]), on=["instance", "object", "at"])
    return rows[rows.processed_at > rows.later_at].sort_values("processed_at")


@check(
    section="08",
    severity="high",
    subject="stripe/{instance}, {type}",
    because="delivered by Stripe and not stored; created at {at:%Y-%m-%d %H:%M:%S} UTC: event {event}",
    at="at",
    guide=("C105", "C106"),
)
def every_delivered_event_is_stored(stripe_events, billing_events, stripe_endpoints, *, min_age_s=300):
    """Every event that an endpoint confirmed is stored, {min_age_s:seconds} after it was created.

    Something answers in place of the billing service, or it confirms an event before it has stored it. Only types that an enabled endpoint
    receives are expected.
    """
    enabled = stripe_endpoints[stripe_endpoints.status == "enabled"]
    types = {one for types in enabled.types for one in types.split()}
    rows = stripe_events[(stripe_events.pending_webhooks == 0) & ~stripe_events.event.isin(set(billing_events.event))]
    rows = rows[rows.type.isin(types) | ("*" in types)]
    return rows[seconds_since(rows["at"], rows) >= min_age_s].sort_values("at")


@check(
    section="08",
    severity="critical",
    subject="postgres/{instance}, {type}",
    because="processed without a verified signature, received at {received_at:%H:%M:%S} UTC: event {event}",
    at="received_at",
    guide=("C106",),
)
def no_unsigned_event_is_accepted(billing_events):
    """No event was processed without a verified signature.

    Whatever knows the address can then report a payment that was never made.
    """
    rows = billing_events[~billing_events.verified.astype("boolean") & (billing_events.processings > 0)]
    return rows.sort_values("received_at")


@check(
    section="08",
    severity="high",
    subject="{instance}: {namespace}/{workload}/{container}",
    because="{number} of a signature that does not hold, {first_at:%H:%M:%S} to {last_at:%H:%M:%S} UTC; pod {pod}: “{said}”",
    at="first_at",
    guide=("C105", "C106"),
)
def webhook_signatures_are_valid(k8s_unhealthy_logs, k8s_logs):
    """No log shows a webhook with a signature that does not hold.

    In the words of Stripe's libraries. Many at once: the signing secret was changed on one side, a proxy alters the body, or the clock is
    wrong. A few: requests that are not Stripe's.
    """
    rows = dated_lines(k8s_unhealthy_logs, k8s_logs)
    rows = rows[rows.message.str.contains(NOT_GENUINE, regex=True)].sort_values("at")
    keys = ["instance", "namespace", "workload", "container"]
    rows = rows.groupby(keys, as_index=False, sort=False).agg(
        lines=("line", "size"),
        pod=("pod", "first"),
        said=("message", "last"),
        first_at=("at", "min"),
        last_at=("at", "max"),
        asked_at=("asked_at", "max"),
    )
    return rows.assign(said=one_line(rows.said), number=counted(rows.lines, "line")).sort_values(
        "lines", ascending=False
    )

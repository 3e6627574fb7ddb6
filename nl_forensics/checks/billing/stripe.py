"""Rules about Stripe: it answers, and it can deliver its events."""

from nl_forensics.checks.limits import DAY_S
from nl_forensics.checks.rows import seconds_since
from nl_forensics.checks.rule import check


@check(
    section="08",
    severity="medium",
    subject="stripe/{instance}",
    because="median answer took {took_ms:number} ms, longest {longest_ms:number} ms (limit {max_ms:number} ms)",
    guide=("C027", "C104"),
)
def stripe_answers_quickly(stripe_requests, *, max_ms=2000):
    """Stripe answers half of the requests within {max_ms:number} ms.

    Measured from this machine, five times. The billing service waits for as long when it takes a payment; 2 s: the guide's review.
    """
    of_each = stripe_requests.groupby(["instance", "asked_at"], as_index=False)
    rows = of_each.agg(took_ms=("took_ms", "median"), longest_ms=("took_ms", "max"))
    return rows[rows.took_ms > max_ms]


@check(
    section="08",
    severity="critical",
    subject="stripe/{instance}, endpoint {endpoint}",
    because="webhook endpoint is {status}: Stripe sends no event to {address}",
    guide=("C105",),
)
def every_webhook_endpoint_is_enabled(stripe_endpoints):
    """Every webhook endpoint is enabled.

    Stripe disables an endpoint that failed for days, and then sends it nothing, not even later: invoices stay open, access is not changed.
    """
    return stripe_endpoints[stripe_endpoints.status != "enabled"]


@check(
    section="08",
    severity="medium",
    note="is_of_account",
    subject="stripe/{instance}, endpoint {endpoint}",
    because="receives events in API version {version}; {wanted}",
    guide=("C105",),
)
def endpoints_use_the_expected_version(stripe_endpoints, stripe_events):
    """Every endpoint receives events in the API version that the billing service is written for.

    An endpoint without a version of its own gets that of the account. In another version, fields are missing or have other names. If the
    platform file names no version, that of the account is expected, and a difference is a note.
    """
    newest = stripe_events.sort_values("at").drop_duplicates("instance", keep="last")
    of_account = newest.set_index("instance").api_version
    rows = stripe_endpoints.assign(account=stripe_endpoints.instance.map(of_account).astype("str"))
    rows = rows.assign(version=rows.api_version.fillna(rows.account))
    wanted = rows.expected_version.fillna(rows.account)
    is_other = rows.version.notna() & wanted.notna() & (rows.version != wanted)
    whose = rows.expected_version.isna().map({True: "the account uses", False: "the billing service expects"})
    return rows.assign(wanted=whose + " " + wanted.fillna(""), is_of_account=rows.expected_version.isna())[is_other]


@check(
    section="08",
    severity="high",
    critical="is_lost",
    subject="stripe/{instance}, {type}",
    because="not delivered for {age_s:seconds}{lost}; created at {at:%Y-%m-%d %H:%M:%S} UTC: event {event}",
    at="at",
    guide=("C105",),
)
def every_event_is_delivered(stripe_undelivered, *, min_age_s=300, lost_s=3 * DAY_S):
    """Every event of Stripe older than {min_age_s:seconds} was delivered to its endpoints.

    Stripe repeats a delivery for up to 3 days, first within minutes, and then gives up: an older event is lost unless it is sent again. Of
    the last 30 days.
    """
    rows = stripe_undelivered.assign(age_s=seconds_since(stripe_undelivered["at"], stripe_undelivered))
    rows = rows[rows.age_s >= min_age_s].sort_values("at")
    is_lost = rows.age_s > lost_s
    return rows.assign(is_lost=is_lost, lost=is_lost.map({True: ", and Stripe no longer repeats it", False: ""}))

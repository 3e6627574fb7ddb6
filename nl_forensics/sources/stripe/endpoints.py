"""Where Stripe sends its events."""

from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import UTC, Column
from nl_forensics.sources.stripe.objects import at, listed


@source(
    columns={
        "endpoint": Column("str", "id of the endpoint"),
        "address": Column("str", "scheme, host and path of its URL; user, password and query are not recorded"),
        "status": Column("str", "`enabled` or `disabled`"),
        "api_version": Column("str", "version in which its events are written", absent="that of the account"),
        "expected_version": Column(
            "str", "version that the billing service is written for", absent="the platform file does not name it"
        ),
        "types": Column("str", "types of events that it receives, separated by blanks; `*`: all"),
        "created_at": Column(UTC, "the endpoint was created"),
    },
    covers="now",
    needs=Permission(stripe="Webhook endpoints: read"),
    guide=("C105",),
)
def stripe_endpoints(stripe, platform):
    """Webhook endpoints of the account; one row per endpoint. Its signing secret is never in an answer of Stripe."""
    for one in listed(stripe, platform.budget, "webhook_endpoints", "endpoints"):
        yield one if isinstance(one, Partial) else _row(one, platform)
    yield Proof("Stripe listed the endpoints")


def _row(one, platform):
    scheme, _, rest = one["url"].partition("://")
    place = rest.partition("?")[0].partition("#")[0].rpartition("@")[2]
    return {
        "endpoint": one["id"],
        "address": f"{scheme}://{place}",
        "status": one["status"],
        "api_version": one.get("api_version"),
        "expected_version": (platform.billing.api_version if platform.billing else "") or None,
        "types": " ".join(one["enabled_events"]),
        "created_at": at(one["created"]),
    }

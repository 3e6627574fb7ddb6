"""What the cluster's DNS answers for the services that the platform needs, where it can be asked."""

from nl_forensics.sources import Proof, source
from nl_forensics.sources.column import Column

ATTEMPTS = 5  # one look-up hides a server that fails now and then


@source(
    columns={
        "namespace": Column("str", "namespace of the service"),
        "service": Column("str", "name of the service"),
        "name": Column("str", "fully qualified name, so that no search domain is tried"),
        "attempt": Column("Int64", "number of the lookup, from 1"),
        "rcode": Column("str", "`NOERROR`, `NXDOMAIN`, `SERVFAIL`, …; empty without a response"),
        "addresses": Column("str", "addresses of the service or, if it is headless, of its pods"),
        "why": Column("str", "reason of the failure; empty if there was a response"),
        "took_ms": Column("float64", "duration of the lookup, IPv4 and IPv6"),
    },
    covers="now",
    guide=("C052",),
)
def dns_names(dns, platform):
    """Lookups of each service that the platform's `flows` name without a pattern, five of each; one row per lookup."""
    services = dict.fromkeys(flow.service for flow in platform.flows if "*" not in flow.service)
    yield Proof(f"{len(services)} services of the platform file were looked up")
    for namespace, _, service in (one.partition("/") for one in services):
        for attempt in range(1, ATTEMPTS + 1):
            yield {"namespace": namespace, "service": service, "attempt": attempt} | dns.look_up(service, namespace)

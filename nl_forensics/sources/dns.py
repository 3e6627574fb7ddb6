"""What the cluster's DNS answers for the services that the platform needs, where it can be asked."""

from nl_forensics.sources import Proof, source

ATTEMPTS = 5  # one look-up hides a server that fails now and then


@source(
    columns={
        "namespace": "str",
        "service": "str",
        "name": "str",
        "attempt": "Int64",
        "rcode": "str",
        "addresses": "str",
        "why": "str",
        "took_ms": "float64",
    },
    covers="now",
    guide=("C052",),
)
def dns_names(dns, platform):
    """One row per look-up of each service that the platform's `flows` name without a pattern, five of each.

    name       the whole name, so that no search domain is tried
    rcode      `NOERROR`, `NXDOMAIN`, `SERVFAIL`, …; "" without an answer, and why
    addresses  that it leads to: of the service, or, where it is headless, of its pods
    took_ms    of the look-up, IPv4 and IPv6, milliseconds
    """
    services = dict.fromkeys(flow.service for flow in platform.flows if "*" not in flow.service)
    yield Proof(f"{len(services)} services of the platform file were looked up")
    for namespace, _, service in (one.partition("/") for one in services):
        for attempt in range(1, ATTEMPTS + 1):
            yield {"namespace": namespace, "service": service, "attempt": attempt} | dns.look_up(service, namespace)

"""Faults of the cluster's DNS: in the past, as CoreDNS tells Prometheus (see prometheus.py), and in what is answered now."""

from contextlib import contextmanager

from tests.record.past import DNS, DNS_BUCKETS_S, dns_answers, dns_bucket
from tests.record.prometheus import MINUTES, counting, past
from tests.record.specimens import specimen


@specimen("names_are_answered", sources=("prom_dns_answers",))
@contextmanager
def names_fail(server):
    """The name servers outside of the cluster give no answer for ten minutes."""
    failing = counting(12, 4)
    good = (dns_answers("NOERROR"), counting(MINUTES, 20))
    with past(server, DNS, good, (dns_answers("SERVFAIL"), failing)):
        yield


@specimen("names_are_answered_quickly", sources=("prom_dns_slowest",))
@contextmanager
def names_come_late(server):
    """Since twelve minutes a twentieth of the answers takes between two and four seconds."""
    shapes = [(dns_bucket(le), counting(MINUTES, 20 if le >= 0.004 else 10)) for le in DNS_BUCKETS_S if le < 4]
    late = counting(12, 1)
    whole = lambda ago_s: counting(MINUTES, 20)(ago_s) + late(ago_s)  # noqa: E731
    shapes += [(dns_bucket(le), whole) for le in (*(le for le in DNS_BUCKETS_S if le >= 4), "+Inf")]
    with past(server, DNS, *shapes):
        yield


@specimen("core_dns_does_not_crash", sources=("prom_dns_panics",))
@contextmanager
def dns_panics(server):
    with past(server, DNS, ("coredns_panics_total", lambda ago_s: 2 if ago_s < 600 else 0)):
        yield


@specimen("names_lead_where_kubernetes_says", sources=("dns_names",))
@contextmanager
def name_leads_elsewhere(server):
    """The address of a service that was deleted and made again is still the old one."""
    yield


@specimen("names_lead_where_kubernetes_says", sources=("dns_names",))
@contextmanager
def name_is_not_known(server):
    server.names.popitem()
    yield

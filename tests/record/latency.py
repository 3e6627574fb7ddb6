"""Faults in the past of how long services took, as their histograms told Prometheus."""

from contextlib import contextmanager

from tests.record.prometheus import MINUTES, past
from tests.record.services import GATEWAY, growing
from tests.record.specimens import specimen
from tests.stack.history import QUICK, mean_s

SLOW = dict.fromkeys(QUICK, 0.9) | {"5.0": 0.95, "10.0": 1.0}  # a tenth takes longer than 2.5 s
LATENCY = ("prom_latency_p99", "prom_latency_p95", "prom_route_latency_p95", "prom_route_requests")


def took(*phases, service="api-gateway", route="/v1/invoices", minutes=2 * MINUTES):
    """A histogram in phases: (until how many minutes ago, requests a second, {seconds: share of them that took no longer})."""
    name, labels = "http_request_duration_seconds", f'service="{service}",method="GET",route="{route}"'

    def counter(share):
        return growing(*((until, per_s * share(within)) for until, per_s, within in phases), minutes=minutes)

    whole = counter(lambda within: 1)
    buckets = [(le, counter(lambda within, le=le: within[le])) for le in QUICK] + [("+Inf", whole)]
    return [
        *((f'{name}_bucket{{{labels},le="{le}"}}', value) for le, value in buckets),
        (f"{name}_count{{{labels}}}", whole),
        (f"{name}_sum{{{labels}}}", counter(mean_s)),
    ]


@specimen("services_answer_quickly", sources=LATENCY)
@contextmanager
def a_tenth_is_slow(server):
    """Since twelve minutes a tenth of the requests takes seconds."""
    with past(server, GATEWAY, *took((12, 8, QUICK), (0, 8, SLOW)), minutes=2 * MINUTES):
        yield


@specimen("services_are_as_fast_as_before", sources=("prom_latency_p95", "prom_route_requests"), baseline=True)
@contextmanager
def slower_than_before(server):
    """Still within a second, but twenty times as long as in the baseline."""
    slower = QUICK | dict.fromkeys(("0.005", "0.01", "0.025", "0.05", "0.1"), 0.5)
    with past(server, GATEWAY, *took((12, 8, QUICK), (0, 8, slower)), minutes=2 * MINUTES):
        yield


@specimen("no_service_gets_many_more_requests", sources=("prom_route_requests",), baseline=True)
@contextmanager
def three_times_the_requests(server):
    """Since twelve minutes, answered as quickly as before."""
    with past(server, GATEWAY, *took((12, 4, QUICK), (0, 12, QUICK)), minutes=2 * MINUTES):
        yield

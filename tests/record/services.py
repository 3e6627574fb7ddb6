"""Faults in the past of the services, as they told Prometheus: see prometheus.py."""

from contextlib import contextmanager

from tests.record.prometheus import MINUTES, counting, past
from tests.record.specimens import specimen

GATEWAY = {
    "job": "neurallog",
    "instance": "10.0.0.1:8080",
    "namespace": "neurallog-system",
    "pod": "api-gateway-1",
    "app": "api-gateway",
}
LOG_SERVER = {
    "job": "neurallog",
    "instance": "10.0.0.6:8080",
    "namespace": "tenant-acme",
    "pod": "log-server-6",
    "app": "log-server",
}
REQUESTS = 'http_requests_total{service="api-gateway",method="POST",route="/v1/logs",status="%s"}'
ACCEPTED, STORED = 'log_lines_received_total{tenant="acme"}', 'log_lines_stored_total{tenant="acme"}'


def growing(*phases, minutes=2 * MINUTES):
    """A counter that grew at several speeds: (until how many minutes ago, by how many a second), the last one until now."""

    def value(ago_s):
        grown, before_s = 0.0, minutes * 60
        for until_minutes, per_s in phases:
            end_s = max(until_minutes * 60, ago_s)
            grown += max(0.0, before_s - end_s) * per_s
            before_s = min(before_s, until_minutes * 60)
        return grown

    return value


def restarted(minutes, before, after):
    """A counter that began anew some minutes ago, in a program that was started again."""
    return lambda ago_s: before(ago_s) if ago_s > minutes * 60 else after(ago_s)


@specimen("every_service_answers_prometheus", sources=("prom_service_up",))
@contextmanager
def service_gone(server):
    """The only pod of a service gave no metrics for five minutes."""
    with past(server, GATEWAY, ("up", lambda ago_s: 0 if 300 < ago_s < 600 else 1)):
        yield


@specimen("services_answer_without_errors", sources=("prom_service_requests",))
@contextmanager
def service_fails(server):
    """A fifth of the requests fails since twelve minutes."""
    good, failed = (REQUESTS % 200, counting(MINUTES, 8)), (REQUESTS % 503, counting(12, 2))
    with past(server, GATEWAY, good, failed):
        yield


@specimen("what_is_accepted_is_stored", sources=("prom_lines_accepted", "prom_lines_stored"))
@contextmanager
def lines_wait(server):
    """Nothing is stored since ten minutes, while lines go on to be taken in; the program was started again before that."""
    accepted = restarted(20, growing((0, 11)), growing((0, 11), minutes=20))
    stored = restarted(20, growing((0, 11)), growing((10, 11), (0, 0), minutes=20))
    with past(server, LOG_SERVER, (ACCEPTED, accepted), (STORED, stored), minutes=2 * MINUTES):
        yield


@specimen("log_lines_keep_coming", sources=("prom_lines_accepted",), baseline=True)
@contextmanager
def tenant_silent(server):
    """A tenant who always sent stopped twenty minutes ago."""
    with past(server, LOG_SERVER, (ACCEPTED, growing((20, 11), (0, 0))), minutes=2 * MINUTES):
        yield


@specimen("as_many_log_lines_come_as_before", sources=("prom_lines_accepted",), baseline=True)
@contextmanager
def tenant_sends_less(server):
    """A tenant sends a fifth of what it sent before the incident."""
    with past(server, LOG_SERVER, (ACCEPTED, growing((30, 10), (0, 2))), minutes=2 * MINUTES):
        yield

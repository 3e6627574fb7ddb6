"""Addresses that are not reached or not well, and certificates that a client refuses. Each is served over real TLS on loopback."""

from contextlib import contextmanager
from datetime import timedelta

from tests.record.kubernetes.certificates import have, issued
from tests.record.specimens import specimen
from tests.stack.tls import Authority, our_authority, self_signed, short_key

CERTIFICATE = ("probe_certificates",)
STRANGER = "shop.neurallog.example"


@specimen("every_address_is_reached", sources=("probe_hops",))
@contextmanager
def nobody_listens(server):
    server.shutdown()
    server.server_close()
    yield


@specimen("every_address_answers_with_success", sources=("probe_answers",))
@contextmanager
def unavailable(server):
    server.answer = (503, {"Retry-After": "30"})
    yield


@specimen("every_hop_is_quick", sources=("probe_hops", "probe_answers"))
@contextmanager
def answers_late(server):
    server.delay_s = 1.3
    yield


@specimen("clocks_agree", sources=("probe_clock",))
@contextmanager
def clock_ahead(server):
    server.clock = timedelta(minutes=10)
    yield


@specimen("no_served_certificate_has_expired", sources=CERTIFICATE)
@contextmanager
def certificate_expired(server):
    server.serve(our_authority().chain("localhost", left=-0.05))
    yield


@specimen("every_served_certificate_is_valid_already", sources=CERTIFICATE)
@contextmanager
def certificate_not_yet_valid(server):
    server.serve(our_authority().chain("localhost", left=1.02))
    yield


@specimen("no_served_certificate_expires_soon", sources=CERTIFICATE)
@contextmanager
def certificate_near_its_end(server):
    server.serve(our_authority().chain("localhost", left=0.07))
    yield


@specimen("every_served_certificate_is_for_its_name", sources=CERTIFICATE)
@contextmanager
def certificate_for_another_name(server):
    default = our_authority().chain("default.neurallog.example")
    server.serve(our_authority().chain(STRANGER), default)
    yield


@specimen("every_served_certificate_is_for_its_name", sources=CERTIFICATE)
@contextmanager
def default_certificate(server):
    """The server knows no certificate for our name."""
    server.serve(our_authority().chain("default.neurallog.example"))
    yield


@specimen("every_served_chain_is_complete", sources=CERTIFICATE)
@contextmanager
def intermediate_missing(server):
    server.serve(our_authority().chain("localhost", complete=False))
    yield


@specimen("every_served_certificate_is_trusted", sources=CERTIFICATE)
@contextmanager
def certificate_self_signed(server):
    server.serve(self_signed(our_authority().folder, "localhost"))
    yield


@specimen("every_served_certificate_is_trusted", sources=CERTIFICATE)
@contextmanager
def certificate_of_an_unknown_issuer(server):
    server.serve(Authority(our_authority().folder, "Unknown Root").chain("localhost"))
    yield


@specimen("every_served_certificate_is_strong", sources=CERTIFICATE)
@contextmanager
def certificate_with_a_short_key(server):
    server.serve(our_authority().chain("localhost", key=short_key()))
    yield


@specimen("every_served_certificate_is_the_newest", sources=("k8s_certificates",))
@contextmanager
def certificate_renewed_but_not_read_again(server):
    """cert-manager renewed it for longer than the healthy platform's door serves its own."""
    have(server, issued(1, life_days=365), "localhost")
    yield

"""The certificate that is served: real servers on loopback, with each fault that one can have."""

from datetime import timedelta

import pandas as pd
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519

from nl_forensics import checks, sources
from nl_forensics.errors import BadAnswer, NotReachable
from nl_forensics.sources.kubernetes.certificates import record_of
from nl_forensics.sources.x509 import fits
from nl_forensics.units import Wording
from tests.asking import ask, offenders
from tests.probing import CERTIFICATES, probe, problems
from tests.stack import faults as wire
from tests.stack.tls import Authority, self_signed, serving, short_key

pytestmark = pytest.mark.usefixtures("trusted")


def served(authority, **how):
    return authority.chain("localhost", **how)


STRANGER = "shop.example"


# fault: (what is served, by what, what is found about it)
CHAINS = {
    "healthy": (served, {}, {}),
    "with its root": (lambda a: served(a, with_root=True), {}, {}),
    "expired": (
        lambda a: served(a, left=-0.1),
        {},
        {"no_served_certificate_has_expired": "certificate expired at"},
    ),
    "not yet valid": (
        lambda a: served(a, left=1.1),
        {},
        {"every_served_certificate_is_valid_already": "certificate becomes valid only at"},
    ),
    "expires soon": (
        lambda a: served(a, left=0.15),
        {},
        {"no_served_certificate_expires_soon": "15 % of its lifetime is left (limit 20 %)"},
    ),
    "wrong name": (
        lambda a: a.chain(STRANGER, f"www.{STRANGER}"),
        {"default": "healthy"},
        {"every_served_certificate_is_for_its_name": f"for {STRANGER}, www.{STRANGER}, not for localhost"},
    ),
    "default for an unknown name": (
        lambda a: a.chain(STRANGER),
        {},
        {"every_served_certificate_is_for_its_name": "not for localhost; it is the server's default"},
    ),
    "missing intermediate": (
        lambda a: served(a, complete=False),
        {},
        {"every_served_chain_is_complete": "incomplete chain: the intermediate certificate Example Root R1 is missing"},
    ),
    "self-signed": (
        lambda a: self_signed(a.folder, "localhost"),
        {},
        {
            "every_served_certificate_is_trusted": "not trusted: self-signed by localhost; self-signed certificate, checked from"
        },
    ),
    "unknown issuer, with intermediate": (
        lambda a: Authority(a.folder, "Other Root").chain("localhost"),
        {},
        {"every_served_certificate_is_trusted": "its chain ends with the unknown authority Other Root"},
    ),
    "unknown issuer, with root": (
        lambda a: Authority(a.folder, "Other Root").chain("localhost", with_root=True),
        {},
        {"every_served_certificate_is_trusted": "its chain ends with the unknown authority Other Root"},
    ),
    "unknown issuer, alone": (
        lambda a: Authority(a.folder, "Other Root").issued_by_root("localhost"),
        {},
        {"every_served_certificate_is_trusted": "unknown issuer Other Root"},
    ),
    "short key": (
        lambda a: served(a, key=short_key()),
        {},
        {"every_served_certificate_is_strong": "weak certificate: RSA key of 1024 bits"},
    ),
    "expired and of a wrong name": (
        lambda a: a.chain(STRANGER, left=-0.1),
        {"default": "healthy"},
        {
            "no_served_certificate_has_expired": "expired",
            "every_served_certificate_is_for_its_name": "not for localhost",
        },
    ),
}


@pytest.mark.parametrize("fault", CHAINS)
def test_each_fault_of_a_certificate_is_told_apart(fault, authority):
    make, others, expected = CHAINS[fault]
    default = served(authority) if others else None
    with serving(make(authority), default) as server:
        link = probe(server.port)
        table = ask(link, "probe_certificates").table
    found = problems(table, CERTIFICATES)
    assert found.keys() == expected.keys(), found
    for name, said in expected.items():
        assert said in found[name]
    dates_or_names = {"no_served_certificate_expires_soon", "every_served_certificate_is_strong"}
    if fault != "short key":  # today's OpenSSL refuses it on its own level of security
        assert bool(table.accepted[0]) == (not expected.keys() - dates_or_names)
    assert server.asked == [], "nothing is asked for to see a certificate"


@pytest.mark.parametrize(("clock", "expected"), [(timedelta(hours=3), set()), (timedelta(hours=-3), set())])
def test_a_wrong_clock_makes_no_certificate_bad(authority, clock, expected):
    """By one of the two clocks it has not begun, or has ended; the other disagrees."""
    hours = timedelta(days=1) / 24
    left = 1 + timedelta(hours=1) / timedelta(days=1) if clock > timedelta(0) else -hours / timedelta(days=1)
    with serving(authority.chain("localhost", left=left, life=timedelta(days=1)), clock=clock) as server:
        link = probe(server.port)
        ask(link, "probe_hops")
        table = ask(link, "probe_certificates").table
    names = ("every_served_certificate_is_valid_already", "no_served_certificate_has_expired")
    assert problems(table, names).keys() == expected


def test_a_signature_that_does_not_hold(authority):
    """OpenSSL 3 serves none that is signed with SHA-1 unless it is told to: the check is tried on a table."""
    with serving(served(authority)) as server:
        table = ask(probe(server.port), "probe_certificates").table
    assert table.signature[0] == hashes.SHA256().name
    found = problems(table.assign(signature="sha1"), CERTIFICATES)
    assert found == {"every_served_certificate_is_strong": "weak certificate: signed with sha1"}


@pytest.mark.parametrize("bits", ["-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----\n", "", "garbage"])
def test_a_certificate_that_can_not_be_read_is_a_bad_answer(authority, bits):
    with serving(served(authority)) as server:
        record = probe(server.port).certificate()
    with pytest.raises(BadAnswer, match="probe_certificates can't be read"):
        sources.load()["probe_certificates"].table([record | {"chain": [bits]}])


def test_a_key_without_a_size(authority):
    with serving(served(authority, key=ed25519.Ed25519PrivateKey.generate())) as server:
        table = ask(probe(server.port), "probe_certificates").table
    assert (table.key_kind[0], table.signature[0]) == ("Ed25519", "sha256")
    assert problems(table, CERTIFICATES) == {}


def test_no_certificate_where_no_tls_is_spoken():
    with wire.html() as port, pytest.raises(NotReachable, match="no certificate was served: TLS: wrong version number"):
        ask(probe(port), "probe_certificates")
    with serving() as server:
        heard = ask(probe(server.port, "http"), "probe_certificates")
    assert heard.table.empty and heard.proof


@pytest.mark.parametrize(
    ("name", "host", "does"),
    [
        ("api.neurallog.com", "api.neurallog.com", True),
        ("API.neurallog.com", "api.NeuralLog.com.", True),
        ("*.neurallog.com", "api.neurallog.com", True),
        ("*.neurallog.com", "neurallog.com", False),
        ("*.neurallog.com", "a.api.neurallog.com", False),
        ("*.com", "com", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("*.0.0.1", "127.0.0.1", False),
    ],
)
def test_a_name_fits(name, host, does):
    assert fits((name,), host) is does


def issued(table, name="localhost", days=0, **status):
    """What cert-manager says of a certificate that lasts so many days longer than the one that is served."""
    spec = {"dnsNames": [name], "secretName": "api-tls", "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt"}}
    not_after = (table.not_after[0] + pd.Timedelta(days=days)).isoformat()
    known = {"notBefore": table.not_before[0].isoformat(), "notAfter": not_after, "revision": 7}
    one = {"metadata": {"namespace": "neurallog-system", "name": "api"}, "spec": spec, "status": known | status}
    return sources.load()["k8s_certificates"].table([record_of(one)])


@pytest.mark.parametrize(
    ("name", "days", "older"),
    [("localhost", 60, True), ("localhost", 0, False), ("localhost", -1, False), (STRANGER, 60, False)],
)
def test_what_is_served_is_not_older_than_what_there_is(authority, name, days, older):
    with serving(served(authority)) as server:
        table = ask(probe(server.port), "probe_certificates").table
    found = offenders("every_served_certificate_is_the_newest", table, issued(table, name, days))
    assert len(found) == older
    if older:
        assert "Certificate neurallog-system/api (revision 7) has one until" in words(found)


def test_a_certificate_that_was_never_issued_has_no_dates(authority):
    """What serves is another's: nothing is newer."""
    with serving(served(authority)) as server:
        table = ask(probe(server.port), "probe_certificates").table
    never = issued(table, notBefore=None, notAfter=None, revision=None)
    assert offenders("every_served_certificate_is_the_newest", table, never).empty
    assert offenders("every_certificate_is_renewed_in_time", never).empty


@pytest.mark.parametrize(("late_days", "said"), [(10, True), (8, False), (-1, False)])
def test_a_renewal_is_late_by_its_lifetime(authority, late_days, said):
    """A certificate of 90 days may be 9 days late."""
    with serving(served(authority)) as server:
        table = ask(probe(server.port), "probe_certificates").table
    renews_at = (pd.Timestamp.now("UTC") - pd.Timedelta(days=late_days)).isoformat()
    assert len(offenders("every_certificate_is_renewed_in_time", issued(table, renewalTime=renews_at))) == said


def words(found):
    return Wording(checks.load()["every_served_certificate_is_the_newest"].because).of(found.iloc[0].to_dict())

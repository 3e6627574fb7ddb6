"""The way to an address, hop by hop, and the certificate that is served: real servers on loopback, and faults at the wire."""

import re
import time
from contextlib import nullcontext
from datetime import timedelta

import pandas as pd
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from pydantic import ValidationError

from nl_forensics import checks, sources
from nl_forensics.checks import run_checks
from nl_forensics.connect import open_link
from nl_forensics.errors import BadAnswer, NotConfigured, NotReachable
from nl_forensics.finding import Status
from nl_forensics.inputs.platform import Budget, ProbeEndpoint
from nl_forensics.sources.kubernetes.certificates import record_of
from nl_forensics.sources.x509 import fits
from nl_forensics.units import Wording
from tests.asking import ask, offenders
from tests.checks.test_kubernetes_checks import rows
from tests.investigation import Investigation
from tests.recorded import recorded_case
from tests.stack import faults as wire
from tests.stack.tls import Authority, self_signed, serving, short_key

HOP_S = 0.5
OURS = [one for one in checks.load().values() if all(name.startswith("probe_") for name in one.needs)]
CERTIFICATES = [one.name for one in OURS if one.needs[0] == "probe_certificates"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def trusted(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))


def probe(port, scheme="https", path="/health", host="localhost"):
    return open_link("probe", f"{scheme}://{host}:{port}{path}", ProbeEndpoint(endpoint="X"), Budget(connect_s=HOP_S))


def problems(table, names):
    """{check: how it words its first offender}"""
    offset = pd.to_timedelta(table.clock_offset_s.fillna(0) if "clock_offset_s" in table else 0, "s")
    stamped = table.assign(instance="main", asked_at=pd.Timestamp.now("UTC") + offset)
    found = {}
    for one in (checks.load()[name] for name in names):
        rows = one.offenders(stamped, **one.limits)
        if len(rows):
            found[one.name] = Wording(one.because).of(rows.iloc[0].to_dict() | one.limits)
    return found


# --- Hops ------------------------------------------------------------------------------------------------------------


def test_a_healthy_address(authority):
    with serving(authority.chain("localhost")) as server:
        link = probe(server.port, path="/health?key=hunter2")
        table = ask(link, "probe_hops").table
    assert list(table.hop) == ["dns", "tcp", "tls", "http"] * 3
    assert table.answered.all() and (table.took_ms > 0).all()
    assert server.asked == ["/health?key=hunter2"] * 3
    assert set(table.url) == {f"https://localhost:{server.port}/health"}, "what stands behind ? is not recorded"
    assert set(table.asked_from) == {"a machine outside of the cluster"}
    assert abs(link.clock.offset_s) < 2
    assert problems(table, ["every_address_is_reached"]) == {}


FAULTS = {
    "refused": (lambda: nullcontext(wire.closed_port()), "http", "tcp", "connection refused"),
    "dropped": (wire.never_accepts, "http", "tcp", "no whole answer in time"),
    "silent": (wire.silent, "http", "http", "no whole answer in time"),
    "silent before TLS": (wire.silent, "https", "tls", "no whole answer in time"),
    "dripping": (lambda: wire.dripping("http"), "http", "http", "no whole answer in time"),
    "garbage": (wire.garbage, "http", "http", "the answer is none of HTTP (BadStatusLine)"),
    "no TLS": (wire.html, "https", "tls", "TLS: wrong version number"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_hop_that_fails_is_told_in_time(fault):
    start, scheme, hop, why = FAULTS[fault]
    with start() as port:
        link, began = probe(port, scheme), time.monotonic()
        table = ask(link, "probe_hops").table
    assert time.monotonic() - began < 3 * (HOP_S + 1)
    assert set(table[~table.answered].hop) == {hop}
    assert set(table[~table.answered].why) == {why}
    assert "in 3 of 3 attempts" in problems(table, ["every_address_is_reached"])["every_address_is_reached"]


def test_a_name_that_there_is_not():
    table = ask(probe(443, host="no-such-name.invalid"), "probe_hops").table
    assert list(zip(table.hop, table.answered, table.why, strict=True)) == [("dns", False, "there is no such name")] * 3


@pytest.mark.parametrize(
    ("answer", "severity", "said"),
    [
        ((503, {}), "critical", "HTTP status 503; checked from"),
        ((404, {}), "medium", "HTTP status 404; checked from"),
        (
            (302, {"Location": "https://login.example/?next=x"}),
            "medium",
            "HTTP status 302, redirects to login.example; ",
        ),
    ],
)
def test_what_an_address_says_of_itself(answer, severity, said):
    with serving(answer=answer) as server:
        table = ask(probe(server.port, "http"), "probe_answers").table
    assert len(server.asked) == 3, "a redirect is not followed"
    name = "every_address_answers_with_success"
    assert said in problems(table, [name])[name]
    assert set(offenders(name, table).severity) == {severity}


def test_a_clock_that_is_wrong(authority):
    with serving(authority.chain("localhost"), clock=timedelta(minutes=-10)) as server:
        table = ask(probe(server.port), "probe_clock").table
    said = problems(table, ["clocks_agree"])["clocks_agree"]
    assert re.match(r"clock is (10 min|9 min 59 s) behind ours", said)  # the Date has whole seconds


def test_a_slow_hop():
    with serving(delay_s=0.3) as server:
        link = probe(server.port, "http")
        hops, answers = ask(link, "probe_hops").table.assign(instance="main"), ask(link, "probe_answers").table
    rows = checks.load()["every_hop_is_quick"].offenders(
        hops.assign(asked_at=pd.Timestamp.now("UTC")), answers, max_ms=200
    )
    assert list(rows.hop) == ["http"]
    assert rows.took_ms.iloc[0] >= 300


def test_a_failure_now_and_then_is_high_not_critical():
    with serving() as server:
        table = ask(probe(server.port, "http"), "probe_hops").table
    table.loc[table.index[-1], ["answered", "why"]] = [False, "no whole answer in time"]
    rows = offenders("every_address_is_reached", table)
    assert list(rows.severity) == ["high"]
    assert (list(rows.failures), list(rows.attempts)) == ([1], [3])


@pytest.mark.parametrize(
    "address",
    ["localhost", "ftp://localhost/", "https:///health", "https://user:hunter2@localhost/", "https://localhost:x/"],
)
def test_an_address_that_can_not_be_asked(address):
    with pytest.raises(NotConfigured) as error:
        open_link("probe", address, ProbeEndpoint(endpoint="X"), Budget())
    assert "hunter2" not in str(error.value)


def test_nothing_goes_around_the_way_to_an_address():
    with pytest.raises(ValidationError, match="via"):
        ProbeEndpoint.model_validate({"endpoint": "X", "via": {"port_forward": "a/service/b:80"}})


# --- Certificates -----------------------------------------------------------------------------------------------------


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
        {"every_served_chain_is_complete": "incomplete chain: the intermediate certificate Test Root R1 is missing"},
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


@pytest.mark.parametrize(("offset_s", "said"), [(-600, "10 min behind ours"), (7.5, "ahead of ours"), (4, ""), (0, "")])
def test_a_system_whose_clock_is_wrong(offset_s, said):
    found = problems(rows("systems_reached", {"clock_offset_s": offset_s}), ["every_system_has_our_time"])
    assert said in found.get("every_system_has_our_time", "")
    assert bool(found) == bool(said)


@pytest.mark.parametrize("name", ["postgres_down", "blind"])
def test_the_clock_of_a_system_that_did_not_answer_is_unknown(name):
    findings = run_checks(recorded_case(name), ["04"])
    [finding] = [one for one in findings if one.check == "every_system_has_our_time"]
    assert finding.status is Status.UNKNOWN


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


# --- Against what cert-manager has -----------------------------------------------------------------------------------


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


# --- In a case --------------------------------------------------------------------------------------------------------


def statuses(case):
    return {
        finding.check: finding.status for finding in checks.run_checks(case, ["04"]) if finding.check in names_of(OURS)
    }


def names_of(found):
    return {one.name for one in found}


def test_a_healthy_address_is_ok_in_a_case(authority, tmp_path):
    with serving(served(authority)) as server:
        asked = Investigation(tmp_path, {"probe": {"api": f"https://localhost:{server.port}/health"}})
        done = asked.run("collect", asked.file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(asked.case) == dict.fromkeys(names_of(OURS), Status.OK)
    assert asked.case.gaps("systems_reached") == []


def test_an_address_that_is_down_is_a_problem_and_the_rest_unknown(tmp_path):
    asked = Investigation(tmp_path, {"probe": {"api": f"https://localhost:{wire.closed_port()}/health"}})
    found = statuses(asked.collect())
    assert found["every_address_is_reached"] is Status.PROBLEM
    assert {found.pop("every_address_is_reached"), *found.values()} == {Status.PROBLEM, Status.UNKNOWN}


def test_an_address_that_answers_in_no_known_way_is_never_fine(tmp_path):
    with wire.garbage() as port:
        found = statuses(Investigation(tmp_path, {"probe": {"api": f"http://localhost:{port}/health"}}).collect())
    ok = {name for name, status in found.items() if status is Status.OK}
    assert ok <= set(CERTIFICATES), "plain HTTP has no certificate, nothing else is known"


def test_an_address_that_nobody_told_us_is_unknown(tmp_path):
    found = statuses(Investigation(tmp_path, {"probe": {"api": ""}}).collect())
    assert found == dict.fromkeys(names_of(OURS), Status.UNKNOWN)


def test_a_platform_without_addresses_to_probe_has_nothing_unknown(tmp_path):
    with serving() as server:
        asked = Investigation(tmp_path, {"prometheus": {"main": f"http://localhost:{server.port}"}})
        assert statuses(asked.collect()) == {}

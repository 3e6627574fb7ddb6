"""Tokens and keys of a small issuer on loopback: every fault is found, and no part of a token is kept."""

import base64
import gzip
import json
import re
import time
from datetime import timedelta

import pandas as pd
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from nl_forensics import checks
from nl_forensics.charts.tables import issuer_keys, token_tests
from nl_forensics.connect.identity import connect
from nl_forensics.delivery.report import report
from nl_forensics.errors import BadAnswer, NotConfigured, NotGiven, NotReachable
from nl_forensics.finding import Status
from nl_forensics.inputs.platform import Budget, IdentityEndpoint
from nl_forensics.sources.identity import ASPECTS
from tests import recorded
from tests.asking import ask
from tests.asking import link as opened
from tests.investigation import Investigation
from tests.stack.issuer import DISCOVERY, ISSUER, KEYS, issuer, new_key

RULES = {"issuer": ISSUER, "audience": "neurallog-api", "algorithms": ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]}
TOKEN = re.compile(r"eyJ[\w-]{8,}\.")  # of any JWT: its header begins with {"
HOSTILE = (
    "../../../etc/passwd",
    "' OR 1=1; DROP TABLE keys; --",
    "<script>alert(1)</script>",
    "\x1b]0;owned\x07\x1b[2J",
    "=cmd|' /C calc'!A0",
    "\u202egnp.exe",
    "http://169.254.169.254/latest/meta-data/",
    "x" * 1_500,
)


@pytest.fixture
def server():
    with issuer() as running:
        yield running


@pytest.fixture
def link(monkeypatch):
    """Opens a link to an issuer, with a token to examine."""

    def to(server, token="", path=KEYS, **rules):
        monkeypatch.setenv(server.variable, token)
        endpoint = IdentityEndpoint(endpoint="NL_JWKS_URL", token_from=server.variable, **(RULES | rules)).resolved()
        return connect(server.url.replace(KEYS, path), endpoint, Budget())

    return to


def verdicts(link, server, token, **rules):
    """{aspect: passed}; None where it was not tested. No part of the token is in what is recorded."""
    heard = [ask(link(server, token, **rules), name) for name in ("identity_token_tests", "identity_token")]
    for part in token.split("."):
        assert len(part) < 20 or not any(part[:20] in one.text for one in heard)
    table = heard[0].table
    return {
        aspect: None if pd.isna(passed) else bool(passed)
        for aspect, passed in zip(table.aspect, table.passed, strict=True)
    }


def failed(found):
    return [aspect for aspect, passed in found.items() if passed is False]


def unsigned(header, claims, signature="c2lnbmF0dXJl"):
    parts = (json.dumps(part).encode() if isinstance(part, dict) else part for part in (header, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), signature])


# --- A token ----------------------------------------------------------------------------------------------------------


def test_a_valid_token_passes_every_test(link, server):
    assert verdicts(link, server, server.token()) == dict.fromkeys(["structure", *ASPECTS], True)


@pytest.mark.parametrize(
    ("aspect", "how"),
    [
        ("expiry", {"lasting_s": -60}),
        ("expiry", {"exp": None}),
        ("expiry", {"exp": "soon"}),
        ("expiry", {"exp": 1e300}),
        ("start", {"nbf": int(time.time()) + 3600}),
        ("issuer", {"iss": "https://auth.shop.example"}),
        ("issuer", {"iss": None}),
        ("audience", {"aud": "shop"}),
        ("audience", {"aud": ["shop", "billing"]}),
        ("lifetime", {"lasting_s": 40 * 86_400}),
        ("key id", {"header": {"kid": "2019-01"}}),
        ("signature", {"key": new_key("2026-10")}),
    ],
)
def test_one_fault_fails_one_test(link, server, aspect, how):
    assert failed(verdicts(link, server, server.token(**how))) == [aspect]


def test_one_of_several_audiences_is_enough(link, server):
    assert failed(verdicts(link, server, server.token(aud=["shop", "neurallog-api"]))) == []


def test_without_requirements_any_issuer_is_right(link, server):
    token = server.token(iss="https://auth.shop.example", aud="shop")
    assert failed(verdicts(link, server, token, issuer="", audience="")) == []


@pytest.mark.parametrize("alg", ["none", "None", "NONE"])
def test_an_unsigned_token_is_never_right(link, server, alg):
    claims = {"iss": ISSUER, "aud": "neurallog-api", "iat": int(time.time()), "exp": int(time.time()) + 60}
    found = verdicts(link, server, unsigned({"alg": alg, "kid": "2026-10"}, claims, ""))
    assert "algorithm" in failed(found)
    assert found["signature"] is not True


@pytest.mark.parametrize("alg", ["HS256", "HS512"])
def test_a_shared_secret_is_never_right(link, server, alg):
    """Also where the key set publishes that secret under the same id."""
    secret = OctKey.generate_key(512, {"kid": "2026-10"})
    server.published[KEYS] = (200, {}, json.dumps({"keys": [secret.as_dict(private=True)]}).encode())
    found = verdicts(link, server, server.token(header={"alg": alg}, key=secret))
    assert "algorithm" in failed(found)
    assert found["signature"] is not True


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_a_token_brings_is_not_used(link, server, name):
    own = new_key("2026-10")
    values = {"jwk": own.as_dict(private=False), "jku": server.url + "x", "x5u": server.url + "x", "x5c": ["AAAA"]}
    header = {"alg": "RS256", "kid": "2026-10", name: values[name]}
    token = jwt.encode(header, {"iss": ISSUER}, own, ["RS256"])
    found = verdicts(link, server, token)
    assert {"header", "signature"} <= set(failed(found))
    assert set(server.asked) == {KEYS}


@pytest.mark.parametrize(
    ("alg", "key"),
    [
        ("RS256", lambda: RSAKey.generate_key(2048, {"kid": "k"})),
        ("PS256", lambda: RSAKey.generate_key(2048, {"kid": "k"})),
        ("ES256", lambda: ECKey.generate_key("P-256", {"kid": "k"})),
        ("Ed25519", lambda: OKPKey.generate_key("Ed25519", {"kid": "k"})),
    ],
)
def test_every_allowed_algorithm_is_verified(link, server, alg, key):
    server.keys = [key()]
    token = server.token(header={"alg": alg})
    assert failed(verdicts(link, server, token)) == []
    broken = token[:-6] + ("AAAAAA" if not token.endswith("AAAAAA") else "BBBBBB")
    assert "signature" in failed(verdicts(link, server, broken))
    assert "algorithm" in failed(verdicts(link, server, token, algorithms=["ES384"]))


@pytest.mark.parametrize("kid", HOSTILE)
def test_a_hostile_key_id_is_text(link, server, kid):
    """No file, no query, no address: it is compared, and shown in part."""
    assert "key id" in failed(verdicts(link, server, server.token(header={"kid": kid})))
    assert set(server.asked) == {KEYS}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "opaque",
        "a.b",
        "a.b.c.d",
        "....",
        "a.b.c.d.e",
        "é.é.é",
        "ey.ey.ey",
        "x" * 200_000,
        "." * 200_000,
        unsigned(b"not json", b"{}"),
        unsigned(b"[1]", b"[1]"),
        unsigned(b"{}", b"\xff\xfe"),
        unsigned({"alg": "RS256"}, b"[" * 9_000),
        unsigned({"alg": ["RS256"]}, {}),
        unsigned({"alg": {"a": 1}, "kid": {"b": [2]}}, {"aud": {"x": 1}, "iss": [None], "exp": True, "iat": []}),
        unsigned({"alg": "RS256", "crit": ["exp"], "exp": 1}, {"iss": 7}),
        unsigned({"alg": "RS256", "b64": False, "crit": ["b64"]}, {}),
    ],
)
def test_what_is_no_token_is_a_fault_and_no_crash(link, server, token):
    if not token:
        with pytest.raises(NotGiven):
            ask(link(server, token), "identity_token_tests")
        return
    assert failed(verdicts(link, server, token))


def test_times_are_by_the_clock_of_the_issuer(link, server):
    """Its token is valid for an hour, and its clock is two hours ahead."""
    server.clock = timedelta(hours=2)
    assert "expiry" in failed(verdicts(link, server, server.token()))


def test_a_subject_is_a_pseudonym_and_other_claims_are_names(link, server):
    heard = ask(link(server, server.token(email="anna@shop.example", card="4242424242424242")), "identity_token")
    assert not any(secret in heard.text for secret in ("user-4711", "anna@", "4242", "acme"))
    assert heard.table.user_id[0].startswith("user~")
    assert heard.table.claims[0] == "aud, card, email, exp, iat, iss, nbf, plan, sub, tenant"


# --- The key set ------------------------------------------------------------------------------------------------------


def publish(server, body, status=200, path=KEYS, **headers):
    server.published[path] = (status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_keys_without_their_secrets(link, server):
    secret = server.keys[0].as_dict(private=True)
    publish(server, {"keys": [secret, OctKey.generate_key(256).as_dict(private=True)]})
    heard = ask(link(server), "identity_keys")
    assert list(heard.table.has_private_part) == [True, True]
    assert not any(secret[part] in heard.text for part in ("n", "d", "p", "q"))


def test_a_discovery_document_leads_to_the_keys(link, server):
    assert list(ask(link(server, path=DISCOVERY), "identity_keys").table.kid) == ["2026-10"]


@pytest.mark.parametrize(
    "there", ["http://169.254.169.254/keys", "file:///etc/passwd", "https://127.0.0.1.evil.example/"]
)
def test_another_host_is_not_followed(link, server, there):
    publish(server, {"issuer": ISSUER, "jwks_uri": there}, path=DISCOVERY)
    with pytest.raises(BadAnswer, match="another host"):
        link(server, path=DISCOVERY)
    assert server.asked == [DISCOVERY]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b'{"keys": [' + b'{"kty": "RSA"},' * 700_000 + b"{}]}", 200, "larger than"),
        (b"<html>log in</html>", 200, "not JSON"),
        (b"[" * 100_000, 200, "not JSON"),
        (b'{"keys": 7}', 200, "not a key set"),
        (b"[]", 200, "not a key set"),
        (b"", 302, "HTTP 302"),
        (b"{}", 500, "HTTP 500"),
    ],
)
def test_what_is_no_key_set_is_told(link, server, body, status, error):
    publish(server, body, status, Location="http://169.254.169.254/")
    with pytest.raises(BadAnswer, match=error):
        link(server)
    assert server.asked == [KEYS]


def test_an_issuer_that_is_gone_is_not_reached(link):
    with issuer() as gone:
        pass
    with pytest.raises(NotReachable):
        link(gone)


def test_an_address_is_one_of_http():
    with pytest.raises(NotConfigured):
        opened("identity", "ldap://auth.example")


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"kty": "RSA"},
        {"kty": ["RSA"], "kid": {"a": 1}},
        {"kty": "RSA", "n": "A" * 400_000, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X9", "x": 7},
        {"kty": "RSA", "n": "é", "e": None},
    ],
)
def test_a_key_that_cannot_be_read_is_a_row(link, server, key):
    publish(server, {"keys": [key]})
    heard = ask(link(server, server.token()), "identity_keys")
    assert list(heard.table.is_usable) == [False]
    assert "key id" in failed(verdicts(link, server, server.token()))


def test_many_keys_are_a_gap(link, server):
    publish(server, {"keys": [{"kty": "RSA", "kid": str(n)} for n in range(150)]})
    assert ask(link(server), "identity_keys").unseen == ["keys beyond the first 100"]


# --- A whole case -----------------------------------------------------------------------------------------------------


def collected(folder, server, monkeypatch, token):
    variable = server.variable
    monkeypatch.setenv(variable, token) if token else monkeypatch.delenv(variable, raising=False)
    rules = {"token_from": variable, "issuer": ISSUER, "audience": "neurallog-api"}
    asked = Investigation(folder, {"identity": {"main": server.url}}, options={"identity": rules})
    return asked, asked.collect()


def test_without_a_token_its_tests_are_out_of_scope(tmp_path, server, monkeypatch):
    """One line of the coverage: neither healthy nor undetermined."""
    _, case = collected(tmp_path, server, monkeypatch, "")
    found = checks.run_checks(case, ["09"])
    assert {one.check for one in found if one.status is Status.OK} == {
        "only_public_keys_are_published",
        "published_keys_are_usable",
        "published_keys_have_ids_of_their_own",
    }
    assert not any(one.check == "the_token_is_valid" for one in found)
    lines = case.coverage()
    assert "no token to examine was given" in set(lines[lines.source == "identity_token_tests"]["data gap"])
    assert "no token to examine was given" in token_tests(case).words


def test_a_token_that_is_given_later_is_examined(tmp_path, server, monkeypatch):
    asked, _ = collected(tmp_path, server, monkeypatch, "")
    monkeypatch.setenv(server.variable, server.token(lasting_s=-60))
    case = asked.collect(again=("identity_token_tests", "identity_token"))
    [problem] = checks.run_checks(case, ["09"]).problems
    assert (problem.check, problem.subject) == ("the_token_is_valid", "identity/main: expiry")


def test_no_part_of_a_token_is_anywhere(tmp_path, server, monkeypatch, capsys):
    """Case, report with its notebook, JSON and terminal; also none of the keys that should not have been published."""
    secret = OctKey.generate_key(256, {"kid": HOSTILE[2]}).as_dict(private=True)
    publish(server, {"keys": [server.keys[0].as_dict(private=False), secret]})
    token = server.token(header={"kid": HOSTILE[2]}, email="anna@shop.example")
    asked, case = collected(tmp_path, server, monkeypatch, token)
    report(case, tmp_path / "report", ("09",))
    asked.command("findings", asked.case_folder)
    asked.command("findings", asked.case_folder, "--json")
    said = capsys.readouterr()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    texts = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in written]
    everything = b"\n".join(texts).decode(errors="replace") + said.out + said.err
    assert "the_token_is_valid" in everything
    for part in (*token.split("."), secret["k"], "user-4711", "anna@shop.example"):
        assert part[:24] not in everything
    assert "<script>alert(1)" not in (tmp_path / "report/report.html").read_text()
    assert "\x1b]0" not in said.out


def test_tables_keep_hostile_text_inert(tmp_path, server, monkeypatch):
    publish(server, {"keys": [server.keys[0].as_dict(private=False) | {"kid": HOSTILE[2], "use": HOSTILE[2]}]})
    _, case = collected(tmp_path, server, monkeypatch, server.token(header={"kid": HOSTILE[2]}, iss=HOSTILE[2]))
    for table in (token_tests(case), issuer_keys(case)):
        assert "&lt;script&gt;" in table._repr_html_()
        assert "<script>" not in table._repr_html_()


@pytest.mark.parametrize("name", recorded.specimens())
def test_no_specimen_has_a_token(name):
    """Also not one of those that were written to a log, or sent with a request, while it was recorded."""
    assert not TOKEN.search(json.dumps(recorded.specimen(name)))

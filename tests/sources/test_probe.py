"""The way to an address, hop by hop: real servers on loopback, and faults at the wire."""

import re
import time
from contextlib import nullcontext
from datetime import timedelta

import pandas as pd
import pytest
from pydantic import ValidationError

from nl_forensics import checks
from nl_forensics.checks import run_checks
from nl_forensics.connect import open_link
from nl_forensics.errors import NotConfigured
from nl_forensics.finding import Status
from nl_forensics.inputs.platform import Budget, ProbeEndpoint
from tests.asking import ask, offenders
from tests.checks.test_kubernetes_checks import rows
from tests.investigation import Investigation
from tests.probing import CERTIFICATES, OURS, probe, problems
from tests.recorded import recorded_case
from tests.stack import faults as wire
from tests.stack.tls import serving

pytestmark = pytest.mark.usefixtures("trusted")


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
    assert time.monotonic() - began < 30  # some of them never end by themselves
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


# --- Clocks ----------------------------------------------------------------------------------------------------------


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


# --- In a case --------------------------------------------------------------------------------------------------------


def statuses(case):
    return {
        finding.check: finding.status for finding in checks.run_checks(case, ["04"]) if finding.check in names_of(OURS)
    }


def names_of(found):
    return {one.name for one in found}


def test_a_healthy_address_is_ok_in_a_case(authority, tmp_path):
    with serving(authority.chain("localhost")) as server:
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

"""How long requests take: asked of a real Prometheus with a written past, and judged by the rules."""

import pandas as pd
import pytest

from nl_forensics.checks.rule import Unseen
from tests.asking import ask, empty_table, incident, link, offenders
from tests.record.latency import SLOW, took
from tests.record.prometheus import past
from tests.record.services import GATEWAY, restarted
from tests.stack import prometheus
from tests.stack.history import QUICK

SERVICE = {"namespace": "neurallog-system", "service": "api-gateway"}
MOMENTS = pd.date_range("2026-11-25T02:00:00Z", periods=6, freq="15s")


@pytest.fixture
def fresh():
    with prometheus.start() as server:
        yield server


# --- Asking -----------------------------------------------------------------------------------------------------------


def test_quantiles_are_of_all_pods_together(fresh):
    """Half of the requests go to a pod that is slow: the quantile of the service is neither that of one pod nor their mean."""
    other = GATEWAY | {"instance": "10.0.0.2:8080", "pod": "api-gateway-2"}
    slow = dict.fromkeys(QUICK, 0.0) | {"5.0": 1.0, "10.0": 1.0}
    with (
        past(fresh, GATEWAY, *took((0, 5, QUICK), minutes=90)),
        past(fresh, other, *took((0, 5, slow), minutes=90)),
    ):
        opened = link("prometheus", fresh.url)
        found = {
            name: ask(opened, f"prom_latency_{name}").table[f"{name}_s"].median() for name in ("p50", "p95", "p99")
        }
    assert 0.05 <= found["p50"] <= 0.1
    assert 4.5 < found["p95"] < found["p99"] <= 5


def test_where_nothing_was_asked_there_is_no_quantile(fresh):
    with past(fresh, GATEWAY, *took((15, 5, QUICK), (0, 0, QUICK), minutes=90)):
        opened = link("prometheus", fresh.url)
        quantiles, requests = (ask(opened, name).table for name in ("prom_latency_p99", "prom_route_requests"))
    assert len(quantiles) < len(requests)
    assert quantiles.p99_s.notna().all()
    assert requests.requests_per_s.iloc[-1] == 0


def test_a_restart_is_no_spike(fresh):
    """Counters begin anew in a program that was started again."""
    shapes = zip(took((0, 5, QUICK), minutes=90), took((0, 5, QUICK), minutes=20), strict=True)
    begun_anew = [(name, restarted(20, before, after)) for (name, before), (_, after) in shapes]
    with past(fresh, GATEWAY, *begun_anew, minutes=90):
        opened = link("prometheus", fresh.url)
        assert ask(opened, "prom_route_requests").table.requests_per_s.between(4, 6).all()
        assert ask(opened, "prom_latency_p99").table.p99_s.max() <= 0.1


def test_routes_are_told_apart(fresh):
    quick, slow = took((0, 5, QUICK), route="/v1/logs", minutes=90), took((0, 1, SLOW), minutes=90)
    with past(fresh, GATEWAY, *quick, *slow, minutes=90):
        table = ask(link("prometheus", fresh.url), "prom_route_latency_p95").table
    by_route = table.groupby("route").p95_s.max()
    assert by_route["/v1/logs"] <= 0.1 < by_route["/v1/invoices"]


def test_a_hole_is_told(fresh):
    """Of whom nothing was scraped for ten minutes, nobody can say that it was quick."""
    shapes = [
        (name, lambda ago_s, value=value: None if 600 < ago_s < 1_500 else value(ago_s))
        for name, value in [("up", lambda ago_s: 1), *took((0, 5, QUICK), minutes=90)]
    ]
    with past(fresh, GATEWAY, *shapes, minutes=90):
        heard = ask(link("prometheus", fresh.url), "prom_route_requests", incident(40))
    assert any("no value from" in unseen for unseen in heard.unseen)


# --- Rules ------------------------------------------------------------------------------------------------------------


def quickness(p95, p99, per_s, before=None):
    """The tables of a rule, of one service over six steps; `before`: the same p95 in a baseline."""

    def table(window="incident", **columns):
        rows = pd.DataFrame({name: [value] * 6 for name, value in columns.items()})
        return rows.assign(window=window, at=MOMENTS, **SERVICE)

    route = {"route": "/v1/logs"}
    tables = [
        table(p99_s=p99),
        table(p95_s=p95),
        table(p95_s=p95).assign(**route),
        table(requests_per_s=per_s).assign(**route),
    ]
    if before is None:
        return tables
    earlier = [table("baseline", p95_s=before), table("baseline", requests_per_s=per_s).assign(**route)]
    return [pd.concat([tables[1], earlier[0]]), pd.concat([tables[3], earlier[1]])]


@pytest.mark.parametrize(
    ("p95", "p99", "per_s", "expected"),
    [
        (0.1, 2.9, 5, []),
        (0.1, 3.5, 5, ["medium"]),
        (3.1, 9.0, 5, ["high"]),
        (0.1, 9.0, 0.2, []),  # 60 requests: the slowest one is no percent of them
        (4.0, 9.0, 0.2, ["high"]),
        (9.0, 9.0, 0.05, []),  # 15 requests
    ],
)
def test_slow_services(p95, p99, per_s, expected):
    found = offenders("services_answer_quickly", *quickness(p95, p99, per_s))
    assert list(found.severity) == expected


def test_too_few_requests_are_told():
    (row,) = offenders("services_answer_quickly", *quickness(4.0, 9.0, 0.2)).to_dict("records")
    assert (row["quantile"], row["few"], row["took_s"]) == ("p95", ", too few for p99", 4.0)


@pytest.mark.parametrize(
    ("now", "before", "per_s", "found"),
    [
        (0.5, 0.05, 5, 1),
        (0.5, 0.3, 5, 0),  # not twice as long
        (0.2, 0.01, 5, 0),  # twenty times of nothing
        (0.5, 0.05, 0.05, 0),  # 15 requests
        (4.0, 0.05, 5, 0),  # that is too long for anybody, and told as such
    ],
)
def test_slower_than_before(now, before, per_s, found):
    assert len(offenders("services_are_as_fast_as_before", *quickness(now, now, per_s, before))) == found


def test_one_slow_step_is_no_trend():
    tables = quickness(0.05, 0.05, 5, 0.05)
    tables[0] = tables[0].reset_index(drop=True)
    tables[0].loc[2, "p95_s"] = 3.0
    assert offenders("services_are_as_fast_as_before", *tables).empty


@pytest.mark.parametrize(("now", "before", "found"), [(12, 4, 1), (7, 4, 0), (0.9, 0.1, 0), (5, 0, 0)])
def test_more_requests(now, before, found):
    def requests(window, per_s):
        return pd.DataFrame({"requests_per_s": [per_s] * 6, "at": MOMENTS}).assign(
            window=window, route="/v1/logs", **SERVICE
        )

    table = pd.concat([requests("incident", now), requests("baseline", before)])
    assert len(offenders("no_service_gets_many_more_requests", table)) == found


def lines(*requests):
    """A log: (request, took_ms, upstream_ms) of each line."""
    at = pd.Timestamp("2026-11-25T02:00:00Z")
    place = {
        "instance": "main",
        "asked_at": at,
        "namespace": "neurallog-system",
        "pod": "api-gateway-1",
        "container": "api-gateway",
        "workload": "api-gateway",
    }
    rows = [
        place | {"at": at + pd.Timedelta(seconds=n), "request": request, "took_ms": took_ms, "upstream_ms": upstream_ms}
        for n, (request, took_ms, upstream_ms) in enumerate(requests)
    ]
    return pd.concat([empty_table("k8s_logs"), pd.DataFrame(rows)], ignore_index=True)


def in_log(check, *requests):
    return offenders(check, empty_table("k8s_unhealthy_logs"), lines(*requests))


QUICKLY, SLOWLY, WAITING = (
    ("GET /v1/logs", 10.0, 5.0),
    ("GET /v1/invoices", 2000.0, 100.0),
    ("GET /v1/invoices", 2000.0, 1900.0),
)


@pytest.mark.parametrize(
    ("requests", "found"),
    [
        ([QUICKLY] * 50 + [SLOWLY] * 10, 1),
        ([QUICKLY] * 50 + [SLOWLY] * 3, 0),  # too few
        ([QUICKLY] * 50 + [("GET /health/live", 2000.0, 0.0)] * 10, 0),  # a probe
        ([QUICKLY] * 50 + [("GET /healthy-food", 2000.0, 0.0)] * 10, 1),
        ([("GET /v1/logs", 900.0, 5.0)] * 50, 0),  # all of the time, and not slow
        ([("GET /v1/logs", 900.0, 5.0)] * 50 + [SLOWLY] * 8 + [QUICKLY] * 10, 0),
    ],
)
def test_slow_routes(requests, found):
    assert len(in_log("no_slow_route_takes_most_of_the_time", *requests)) == found


@pytest.mark.parametrize(
    ("requests", "found"),
    [
        ([QUICKLY] * 50 + [WAITING] * 10, 1),
        ([QUICKLY] * 50 + [SLOWLY] * 10, 0),  # slow by itself
        ([QUICKLY] * 50 + [WAITING] * 4, 0),
    ],
)
def test_who_waits_for_others(requests, found):
    assert len(in_log("slow_answers_are_slow_by_themselves", *requests)) == found


def test_upstream_time_that_is_not_told_is_not_guessed():
    (row,) = in_log("no_slow_route_takes_most_of_the_time", *[("GET /v1/invoices", 2000.0, None)] * 10).to_dict(
        "records"
    )
    assert "does not record" in row["upstream"]
    with pytest.raises(Unseen, match="waiting for upstream"):
        in_log("slow_answers_are_slow_by_themselves", *[("GET /v1/invoices", 2000.0, None)] * 10)


@pytest.mark.parametrize("check", ["no_slow_route_takes_most_of_the_time", "slow_answers_are_slow_by_themselves"])
def test_logs_without_durations_prove_nothing(check):
    with pytest.raises(Unseen, match="no line of any log"):
        in_log(check, ("", None, None), ("GET /v1/logs", None, None))

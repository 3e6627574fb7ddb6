"""What services and log lines tell Prometheus: asked of a real one with a written past, judged by the rules, and drawn."""

from contextlib import contextmanager
from datetime import timedelta

import pandas as pd
import pytest

import tests.record.services as faults
from nl_forensics import checks, sources
from nl_forensics.charts import CHARTS
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import open_round
from nl_forensics.finding import Status
from tests.asking import ask, incident, link, offenders, platform, specimen_tables, steps
from tests.charts.test_charts import case_of
from tests.checks.test_specimens import WAYS
from tests.record.latency import took
from tests.record.prometheus import past, since
from tests.record.services import ACCEPTED, GATEWAY, LOG_SERVER, REQUESTS, STORED, growing
from tests.recorded import specimen
from tests.stack import history, prometheus
from tests.stack.history import QUICK

OWN = [one for one in sources.load().values() if one.about.startswith("metrics.")]
RULES = [
    one
    for one in checks.load().values()
    if {source.name for source in OWN} & set(one.needs) and not any(need.startswith("k8s_") for need in one.needs)
]
HOURS = timedelta(hours=2)
DATABASE_TIME = 'database_statement_seconds_sum{route="/v1/lines"}'


@pytest.fixture(scope="module")
def healthy():
    """A Prometheus with the past of a healthy NeuralLog."""
    with prometheus.start(history=history.healthy(2, instances=history.SERVICES)) as server:
        yield server


@pytest.fixture(scope="module")
def healthy_case(healthy, tmp_path_factory):
    return recorded(healthy, tmp_path_factory.mktemp("healthy"))


@pytest.fixture(scope="module")
def unseen_case(tmp_path_factory):
    """A service, and a tenant, of which nothing was scraped for a quarter of an hour, beside one that is well."""
    with beside_one_that_is_well(lambda ago_s: not 600 < ago_s < 1_500) as server:
        yield recorded(server, tmp_path_factory.mktemp("unseen"))


@pytest.fixture(scope="module")
def gone_case(tmp_path_factory):
    """One of which nothing was scraped in the whole incident."""
    with beside_one_that_is_well(lambda ago_s: ago_s > 2_400) as server:
        yield recorded(server, tmp_path_factory.mktemp("gone"))


@contextmanager
def beside_one_that_is_well(was_scraped):
    """Two services, each with a tenant; the first one was scraped at times."""
    times = {"python_gc_seconds_total": 0.01, DATABASE_TIME: 0.01}
    levels = {"up": 1, "database_pool_in_use": 2, "database_pool_size": 5, "database_pool_waiting": 0}
    inside = [(name, growing((0, per_s))) for name, per_s in times.items()]
    inside += [(name, since(90, level, level)) for name, level in levels.items()]

    def shapes(service, tenant):
        counters = (ACCEPTED, STORED, (REQUESTS % 200).replace("api-gateway", service))
        counted = [(name.replace("acme", tenant), growing((0, 5))) for name in counters]
        return [*counted, *inside, *took((0, 5, QUICK), service=service, minutes=90)]

    def at_times(value):
        return lambda ago_s: value(ago_s) if was_scraped(ago_s) else None

    sometimes = [(name, at_times(value)) for name, value in shapes("log-server", "acme")]
    always = shapes("api-gateway", "globex")
    with (
        prometheus.start() as server,
        past(server, LOG_SERVER, *sometimes, minutes=90),
        past(server, GATEWAY, *always, minutes=90),
    ):
        yield server


@pytest.fixture
def fresh():
    with prometheus.start() as server:
        yield server


def recorded(server, folder, **asked):
    """The case of the last half hour, with the half hour before as its baseline."""
    opened, asked_of = link("prometheus", server.url), incident(30, baseline_minutes=30)
    parameters = case_of(folder / "empty", {}).parameters
    parameters = parameters.model_copy(update={"incident": asked_of, "platform": platform(**asked)})
    step = open_round(folder / "case", parameters)
    for one in (one for one in OWN if one.applies(parameters.platform)):
        recording = step.record(one.name, "main")
        recording.write(list(one.ask(opened, asked_of, parameters.platform)))
        recording.close(asked_of.end.isoformat())
    step.finish()
    step.close()
    return Case(folder / "case")


# --- Asking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_healthy_platform_is_well(healthy_case, rule):
    assert [(finding.status, finding.because[:9]) for finding in checks.judge(rule, healthy_case)] == [
        (Status.OK, rule.rule[:9])
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_who_is_not_scraped_is_not_well(unseen_case, rule):
    (finding,) = checks.judge(rule, unseen_case)
    assert finding.status is Status.UNKNOWN
    assert "no value from" in finding.because


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_who_is_gone_since_the_baseline_is_not_well(gone_case, rule):
    (finding,) = checks.judge(rule, gone_case)
    assert finding.status is Status.UNKNOWN
    assert "which has values in the baseline" in finding.because


@pytest.mark.parametrize("worsen", WAYS, ids=[worsen.__name__[1:] for worsen in WAYS])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_bad_evidence_is_never_health(healthy_case, worsen, rule):
    for name in rule.needs:
        worse = Case(healthy_case.folder)
        worsen(worse, name)
        assert {(finding.status, finding.bug) for finding in checks.judge(rule, worse)} == {(Status.UNKNOWN, False)}, (
            name
        )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_nobody_is_asked_for_what_the_platform_does_not_count(healthy, tmp_path, rule):
    assert checks.judge(rule, recorded(healthy, tmp_path, metrics={})) == []


def test_who_was_scraped_and_never_asked_is_seen(healthy):
    """billing-service has no counter of requests before the first one: that is no gap."""
    heard = ask(link("prometheus", healthy.url), "prom_service_requests")
    rows = heard.table[heard.table.service == "billing-service"]
    assert heard.unseen == []
    assert len(rows) and (rows.requests_per_s == 0).all()


def test_probes_and_scrapes_are_no_requests(fresh):
    """They always succeed, or fail, for reasons of their own: 200 of them would hide 5 failures."""
    probes = REQUESTS.replace("/v1/logs", "/health")
    shapes = (probes % 200, growing((0, 50))), (REQUESTS % 503, growing((0, 5)))
    with past(fresh, GATEWAY, *shapes, minutes=90):
        table = ask(link("prometheus", fresh.url), "prom_service_requests").table
    assert set(table.status) == {"503"}


def test_a_restart_is_no_spike(fresh):
    begun_anew = faults.restarted(20, growing((0, 11)), growing((0, 11), minutes=20))
    with past(fresh, LOG_SERVER, (ACCEPTED, begun_anew), minutes=90):
        table = ask(link("prometheus", fresh.url), "prom_lines_accepted").table
    assert table.accepted_per_s.between(9, 12).all()


def test_names_are_those_of_the_platform_file(fresh):
    own = platform(metrics={"lines_accepted": "ingested_total"}, selectors={"lines": 'job="ingest"'})
    with past(
        fresh, {"job": "ingest", "instance": "a"}, ('ingested_total{tenant="acme"}', growing((0, 3))), minutes=90
    ):
        table = ask(link("prometheus", fresh.url), "prom_lines_accepted", platform_=own).table
    assert set(table.tenant) == {"acme"}


def test_a_name_that_nobody_counts_proves_nothing(fresh):
    """The service is scraped, and its counter is called otherwise: that is no service without errors, nor without requests."""
    with past(fresh, GATEWAY, ("up", since(90, 1)), ("requests_total", growing((0, 5))), minutes=90):
        for name in ("prom_service_requests", "prom_route_requests", "prom_route_time"):
            heard = ask(link("prometheus", fresh.url), name)
            assert heard.table.empty
            assert "no series of" in heard.unseen[0]


# --- Rules ------------------------------------------------------------------------------------------------------------


def test_the_restart_in_a_specimen_is_not_counted_as_loss():
    _, tables = specimen_tables("lines_wait")
    (row,) = offenders("what_is_accepted_is_stored", *tables.values()).to_dict("records")
    assert 0.6 * 6_600 < row["missing"] <= 6_600
    assert 8 <= (tables["prom_lines_stored"]["at"].max() - row["at"]).total_seconds() / 60 <= 11


def service(values, **columns):
    return steps(values, namespace="tenant-acme", service="log-server", **columns)


@pytest.mark.parametrize(
    ("up", "expected"),
    [
        ([1, 0, 0, 1, 1, 1], []),  # a rollout
        ([1, 0, 0, 0, 0, 1], ["critical"]),
        ([1, 0.5, 0.5, 0.5, 0.5, 1], ["high"]),
        ([0.5, 0.5, 0.5, 0.5, 0, 0], ["high"]),
    ],
)
def test_up(up, expected):
    assert list(offenders("every_service_answers_prometheus", service({"up_ratio": up})).severity) == expected


@pytest.mark.parametrize(
    ("per_s", "expected"),
    [
        ({"200": 9.0, "503": 1.0}, 1),
        ({"200": 9.6, "503": 0.4}, 0),  # below the limit
        ({"200": 9.0, "404": 5.0}, 0),  # the caller's
        ({"200": 0.01, "500": 0.01}, 0),  # 6 requests in 5 minutes
        ({"": 0.0}, 0),  # nobody asked
    ],
)
def test_errors(per_s, expected):
    table = service({"requests_per_s": [0.0] * 4}).merge(pd.DataFrame({"status": list(per_s)}), how="cross")
    table = table.assign(requests_per_s=table.status.map(per_s))
    assert len(offenders("services_answer_without_errors", table)) == expected


def both(accepted, stored):
    """Tables of what was taken in and what was stored, a minute a step."""
    table = steps({"accepted_per_s": accepted, "stored_per_s": stored}, 60, tenant="acme")
    known = table[table.stored_per_s.notna()]
    return table.drop(columns="stored_per_s"), known.drop(columns="accepted_per_s")


@pytest.mark.parametrize(
    ("accepted", "stored", "expected"),
    [
        ([10] * 30, [10] * 30, []),
        ([10] * 30, [12] * 10 + [10] * 20, []),  # a backlog drains
        ([10] * 30, [10] * 10 + [5] * 10 + [15] * 10, []),  # behind for a while, and caught up
        ([10] * 30, [10] * 20 + [0] * 10, ["high"]),
        ([10] * 30, [12] * 20 + [0] * 10, ["high"]),  # it drained a backlog first
        ([10] * 30, [9.5] * 30, ["medium"]),
        ([0.1] * 30, [0.0] * 30, ["high"]),
        ([0.01] * 30, [0.0] * 30, []),  # 18 lines
        ([10] * 30, [None] * 30, ["high"]),  # it never stored any, so that its counter was not born
        ([10] * 30, [10] * 10 + [None] * 10 + [10] * 10, []),  # a hole is no loss; the gap is told by the table
    ],
)
def test_accepted_and_stored(accepted, stored, expected):
    found = offenders("what_is_accepted_is_stored", *both(accepted, stored))
    assert list(found.severity) == expected


def lines(now, before=()):
    """Lines of one tenant, a minute a step, with a baseline two hours before."""
    tables = [steps({"accepted_per_s": list(now)}, 60, tenant="acme")]
    if before:
        earlier = steps({"accepted_per_s": list(before)}, 60, tenant="acme")
        tables.append(earlier.assign(window="baseline", at=earlier["at"] - HOURS))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ([10] * 20 + [0] * 10, [10] * 30, ["critical"]),
        ([10] * 27 + [0] * 3, [10] * 30, []),  # minutes only
        ([10] * 10 + [0] * 10 + [10] * 10, [10] * 30, ["critical"]),  # it came back
        ([10] * 20 + [0] * 10, [10] * 10 + [0] * 20, []),  # as it often is
        ([10] * 20 + [0] * 10, (), ["medium"]),
        ([0] * 30, (), []),  # who never sent anything
        ([0] * 30, [10] * 30, ["critical"]),
    ],
)
def test_silence(now, before, expected):
    assert list(offenders("log_lines_keep_coming", lines(now, before)).severity) == expected


def test_a_hole_is_no_silence():
    table = lines([10] * 10 + [0] * 4 + [0] * 4, [10] * 30)
    late = (table.window == "incident") & (table.index >= 14)
    table.loc[late, "at"] += timedelta(minutes=20)
    assert offenders("log_lines_keep_coming", table).empty


@pytest.mark.parametrize(("now", "before", "found"), [(2, 10, 1), (6, 10, 0), (0.001, 0.01, 0), (1, 0, 0)])
def test_fewer_lines(now, before, found):
    table = lines([now] * 30, [before] * 30)
    assert len(offenders("as_many_log_lines_come_as_before", table)) == found


# --- Charts -----------------------------------------------------------------------------------------------------------


def test_a_column_that_was_not_seen_does_not_look_well(healthy_case):
    """Prometheus tells of errors; nobody was asked about pods."""
    words = CHARTS["service_overview"](healthy_case).words
    assert "no fault in the data available. No data for: pods, endpoints, restarts." in words


def test_the_worst_service_is_on_top(tmp_path):
    answers = specimen("service_gone")["answers"]
    answers |= specimen("service_fails")["answers"]
    asked_at = min(answer["asked_at"] for answer in answers.values())
    words = CHARTS["service_overview"](case_of(tmp_path, answers, asked_at=asked_at)).words
    assert "1 of 1 services have a fault: neurallog-system · api-gateway (errors 20 %" in words
    assert "Prometheus 0 % up" in words


def test_a_sum_over_tenants_does_not_fall_where_one_was_not_seen(tmp_path):
    start = pd.Timestamp("2026-11-03T14:00:00Z")
    moments = [(start + timedelta(seconds=15 * n)).timestamp() for n in range(6)]

    def series(tenant, missing=()):
        values = [[at, "10"] for n, at in enumerate(moments) if n not in missing]
        return {"window": "incident", "step_s": 15, "metric": {"tenant": tenant}, "values": values}

    records = {"records": [series("acme"), series("globex", missing=(2, 3))]}
    chart = CHARTS["lines_taken_and_stored"](
        case_of(tmp_path, {"prom_lines_accepted": records, "prom_lines_stored": records})
    )
    drawn = [line.get_ydata() for axes in chart.figure.axes for line in axes.get_lines()]
    assert {value for values in drawn for value in values if value == value} == {20.0}

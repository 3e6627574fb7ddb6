"""What is used up: CPU, pools, the time of services; asked of a real Prometheus with a written past, and judged by the rules."""

from contextlib import contextmanager
from datetime import UTC, datetime

import pandas as pd
import pytest

import tests.record.saturation as faults
from nl_forensics import checks
from nl_forensics.charts import CHARTS
from nl_forensics.errors import ParameterError
from nl_forensics.inputs.parameters import resolve
from tests.asking import ask, empty_table, incident, link, offenders, platform, specimens, told_rows
from tests.charts.test_charts import case_of
from tests.charts.test_charts import series as of_chart
from tests.record.past import APPS, CONTAINER_SERIES, CONTAINERS, of_container
from tests.record.prometheus import KUBELET, past, since
from tests.record.saturation import CPU, POOL, REQUESTS, STATEMENTS, of_cpu
from tests.record.services import LOG_SERVER, growing, restarted
from tests.sources.test_prometheus import steps
from tests.stack import history, prometheus

OWN = [
    name for name, one in checks.load().items() if one.offenders.__module__ == "nl_forensics.checks.services.saturation"
]
CONTAINER = dict.fromkeys(("target", "namespace", "pod", "container"), "x")
SERVICE = {"namespace": "tenant-acme", "service": "log-server"}


@pytest.fixture
def fresh():
    with prometheus.start() as server:
        yield server


@contextmanager
def asked(server, target, *shapes, names=CPU):
    """What sources answer of a past, all of them at the same steps."""
    with past(server, target, *shapes, minutes=90):
        opened, of_all = link("prometheus", server.url), incident()
        yield {name: ask(opened, name, of_all) for name in names}


def found(check, heard, **limits):
    """What a rule says of answers."""
    return offenders(check, *(heard[name].table for name in checks.load()[check].needs), **limits)


# --- CPU: asking --------------------------------------------------------------------------------------------------------


def test_a_healthy_past_of_containers():
    with prometheus.start(history=history.healthy(2, instances=[(CONTAINERS, CONTAINER_SERIES)])) as server:
        opened = link("prometheus", server.url)
        of_all = incident(30, baseline_minutes=30)
        heard = {name: ask(opened, name, of_all) for name in CPU}
    for each in heard.values():
        assert each.unseen == []
        assert set(each.table.container) == set(APPS)
    assert heard["prom_cpu_throttled"].table.throttled_ratio.between(0.004, 0.006).all()
    assert set(heard["prom_cpu_limit"].table.limit_cores) == {0.5}


def test_without_a_limit_nobody_is_held_back_and_that_is_known(fresh):
    """No CPU limits at all is a usual choice: it must not be an unknown for ever."""
    with asked(fresh, KUBELET, *of_cpu(growing((0, 0)), growing((0, 3)), limit=None)) as heard:
        assert [each.unseen for each in heard.values()] == [[], [], []]
        assert set(heard["prom_cpu_throttled"].table.throttled_ratio) == {0}
        assert set(heard["prom_cpu_limit"].table.limit_cores) == {0}
        assert found("containers_stayed_below_their_cpu_limit", heard).empty


def test_whoever_wants_no_cpu_is_not_held_back(fresh):
    """The kernel counts no periods then: nothing divided by nothing is no hole."""
    with past(fresh, KUBELET, *((name, since(99, 7, 7)) for name, _ in of_cpu(None, None)), minutes=90):
        heard = ask(link("prometheus", fresh.url), "prom_cpu_throttled", incident(30))
    assert set(heard.table.throttled_ratio) == {0}


def test_a_counter_that_begins_anew_is_no_spike(fresh):
    """The container was started again: all its counters fell to nothing."""

    def anew(per_s):
        return restarted(20, growing((0, per_s)), growing((0, per_s), minutes=20))

    with asked(fresh, KUBELET, *of_cpu(anew(1), anew(0.1), periods=anew(10))) as heard:
        assert heard["prom_cpu_throttled"].table.throttled_ratio.between(0.05, 0.15).all()
        assert heard["prom_cpu_used"].table.used_cores.between(0.05, 0.15).all()


def test_a_container_that_is_young_is_held_back_while_it_starts(fresh):
    """For some minutes after its start, as most are."""
    young = [
        (name, lambda ago_s, shape=shape: shape(ago_s) if ago_s < 1200 else None)
        for name, shape in of_cpu(growing((18, 8), (0, 0), minutes=20), growing((0, 0.1), minutes=20))
    ]
    others = of_cpu(growing((0, 0)), growing((0, 0.1)), app="auth-service")
    with asked(fresh, KUBELET, *young, *others) as heard:
        assert heard["prom_cpu_throttled"].table.throttled_ratio.max() > 0.25
        assert [each.unseen for each in heard.values()] == [[], [], []]
        assert found("no_container_is_throttled", heard).empty


def test_a_limit_that_only_kube_state_metrics_tells(fresh):
    labels = '{namespace="neurallog-system",pod="api-gateway-7d9c5f4b6d-x2x4q",container="api-gateway",resource="cpu"}'
    used = (of_container("container_cpu_usage_seconds_total", "api-gateway"), growing((0, 0.49)))
    state = {"job": "kube-state-metrics", "instance": "10.0.0.9:8080"}
    with (
        past(fresh, state, (f"kube_pod_container_resource_limits{labels}", since(99, 0.5, 0.5)), minutes=90),
        asked(fresh, KUBELET, used, names=CPU[1:]) as heard,
    ):
        assert set(heard["prom_cpu_limit"].table.limit_cores) == {0.5}
        assert set(heard["prom_cpu_limit"].table.target) == {"worker-1"}
        assert len(found("containers_stayed_below_their_cpu_limit", heard)) == 1


def test_whoever_is_held_back_for_long_is_told_beside_those_who_are_for_a_moment(fresh):
    """Five containers at most, of each node: a moment of many must not hide the one that matters, though it uses little."""
    shapes = of_cpu(growing((0, 3)), growing((0, 0.001)), app="billing-service")
    for number in range(8):
        moment = growing((22, 0), (19, 10), (0, 0))
        shapes += of_cpu(moment, growing((0, 0.1)), app=f"job-{number}")
    with asked(fresh, KUBELET, *shapes) as heard:
        assert set(found("no_container_is_throttled", heard).container) == {"billing-service"}


# --- CPU: rules ---------------------------------------------------------------------------------------------------------


def cpu(throttled, used=0.1, limit=0.5, step_s=60):
    """The three tables of one container."""
    table = steps({"throttled_ratio": throttled}, step_s, **CONTAINER)
    whole = table.drop(columns="throttled_ratio")
    return table, whole.assign(used_cores=used), whole.assign(limit_cores=limit)


@pytest.mark.parametrize(
    ("throttled", "used", "expected"),
    [
        ([0] * 15 + [0.4] * 15, 0.1, ["medium"]),  # in bursts
        ([0] * 15 + [0.4] * 15, 0.45, ["high"]),
        ([0.2] * 30, 0.45, []),  # below the limit
        ([0.4] * 9 + [0] * 21, 0.1, []),  # not for long enough: 8 minutes and the 5 before
        ([0] * 29 + [0.9], 0.1, []),  # one step
        ([0.4, 0] * 15, 0.1, []),  # again and again, never for long
        ([0.4] * 6, 0.1, ["medium"]),  # all of a short incident
        ([0] + [0.4] * 5, 0.1, ["medium"]),  # most of it
        ([0.4] * 3 + [0] * 3, 0.1, []),
    ],
)
def test_throttling(throttled, used, expected):
    assert list(offenders("no_container_is_throttled", *cpu(throttled, used)).severity) == expected


def test_what_was_in_a_hole_is_not_known():
    """Held back before it and after it: that is no run of a quarter of an hour."""
    table, used, limit = cpu([0.4] * 8 + [0.1] * 12 + [0.4] * 8)
    assert offenders("no_container_is_throttled", table[table.throttled_ratio > 0.2], used, limit).empty


def test_throttling_is_a_problem_where_use_is_not_known():
    table, used, limit = cpu([0.4] * 30)
    assert list(offenders("no_container_is_throttled", table, used.head(0), limit.head(0)).severity) == ["medium"]


def test_the_baseline_is_not_judged():
    tables = [table.assign(window="baseline") for table in cpu([0.9] * 30, 0.5)]
    assert offenders("no_container_is_throttled", *tables).empty
    assert offenders("containers_stayed_below_their_cpu_limit", *tables[1:]).empty


@pytest.mark.parametrize(
    ("used", "limit", "expected"),
    [
        ([0.48] * 30, 0.5, 1),
        ([0.44] * 30, 0.5, 0),
        ([0.48] * 30, 0, 0),  # it has no limit
        ([0.1] * 22 + [0.48] * 8, 0.5, 0),  # not for long enough
        ([0.1] * 29 + [0.5], 0.5, 0),  # one step
    ],
)
def test_cpu_near_its_limit(used, limit, expected):
    _, table, limits = cpu([0] * 30, limit=limit)
    assert len(offenders("containers_stayed_below_their_cpu_limit", table.assign(used_cores=used), limits)) == expected


# --- Garbage ------------------------------------------------------------------------------------------------------------


def gc(during, before=()):
    """The table of one service, a minute a step."""
    tables = [steps({"gc_ratio": list(during)}, 60, **SERVICE)]
    tables += [steps({"gc_ratio": list(before)}, 60, **SERVICE).assign(window="baseline")] if before else []
    return pd.concat(tables)


@pytest.mark.parametrize(
    ("during", "expected"),
    [
        ([0.01] * 20 + [0.2] * 10, ["medium"]),
        ([0.01] * 20 + [0.4] * 10, ["high"]),
        ([0.08] * 30, []),
        ([0.01] * 26 + [0.4] * 4, []),  # not for long enough
        ([0.01] * 29 + [0.9], []),  # one step
    ],
)
def test_garbage(during, expected):
    assert list(offenders("services_spend_little_time_on_garbage", gc(during)).severity) == expected


def test_what_is_usual_is_told():
    (row,) = offenders("services_spend_little_time_on_garbage", gc([0.2] * 30, [0.15] * 30)).to_dict("records")
    assert row["usual"] == "at most 15 % in the baseline"


@pytest.mark.parametrize(
    "metric",
    [
        'nodejs_gc_duration_seconds_sum{kind="major"}',
        'jvm_gc_pause_seconds_sum{action="end of major GC"}',
        "python_gc_seconds_total",
    ],
)
def test_the_usual_runtimes_are_known(fresh, metric):
    with asked(fresh, LOG_SERVER, (metric, growing((0, 0.2))), names=("prom_gc_time",)) as heard:
        assert heard["prom_gc_time"].unseen == []
        assert heard["prom_gc_time"].table.gc_ratio.between(0.19, 0.21).all()


def test_of_several_pods_the_worst_counts(fresh):
    other = LOG_SERVER | {"instance": "10.0.0.7:8080", "pod": "log-server-7"}
    name = ("prom_gc_time",)
    with (
        past(fresh, other, ("python_gc_seconds_total", growing((0, 0.01))), minutes=90),
        asked(fresh, LOG_SERVER, ("python_gc_seconds_total", growing((0, 0.3))), names=name) as heard,
    ):
        assert heard["prom_gc_time"].table.gc_ratio.between(0.29, 0.31).all()


def test_who_tells_nothing_of_garbage_is_named_with_the_names_that_were_looked_for(fresh):
    heard = ask(link("prometheus", fresh.url), "prom_gc_time")
    assert heard.unseen[0].startswith("incident: no series of nodejs_gc_duration_seconds_sum|jvm_gc_pause")


# --- Pools --------------------------------------------------------------------------------------------------------------


def pool(in_use, size, waiting, step_s=15):
    """The three tables of one pod's pool."""
    table = steps({"in_use": in_use, "size": size, "waiting": waiting}, step_s, target="10.0.0.6:8080", **SERVICE)
    names = ("in_use", "size", "waiting")
    return [table.drop(columns=[other for other in names if other != name]) for name in names]


@pytest.mark.parametrize(
    ("in_use", "waiting", "expected"),
    [
        ([2] * 10 + [10] * 10, [0] * 10 + [3] * 10, 1),
        ([10] * 20, [0] * 20, 0),  # full, and enough
        ([5] * 20, [1] * 20, 0),  # whoever waits is about to open one
        ([2] * 17 + [10] * 3, [0] * 17 + [3] * 3, 0),  # a moment
        ([10] * 20, [3, 0] * 10, 1),  # whenever one looks twice
        ([10] * 20, [3, 0, 0, 0] * 5, 0),  # moments
        ([2] * 19 + [10], [0] * 19 + [3], 0),  # one step
        ([10] * 3, [3] * 3, 1),  # all of a short incident
    ],
)
def test_pools(in_use, waiting, expected):
    found = offenders("no_connection_pool_is_exhausted", *pool(in_use, 10, waiting))
    assert len(found) == expected


def test_a_full_pool_of_one_pod_is_not_hidden_by_the_others(fresh):
    gauges = ("database_pool_in_use", "database_pool_size", "database_pool_waiting")

    def shapes(*levels):
        return [(name, since(99, level, level)) for name, level in zip(gauges, levels, strict=True)]

    other = LOG_SERVER | {"instance": "10.0.0.7:8080", "pod": "log-server-7"}
    with (
        past(fresh, other, *shapes(0, 10, 0), minutes=90),
        asked(fresh, LOG_SERVER, *shapes(10, 10, 4), names=POOL) as heard,
    ):
        (row,) = found("no_connection_pool_is_exhausted", heard).to_dict("records")
    assert (row["target"], row["waiting"]) == ("10.0.0.6:8080", 4)


def test_a_service_without_a_pool_has_none(fresh):
    """Its size is 0: nothing of nothing is in use."""
    gauges = [
        ("database_pool_in_use", since(99, 0)),
        ("database_pool_size", since(99, 0)),
        ("database_pool_waiting", since(99, 0)),
    ]
    with asked(fresh, LOG_SERVER, *gauges, names=POOL) as heard:
        assert all(each.table.empty for each in heard.values())


# --- The database's share -----------------------------------------------------------------------------------------------


def times(waiting, busy, before=None):
    """The two tables of one service, a minute a step; `before`: both in the baseline."""
    now = steps({"waiting_per_s": waiting, "busy_per_s": busy}, 60, **SERVICE)
    if before:
        rows = steps({"waiting_per_s": [before[0]] * 30, "busy_per_s": [before[1]] * 30}, 60, **SERVICE)
        now = pd.concat([now, rows.assign(window="baseline", at=rows["at"] - pd.Timedelta(hours=2))])
    return now.drop(columns="busy_per_s"), now.drop(columns="waiting_per_s")


@pytest.mark.parametrize(
    ("waiting", "busy", "before", "expected"),
    [
        ([0.4] * 30, [0.5] * 30, None, ["note"]),  # nothing to compare with
        ([0.4] * 30, [0.5] * 30, (0.4, 0.5), ["note"]),  # as always
        ([0.8] * 30, [1.0] * 30, (0.4, 0.5), ["note"]),  # twice the requests
        ([0.4] * 30, [0.5] * 30, (0.05, 0.15), ["medium"]),
        ([0.02] * 15 + [0.4] * 15, [0.1] * 15 + [0.5] * 15, (0.02, 0.1), ["medium"]),
        ([0.04] * 30, [0.05] * 30, (0.04, 0.2), ["note"]),  # the rest became faster
        ([0.2] * 30, [0.5] * 30, (0.01, 0.3), []),  # not the most
        ([0.001] * 30, [0.0011] * 30, (0.0001, 0.001), []),  # seconds in all
        ([0.02] * 29 + [0.4], [0.2] * 29 + [0.5], (0.02, 0.2), []),  # one step
        ([0.0] * 30, [0.0] * 30, (0.02, 0.2), []),  # nobody asked
    ],
)
def test_the_database_in_the_time_of_requests(waiting, busy, before, expected):
    found = offenders("services_wait_little_for_the_database", *times(waiting, busy, before))
    assert list(found.severity) == expected


def test_how_much_it_was_before_is_told():
    (row,) = offenders("services_wait_little_for_the_database", *times([0.4] * 30, [0.5] * 30, (0.05, 0.25))).to_dict(
        "records"
    )
    assert (row["database_ratio"], row["usual"]) == (pytest.approx(0.8), "20 % in the baseline")


def test_work_in_the_background_is_no_time_of_requests(fresh):
    shapes = [
        ("up", since(99, 1)),
        (REQUESTS, growing((0, 0.1))),
        (STATEMENTS, growing((0, 0.02))),
        (STATEMENTS.replace("/v1/lines", "background"), growing((0, 0.9))),
        (STATEMENTS.replace("/v1/lines", "/health"), growing((0, 0.9))),
    ]
    names = ("prom_database_time", "prom_route_time")
    with asked(fresh, LOG_SERVER, *shapes, names=names) as heard:
        assert heard["prom_database_time"].table.waiting_per_s.between(0.018, 0.022).all()


def test_a_route_that_is_asked_for_the_first_time_leaves_no_gap(fresh):
    """Its counters are born in the middle of the incident; who was scraped before that had nothing to count."""

    def born(per_s):
        return lambda ago_s: growing((0, per_s), minutes=10)(ago_s) if ago_s < 600 else None

    names = ("prom_database_time", "prom_route_time")
    shapes = [("up", since(99, 1)), (REQUESTS, born(0.1)), (STATEMENTS, born(0.02))]
    with asked(fresh, LOG_SERVER, *shapes, names=names) as heard:
        assert [each.unseen for each in heard.values()] == [[], []]
        assert heard["prom_route_time"].table.busy_per_s.min() == 0


def test_a_name_that_counts_nothing_is_no_proof_that_nobody_waited(fresh):
    """The service is scraped, and has no such counter."""
    with asked(fresh, LOG_SERVER, ("up", since(99, 1)), names=("prom_database_time",)) as heard:
        assert heard["prom_database_time"].table.empty
        assert "no series of database_statement_seconds_sum" in heard["prom_database_time"].unseen[0]


# --- Charts -------------------------------------------------------------------------------------------------------------

MOMENT = datetime(2026, 11, 3, 14, 0, tzinfo=UTC)


def said(chart, folder, labels, **values):
    """What a chart says of these series of the incident, a sample every 15 s, each under the name of its table."""
    answers = {name: {"records": [of_chart("incident", MOMENT, shown, **labels)]} for name, shown in values.items()}
    return CHARTS[chart](case_of(folder, answers)).words


def test_a_chart_of_use_leaves_out_who_has_no_limit(tmp_path):
    labels = {"instance": "worker-1", "namespace": "shop", "container": "api", "pod": "api-1"}
    used = {"prom_cpu_used": [0.1, 0.45, 0.2]}
    words = said("cpu_of_limit", tmp_path / "limit", labels, **used, prom_cpu_limit=[0.5] * 3)
    assert "highest 90 % at 2026-11-03 14:00:15 UTC in the incident" in words
    words = said("cpu_of_limit", tmp_path / "none", labels, **used, prom_cpu_limit=[0] * 3)
    assert "None of the containers that were measured has a CPU limit" in words


@pytest.mark.parametrize(
    ("waiting", "told"),
    [
        ([0, 0, 0], "No request waited for a connection in the incident window."),
        (
            [0, 7, 2],
            "Most requests waiting for a connection in the incident window: shop · api · 10.0.0.1:8080: 7 at 14:00:15 UTC.",
        ),
    ],
)
def test_a_chart_of_pools_tells_who_waited(tmp_path, waiting, told):
    labels = {"instance": "10.0.0.1:8080", "namespace": "shop", "service": "api"}
    pool = {"prom_pool_in_use": [2, 5, 5], "prom_pool_size": [5] * 3, "prom_pool_waiting": waiting}
    words = said("pools_over_time", tmp_path, labels, **pool)
    assert "highest 100 % at 2026-11-03 14:00:15 UTC in the incident" in words
    assert words.endswith(told)


def test_a_service_that_nobody_asks_has_no_share(tmp_path):
    labels = {"namespace": "shop", "service": "api"}
    words = said("database_share", tmp_path, labels, prom_database_time=[0, 0, 0.2], prom_route_time=[0, 0, 0.4])
    assert "highest 50 % at 2026-11-03 14:00:30 UTC" in words


# --- All of them --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", specimens(faults.__name__))
def test_words_of_a_specimen(name):
    assert len(told_rows(name)) == 1


@pytest.mark.parametrize("name", OWN)
def test_nothing_is_found_in_nothing(name):
    assert offenders(name, *(empty_table(table) for table in checks.CHECKS[name].needs)).empty


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ({"pool_in_use": "a", "pool_size": "b"}, "name all three, or none"),
        ({"database_seconds": "a"}, "database_seconds needs request_seconds"),
    ],
)
def test_names_that_belong_together(metrics, says):
    values = platform().model_dump(mode="json") | {"metrics": metrics}
    with pytest.raises(ParameterError, match=says):
        resolve({"incident": {"id": "test", "start": "2026-01-01T00:00Z"}, "platform": values})

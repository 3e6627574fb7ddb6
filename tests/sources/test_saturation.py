"""What is used up: CPU, pools, the time of services; asked of a real Prometheus with a written past."""

from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from nl_forensics import checks
from nl_forensics.charts import CHARTS
from nl_forensics.errors import ParameterError
from nl_forensics.inputs.parameters import resolve
from tests.asking import ask, incident, link, offenders, platform
from tests.charts.test_charts import case_of
from tests.charts.test_charts import series as of_chart
from tests.record.past import APPS, CONTAINER_SERIES, CONTAINERS, of_container
from tests.record.prometheus import KUBELET, past, since
from tests.record.saturation import CPU, POOL, REQUESTS, STATEMENTS, of_cpu
from tests.record.services import LOG_SERVER, growing, restarted
from tests.stack import history, prometheus


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


# --- CPU ----------------------------------------------------------------------------------------------------------------


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


# --- Garbage ------------------------------------------------------------------------------------------------------------


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

"""What watches the platform: Prometheus itself, a real Alertmanager, and a server that speaks the API of Grafana."""

import json
import time

import pandas as pd
import pytest

from nl_forensics import checks
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable
from nl_forensics.sources.grafana import metrics_in
from tests.asking import ask, incident, link, offenders
from tests.record.prometheus import counting, past, since
from tests.stack import alertmanager, prometheus
from tests.stack import faults as wire
from tests.stack.grafana import TOKEN, grafana, panel
from tests.stack.history import ALERTMANAGER, PROMETHEUS, REDIS
from tests.stack.prometheus import Target
from tests.stack.rules import RULES

MONITORING = [name for name, one in checks.load().items() if one.section == "10"]
WITHIN_S = 30


def eventually(holds):
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# --- Prometheus itself ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watcher():
    with alertmanager.start() as told:
        more = {"external_labels": {"cluster": "eu-1"}, "alertmanagers": [told.port]}
        with prometheus.start([Target(**ALERTMANAGER, port=told.port)], rules=RULES, **more) as server:
            server.wait_for("prometheus_tsdb_head_series")
            server.wait_for("alertmanager_config_last_reload_successful")
            server.wait_for("count_over_time(prometheus_rule_group_iterations_missed_total[1m]) > 3")
            opened = link("prometheus", server.url)
            eventually(lambda: ask(opened, "prom_server").table.alertmanagers[0] == 1)
            yield opened


def test_the_server(watcher):
    [row] = ask(watcher, "prom_server").table.to_dict("records")
    assert (row["reload_succeeded"], row["corruptions"], row["alertmanagers"]) == (True, 0, 1)
    assert abs(row["loaded_at"] - row["started_at"]) < pd.Timedelta(minutes=1)
    assert json.loads(row["external_labels"]) == {"cluster": "eu-1"}


def test_of_the_configuration_only_the_external_labels_are_kept(watcher):
    """It names hosts, users and files with passwords."""
    assert "scrape" not in ask(watcher, "prom_server").text


def test_cardinality(watcher):
    table = ask(watcher, "prom_cardinality").table
    assert set(table.kind) == {"metric", "label", "pair"}
    assert (table.groupby("kind").size() <= 10).all()


def test_names_of_metrics(watcher):
    names = set(ask(watcher, "prom_metric_names", incident(1)).table.metric)
    assert {"up", "prometheus_tsdb_head_series"} <= names


def test_targets_have_addresses(watcher):
    assert ask(watcher, "prom_targets").table.address.str.startswith("127.0.0.1:").all()


OWN = [
    "prom_up",
    "prom_scrape_age",
    "prom_rule_failures",
    "prom_rule_skips",
    "prom_head_series",
    "prom_undelivered_alerts",
    "prom_notification_failures",
    "prom_alertmanager_reload",
]


@pytest.mark.parametrize("name", OWN)
def test_they_have_every_series(watcher, name):
    """The names are those of Debian's Prometheus 2.42 and Alertmanager 0.25."""
    heard = ask(watcher, name, incident(minutes=0.5))
    assert len(heard.table)
    assert not any("no series" in unseen for unseen in heard.unseen)


@pytest.fixture
def own():
    with prometheus.start(rules=RULES) as server:
        yield server


def test_a_reset_gives_no_spike(own):
    """Prometheus was restarted: its counters begin at zero, its memory is filled anew."""
    failures = 'prometheus_rule_evaluation_failures_total{rule_group="rules.json;platform"}'
    shapes = ((failures, since(12, 3, before=9_000)), ("prometheus_tsdb_head_series", since(12, 2_000, before=60_000)))
    with past(own, PROMETHEUS, *shapes):
        opened = link("prometheus", own.url)
        failed, held = (ask(opened, name).table for name in ("prom_rule_failures", "prom_head_series"))
    assert len(failed)
    assert failed.failures.max() < 10
    assert offenders("series_do_not_multiply", held).empty


def test_a_hole_in_a_series_is_a_gap(own):
    with past(own, REDIS, ("up", lambda ago_s: None if 300 < ago_s < 1200 else 1)):
        heard = ask(link("prometheus", own.url), "prom_up")
    assert any("redis-0:9121" in unseen for unseen in heard.unseen)


def test_a_target_that_came_and_one_that_went_are_no_gap(own):
    with past(own, REDIS, ("up", lambda ago_s: 1 if ago_s > 600 else None)):
        heard = ask(link("prometheus", own.url), "prom_up")
    assert heard.unseen == []


def test_failures_are_told_by_the_name_of_the_group(own):
    series = 'prometheus_rule_evaluation_failures_total{rule_group="/etc/prometheus/rules/a.yml;hourly"}'
    with past(own, PROMETHEUS, (series, counting(12, 1))):
        table = ask(link("prometheus", own.url), "prom_rule_failures").table
    assert "hourly" in set(table.group)


# --- Alertmanager -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alarm():
    with alertmanager.start() as server:
        yield server


@pytest.fixture(scope="module")
def opened(alarm):
    return link("alertmanager", alarm.url)


def test_who_answers(opened):
    assert opened.identity == {"version": "0.25.0"}
    assert abs(opened.clock.offset_s) <= opened.clock.error_s + 0.1


def test_it_settles(alarm, opened):
    eventually(lambda: ask(opened, "am_status").table.cluster_status[0] == "ready")
    status = ask(opened, "am_status").table
    assert status.peers[0] == 1
    assert offenders("alertmanager_is_ready", status).empty


def test_alerts_and_silences(alarm, opened):
    alarm.post_alerts({"alertname": "RedisDown", "severity": "critical"}, {"alertname": "Noise", "severity": "info"})
    alarm.silence("anna@neurallog.example", "call +49 170 1234567, token=glsa_0123456789abcdef0123", alertname="Noise")
    eventually(lambda: "suppressed" in set(ask(opened, "am_alerts").table.state))
    alerts = ask(opened, "am_alerts").table.set_index("alert")
    assert alerts.state.to_dict() == {"RedisDown": "active", "Noise": "suppressed"}
    heard = ask(opened, "am_silences")
    [silence] = heard.table.to_dict("records")
    assert alerts.silenced_by["Noise"] == silence["silence"]
    assert silence["state"] == "active"
    assert "anna@" not in heard.text
    assert "0123456789abcdef" not in heard.text


def test_an_empty_list_is_proven():
    with alertmanager.start() as server:
        for name in ("am_alerts", "am_silences"):
            heard = ask(link("alertmanager", server.url), name)
            assert heard.table.empty
            assert heard.proof


@pytest.mark.parametrize("system", ["alertmanager", "grafana"])
def test_addresses(system):
    with pytest.raises(NotConfigured):
        link(system, "127.0.0.1:9093")
    with pytest.raises(NotReachable, match="refused"):
        link(system, f"http://127.0.0.1:{wire.closed_port()}")
    with wire.silent() as port, pytest.raises(NotReachable, match="timed out"):
        link(system, f"http://127.0.0.1:{port}", budget={"connect_s": 1})


@pytest.mark.parametrize("system", ["alertmanager", "grafana"])
def test_another_server_is_told_from_it(system, watcher):
    with pytest.raises(BadAnswer):
        link(system, watcher._url)


# --- Grafana ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(watcher):
    with grafana(watcher._url) as server:
        yield server


def test_sources_and_their_health(shown):
    opened = link("grafana", shown.url)
    [source] = ask(opened, "grafana_datasources").table.to_dict("records")
    assert (source["uid"], source["type"], source["health"]) == ("prometheus", "prometheus", "OK")
    assert not any(part.isdigit() for path in shown.asked for part in path.split("/")), "asked by number"


def test_what_dashboards_ask_for(shown):
    shown.dashboards["x"] = {
        "uid": "x",
        "title": "Logs",
        "panels": [panel("Lines", "rate({app='api'}[5m])") | {"datasource": {"type": "loki", "uid": "loki"}}],
    }
    table = ask(link("grafana", shown.url), "grafana_queries").table
    assert set(table.panel) == {"Connections", "Log queue", "Up"}  # also one in a row that is folded
    assert set(table.metric) == {"pg_stat_activity_count", "pg_settings_max_connections", "redis_key_size", "up"}
    assert set(table.datasource) == {"prometheus", ""}  # a variable chooses


def test_without_its_database_it_still_answers(shown):
    shown.database = "failing"
    assert ask(link("grafana", shown.url), "grafana_health").table.database[0] == "failing"


def test_a_wrong_token(shown):
    opened = link("grafana", shown.url.replace(TOKEN, "glsa_of-last-year"))
    with pytest.raises(NotAllowed):
        ask(opened, "grafana_datasources")


@pytest.mark.parametrize(
    ("expression", "metrics"),
    [
        ('sum by (job) (rate(http_requests_total{code=~"5..", job="$job"}[5m])) / on (job) group_left (x) up', 2),
        ("histogram_quantile(0.9, sum(rate(latency_bucket[$__rate_interval])) by (le))", 1),
        ("${metric}_total + requests_$kind", 0),
        ('{__name__="up", zone="a"} > bool 5', 1),
        ('up offset 5m # as (before) yesterday\n or label_replace(down, "a", "b{c}", "", "")', 2),
        ("time() - 1e3 * Inf", 0),
        ("node:cpu:ratio{} and on () vector(1) unless absent(x_total)", 2),
    ],
)
def test_names_in_promql(expression, metrics):
    assert len(metrics_in(expression)) == metrics

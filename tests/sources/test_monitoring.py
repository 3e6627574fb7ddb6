"""What watches the platform: Prometheus itself, a real Alertmanager, and a server that speaks the API of Grafana."""

import json
import time

import pandas as pd
import pytest

import tests.record.monitoring as faults
from nl_forensics import checks
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable
from nl_forensics.sources.grafana import metrics_in
from tests.asking import ask, empty_table, incident, link, offenders, specimens, told_rows
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


# --- Silences ---------------------------------------------------------------------------------------------------------

NOW = pd.Timestamp.now("UTC").floor("s")


def minutes_ago(number):
    return NOW - pd.Timedelta(minutes=number)


def history(severity="critical", first=20, last=5, **labels):
    row = {
        "window": "incident",
        "alert": "RedisDown",
        "state": "firing",
        "severity": severity,
        "labels": json.dumps(labels),
    }
    return pd.DataFrame([row | {"at": minutes_ago(first), "until": minutes_ago(last)}])


def silence(*matchers, first=60, last=-60, state="active"):
    told = [{"name": n, "value": v, "isRegex": r, "isEqual": e} for n, v, r, e in matchers]
    row = {"silence": "1", "state": state, "by": "anna", "comment": "", "matchers": json.dumps(told)}
    return pd.DataFrame([row | {"at": minutes_ago(first), "until": minutes_ago(last)}])


SERVER = pd.DataFrame([{"external_labels": json.dumps({"cluster": "eu-1"})}])


@pytest.mark.parametrize(
    ("matchers", "hidden"),
    [
        ([("alertname", "RedisDown", False, True)], True),
        ([("alertname", "Redis", True, True)], False),  # a regular expression is for the whole value
        ([("alertname", "Redis.*", True, True)], True),
        ([("alertname", "RedisDown", False, True), ("zone", "b", False, True)], False),
        ([("zone", "b", False, False)], True),
        ([("cluster", "eu-1", False, True)], True),  # a label that Prometheus adds when it sends
        ([("cluster", "eu-2", False, True)], False),
        ([("team", "", False, True)], True),  # a label that it has not
    ],
)
def test_what_a_silence_hides(matchers, hidden):
    rows = offenders("no_silence_hides_an_alert", history(zone="a"), silence(*matchers), SERVER)
    assert len(rows) == hidden


@pytest.mark.parametrize(
    ("when", "hidden"),
    [
        ({"first": 60, "last": 30}, False),  # over before the alert
        ({"first": 4}, False),  # made after it
        ({"first": 10, "last": 8, "state": "expired"}, True),
        ({"first": -5, "state": "pending"}, False),
    ],
)
def test_when_a_silence_hides(when, hidden):
    rows = offenders("no_silence_hides_an_alert", history(), silence(("alertname", ".+", True, True), **when), SERVER)
    assert len(rows) == hidden


@pytest.mark.parametrize(
    ("severity", "expected"), [("critical", "high"), ("warning", "medium"), ("", "medium"), ("none", "note")]
)
def test_how_bad_a_silence_is(severity, expected):
    rows = offenders(
        "no_silence_hides_an_alert", history(severity), silence(("alertname", "RedisDown", False, True)), SERVER
    )
    assert list(rows.severity) == [expected]


# --- Scraping, by hand ------------------------------------------------------------------------------------------------

REDIS_TARGET = {"job": "redis", "target": "redis-0:9121"}
OTHER = {"job": "postgres", "target": "postgres-0:9187"}


def steps(values, step_s=15, **columns):
    """A series over the incident: a value a step, None where there is none."""
    rows = [
        {"window": "incident", "at": minutes_ago(30) + pd.Timedelta(seconds=step_s * n), "value": value} | columns
        for n, value in enumerate(values)
        if value is not None
    ]
    return pd.DataFrame(rows)


def targets(*which, interval="15s", **columns):
    shape = {"health": "up", "last_error": "", "interval": interval, "address": "", "namespace": "", "pod": ""}
    return pd.DataFrame([shape | one | columns for one in which])


def aged(*series):
    return pd.concat(series).rename(columns={"value": "age_s"})


@pytest.mark.parametrize(
    ("ages", "scopes"),
    [
        ([5] * 20, []),
        ([5] * 5 + [15 * n for n in range(1, 6)] + [5] * 10, []),  # 75 s: a restart
        ([5] * 5 + [15 * n for n in range(1, 12)] + [5] * 10, ["redis: redis-0:9121"]),
        ([5] * 5 + [None] * 8 + [5] * 5, ["redis: redis-0:9121"]),
        ([None] * 8 + [5] * 10, []),  # it came
        ([5] * 10 + [None] * 8, []),  # it went
    ],
)
def test_scrapes_that_are_left_out(ages, scopes):
    other = steps([5] * len(ages), **OTHER)
    rows = offenders("no_scrape_is_left_out", aged(steps(ages, **REDIS_TARGET), other), targets(REDIS_TARGET, OTHER))
    assert list(rows.scope) == scopes


def test_a_hole_goes_from_the_last_scrape_to_the_last_step_that_sees_it():
    table = aged(steps([5] * 5 + [5 + 15 * n for n in range(1, 10)] + [5] * 5, **REDIS_TARGET))
    [row] = offenders("no_scrape_is_left_out", table, targets(REDIS_TARGET)).to_dict("records")
    assert row["at"] == table["at"].iloc[4] - pd.Timedelta(seconds=5)
    assert row["until"] == table["at"].iloc[13]


def test_where_nothing_was_scraped_it_is_prometheus():
    ages = [5] * 5 + [None] * 20 + [5] * 5
    table = aged(steps(ages, **REDIS_TARGET), steps(ages, **OTHER))
    rows = offenders("no_scrape_is_left_out", table, targets(REDIS_TARGET, OTHER))
    assert list(rows.scope) == ["all targets"]
    assert list(rows.severity) == ["critical"]


def test_a_slow_interval_is_no_hole():
    table = aged(steps([60 * (n % 4) for n in range(40)], **REDIS_TARGET))
    assert offenders("no_scrape_is_left_out", table, targets(REDIS_TARGET, interval="1m0s")).empty


@pytest.mark.parametrize(("down", "severity"), [([0] * 10, "critical"), ([0, 1] * 5, "high"), ([1] * 10, "high")])
def test_a_job_that_is_all_down_is_worse(down, severity):
    up = pd.concat([steps([0] * 10, **REDIS_TARGET), steps(down, job="redis", target="redis-1:9121")])
    up = up.rename(columns={"value": "up"})
    rows = offenders("every_target_was_up", up, targets(REDIS_TARGET, health="down", last_error="refused"))
    assert rows.set_index("target").severity["redis-0:9121"] == severity
    assert "refused" in rows.set_index("target").still["redis-0:9121"]


def test_one_failed_scrape_is_no_outage():
    up = steps([1, 1, 0, 1, 1], **REDIS_TARGET).rename(columns={"value": "up"})
    assert offenders("every_target_was_up", up, targets(REDIS_TARGET)).empty


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ({"address": "10.0.0.7:8080"}, 0),
        ({"address": "10.0.0.8:8080"}, 1),
        ({"address": "api.neurallog-system:8080", "namespace": "neurallog-system", "pod": "api-1"}, 0),
    ],
)
def test_what_asks_to_be_scraped(target, found):
    asks = {"kind": "Pod", "namespace": "neurallog-system", "name": "api-1", "selected": 1, "missing_ports": ""}
    asks |= {"ready_pods": "neurallog-system/api-1", "ready_addresses": "10.0.0.7"}
    rows = offenders("what_asks_to_be_scraped_is", pd.DataFrame([asks]), targets(REDIS_TARGET | target))
    assert len(rows) == found


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


# --- Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", specimens(faults.__name__))
def test_words_of_a_specimen(name):
    assert len(told_rows(name))


@pytest.mark.parametrize("name", MONITORING)
def test_nothing_is_found_in_nothing(name):
    check = checks.CHECKS[name]
    assert offenders(name, *(empty_table(table) for table in check.needs)).empty

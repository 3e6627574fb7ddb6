"""Faults of what watches the platform: Prometheus, Alertmanager, Grafana."""

import json
import time
from contextlib import contextmanager
from datetime import timedelta

import requests

from tests.record.prometheus import counting, past, since
from tests.record.specimens import edited, specimen
from tests.stack import faults as wire
from tests.stack.grafana import panel
from tests.stack.history import ALERTMANAGER, GROUP, POSTGRES, PROMETHEUS, REDIS
from tests.stack.metrics import metrics
from tests.stack.process import HOST, ServerFailed
from tests.stack.rules import alert

INTERVAL_S = 2  # an incident of half an hour has 900 evaluations then, which the budget allows
ENOUGH_EVALUATIONS = 10
MANY = 10_500
TWICE = 'label_replace(vector(1), "side", "left", "", "") or label_replace(vector(1), "side", "right", "", "")'


def group(*rules, **more):
    return {"groups": [{"name": "targets", "interval": f"{INTERVAL_S}s", "rules": list(rules)} | more]}


def _wait_until(holds, within_s=30):
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise ServerFailed(f"not within {within_s} s")
        time.sleep(0.1)


def _reconfigure(server, change):
    """Let Prometheus read a configuration that `change` made of its own."""
    path = server.folder / "prometheus.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    server.reload()


def _scraping(port, job="app"):
    target = {"targets": [f"{HOST}:{port}"], "labels": {"instance": f"{job}-0:8080"}}

    def change(whole):
        return whole | {"scrape_configs": [*whole["scrape_configs"], {"job_name": job, "static_configs": [target]}]}

    return change


# --- Scraping ---------------------------------------------------------------------------------------------------------


@specimen("every_target_was_up", sources=("prom_up", "prom_targets"))
@contextmanager
def target_was_down(server):
    """For ten minutes of the incident."""
    with past(server, REDIS, ("up", lambda ago_s: 0 if 300 < ago_s < 900 else 1)):
        yield


@specimen("every_target_is_up", sources=("prom_targets",))
@contextmanager
def target_refuses(server):
    _reconfigure(server, _scraping(wire.closed_port()))
    server.wait_for('up{job="app"} == 0')
    yield


@specimen("no_scrape_is_left_out", sources=("prom_scrape_age", "prom_targets"))
@contextmanager
def nobody_scraped(server):
    """For ten minutes nothing was scraped: Prometheus was not there."""
    with past(server, REDIS, ("up", lambda ago_s: None if 300 < ago_s < 900 else 1)):
        yield


@specimen("no_job_loses_its_targets", sources=("prom_up", "prom_targets"))
@contextmanager
def job_left_without_targets(server):
    """It was scraped until ten minutes ago, and is not among the targets."""
    with past(server, REDIS, ("up", lambda ago_s: None if ago_s < 600 else 1)):
        yield


@specimen("no_exporter_fails", sources=("prom_exporter_errors",))
@contextmanager
def exporter_failed(server):
    with past(server, POSTGRES, ("pg_exporter_last_scrape_error", since(12, 1))):
        yield


@specimen("no_metric_has_too_many_series", sources=("prom_cardinality",))
@contextmanager
def series_of_every_user(server):
    """A label with the id of a user."""
    with metrics() as app:
        app.values = {f'requests_total{{user_id="user-{n}"}}': 1 for n in range(MANY)}
        _reconfigure(server, _scraping(app.port))
        server.wait_for(f"count(requests_total) == {MANY}")
        yield


@specimen("series_do_not_multiply", sources=("prom_head_series",))
@contextmanager
def series_multiplied(server):
    with past(server, PROMETHEUS, ("prometheus_tsdb_head_series", since(12, 64_000, before=15_000))):
        yield


# --- Rules and configuration ------------------------------------------------------------------------------------------


@specimen("every_alert_that_should_fire_fires", sources=("prom_rule_series",))
@contextmanager
def alert_over_its_limit(server):
    """Two alerts, in a group that may have one: Prometheus gives neither."""
    expr = "prometheus_sd_discovered_targets >= 0"
    server.load(group(alert("TargetsDiscovered", expr, "0s"), limit=1))
    server.wait_for(expr)
    time.sleep(INTERVAL_S * ENOUGH_EVALUATIONS)
    yield


@specimen("prometheus_reads_its_configuration", sources=("prom_server",))
@contextmanager
def configuration_refused(server):
    """A rule with a bracket too few."""
    server.load(group(alert("TargetDown", "sum(up == 0")))
    server.wait_for("prometheus_config_last_reload_successful == 0")
    yield


@specimen("prometheus_knows_an_alertmanager", sources=("prom_server",))
@contextmanager
def nobody_to_tell(server):
    yield


@specimen("every_rule_can_be_evaluated", sources=("prom_rules",))
@contextmanager
def rule_that_fails(server):
    """Two series on a side on which there may be one."""
    server.load(group({"record": "target:ratio", "expr": f"vector(1) / on () ({TWICE})"}))

    def failed():
        groups = requests.get(f"{server.url}/api/v1/rules", timeout=5).json()["data"]["groups"]
        return any(rule["health"] == "err" for one in groups for rule in one["rules"])

    _wait_until(failed)
    yield


@specimen("no_evaluation_of_a_rule_failed", sources=("prom_rule_failures",))
@contextmanager
def evaluations_failed(server):
    with past(server, PROMETHEUS, (f"prometheus_rule_evaluation_failures_total{GROUP}", counting(12, 1 / 15))):
        yield


@specimen("no_evaluation_of_a_rule_is_left_out", sources=("prom_rule_skips",))
@contextmanager
def evaluations_left_out(server):
    with past(server, PROMETHEUS, (f"prometheus_rule_group_iterations_missed_total{GROUP}", counting(12, 1 / 30))):
        yield


@edited("groups_of_rules_are_fast_enough", sources=("prom_rules",))
def slow_group(source, record):
    """A test's Prometheus has too little data for a slow rule: the time of a real evaluation is raised."""
    return record | {"evaluation_s": 41.7}


# --- From the alert to a person ---------------------------------------------------------------------------------------


@specimen("alertmanager_is_ready", sources=("am_status",))
@contextmanager
def alertmanager_alone(server):
    """It has just begun to look for its peers."""
    yield


@specimen("alertmanager_reads_its_configuration", sources=("prom_alertmanager_reload",))
@contextmanager
def receivers_refused(server):
    with past(server, ALERTMANAGER, ("alertmanager_config_last_reload_successful", since(12, 0, before=1))):
        yield


@specimen("every_notification_is_sent", sources=("prom_notification_failures",))
@contextmanager
def messages_failed(server):
    shape = 'alertmanager_notifications_failed_total{integration="slack"}'
    with past(server, ALERTMANAGER, (shape, counting(12, 1 / 30))):
        yield


@specimen("every_alert_gets_to_alertmanager", sources=("prom_undelivered_alerts",))
@contextmanager
def alerts_dropped(server):
    with past(server, PROMETHEUS, ("prometheus_notifications_dropped_total", counting(12, 1 / 15))):
        yield


@specimen("alertmanager_has_what_is_firing", sources=("prom_alerts", "am_alerts"), later=timedelta(minutes=10))
@contextmanager
def alert_dropped_on_its_way(servers):
    """A relabelling drops whatever has a severity."""
    drop = {"source_labels": ["severity"], "regex": ".+", "action": "drop"}

    def change(whole):
        return whole | {"alerting": whole["alerting"] | {"alert_relabel_configs": [drop]}}

    _reconfigure(servers.prometheus, change)
    servers.prometheus.load(group(alert("TargetScraped", "up == 1", "0s")))
    servers.prometheus.wait_for('ALERTS{alertname="TargetScraped",alertstate="firing"}')
    yield


@specimen("no_silence_hides_an_alert", sources=("prom_alert_history", "am_silences", "prom_server"))
@contextmanager
def silenced(servers):
    """For a deployment, and with it what the deployment broke."""
    servers.prometheus.load(group(alert("TargetScraped", "up == 1", "0s")))
    servers.alertmanager.silence("anna@neurallog.example", "deployment of 2.4.1", minutes=240, severity="critical")
    servers.prometheus.wait_for('ALERTS{alertname="TargetScraped",alertstate="firing"}')
    time.sleep(INTERVAL_S * 3)
    yield


@specimen("no_alert_is_inhibited", sources=("am_alerts",))
@contextmanager
def inhibited(server):
    rule = {"source_matchers": ['severity="critical"'], "target_matchers": ['severity="warning"']}
    server.configure(inhibit_rules=[rule])
    server.post_alerts(
        {"alertname": "PostgresDown", "severity": "critical"}, {"alertname": "LogQueueGrows", "severity": "warning"}
    )
    _wait_until(lambda: any(one["status"]["inhibitedBy"] for one in server.alerts()))
    yield


# --- Dashboards -------------------------------------------------------------------------------------------------------


@specimen("grafana_has_its_database", sources=("grafana_health",))
@contextmanager
def grafana_without_database(server):
    server.database = "failing"
    yield


@specimen("every_data_source_works", sources=("grafana_datasources",))
@contextmanager
def data_source_refuses(server):
    server.sources["prometheus"] = f"http://{HOST}:{wire.closed_port()}"
    yield


@specimen("dashboards_have_their_data_sources", sources=("grafana_queries", "grafana_datasources"))
@contextmanager
def data_source_gone(server):
    """The dashboard was brought from another Grafana."""
    _only(server, panel("Connections", "sum(pg_stat_activity_count)", uid="P1809F7CD0C75ACF3"))
    yield


@specimen("dashboards_ask_for_what_there_is", sources=("grafana_queries",))
@contextmanager
def metric_renamed(server):
    """Newer versions of the exporter call it otherwise."""
    _only(server, panel("Checkpoints", "rate(pg_stat_bgwriter_checkpoints_timed[5m])"))
    yield


def _only(server, *panels):
    server.dashboards = {"imported": {"uid": "imported", "title": "PostgreSQL", "panels": list(panels)}}

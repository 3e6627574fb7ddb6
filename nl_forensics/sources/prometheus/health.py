"""Health of Prometheus itself: what it failed to scrape and to evaluate, how much it holds, and whether it gets its alerts out."""

import json

import yaml

from nl_forensics.errors import BadAnswer
from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.column import JSON, Column
from nl_forensics.sources.prometheus.itself import moment
from nl_forensics.sources.prometheus.series import series


@source(
    columns={
        "version": Column("str", "version of Prometheus"),
        "started_at": Column(UTC, "start of the server"),
        "loaded_at": Column(UTC, "last successful load of the configuration", absent="no configuration was loaded yet"),
        "reload_succeeded": Column("boolean", "the last load of the configuration succeeded"),
        "corruptions": Column("Int64", "corruptions of the write-ahead log that were repaired since the start"),
        "head_series": Column("Int64", "time series in memory"),
        "alertmanagers": Column("Int64", "Alertmanagers that it sends alerts to"),
        "external_labels": Column(
            "str",
            "labels that it adds to every alert, as JSON; nothing else of the configuration is recorded",
            form=JSON,
        ),
    },
    covers="now",
    needs=Permission(
        prometheus="/api/v1/status/runtimeinfo /api/v1/status/tsdb /api/v1/status/config /api/v1/alertmanagers"
    ),
    guide=("C122",),
)
def prom_server(prometheus):
    """State of Prometheus itself; one row."""
    running = prometheus.get("/api/v1/status/runtimeinfo")
    configured = yaml.safe_load(prometheus.get("/api/v1/status/config")["yaml"]) or {}
    yield {
        "version": prometheus.identity["version"],
        "started_at": running["startTime"],
        "loaded_at": moment(running["lastConfigTime"]),
        "reload_succeeded": running["reloadConfigSuccess"],
        "corruptions": running["corruptionCount"],
        "head_series": prometheus.get("/api/v1/status/tsdb")["headStats"]["numSeries"],
        "alertmanagers": len(prometheus.get("/api/v1/alertmanagers")["activeAlertmanagers"]),
        "external_labels": json.dumps((configured.get("global") or {}).get("external_labels") or {}, sort_keys=True),
    }


@source(
    columns={
        "kind": Column(
            "str",
            "`metric`: series of that name; `label`: values of that label; `pair`: series with that label and value",
        ),
        "name": Column("str", "name of the metric, the label, or label=value"),
        "series": Column("Int64", "number of series, or of values"),
    },
    covers="now",
    needs=Permission(prometheus="/api/v1/status/tsdb"),
    guide=("C121", "C122"),
)
def prom_cardinality(prometheus):
    """Largest metrics and labels in memory; the ten largest of each kind."""
    status = prometheus.get("/api/v1/status/tsdb")
    told = {
        "metric": "seriesCountByMetricName",
        "label": "labelValueCountByLabelName",
        "pair": "seriesCountByLabelValuePair",
    }
    yield Proof(f"Prometheus holds {status['headStats']['numSeries']} series")
    for kind, key in told.items():
        yield from ({"kind": kind, "name": one["name"], "series": one["value"]} for one in status[key] or [])


@source(
    columns={
        "metric": Column("str", "name of the metric"),
    },
    covers="window",
    needs=Permission(prometheus="/api/v1/label/__name__/values"),
    guide=("C125",),
)
def prom_metric_names(prometheus, incident):
    """Names of all metrics with a sample during the incident; one row per name."""
    window = f"start={incident.start.timestamp():.0f}&end={incident.end.timestamp():.0f}"
    names = prometheus.get(f"/api/v1/label/__name__/values?{window}")
    if not names:
        raise BadAnswer("no metric had a sample during the incident", "see whether Prometheus ran, and scraped")
    for warning in prometheus.warnings:
        yield Partial(f"warning of Prometheus: {warning}")
    yield from ({"metric": name} for name in names)


def _by_group(counter: str) -> str:
    """How much a counter of Prometheus grew, by group of rules: its label has the file before the name."""
    grown = f"increase({counter}{{{{{{prometheus}}}}}}[{{range}}])"
    return f'sum by (instance, group) (label_replace({grown}, "group", "$1", "rule_group", "(?:.*;)?(.*)"))'


series(
    "prom_up",
    "min by (job, instance) (up{{{targets}}})",
    value="up",
    meaning="1: the target could be scraped; 0: it could not",
    labels=("job", "target"),
    come_and_go=True,
    guide=("C119", "C121"),
    doc="""Scrape target availability, per step.

    No value before its first scrape and after its last one: targets come and go. Prometheus repeats the last value of a target that it
    does not scrape any more for 5 min: see prom_scrape_age.""",
)

series(
    "prom_scrape_age",
    "min by (job, instance) (time() - timestamp(up{{{targets}}}))",
    value="age_s",
    meaning="age of the newest scrape, successful or not",
    labels=("job", "target"),
    sparse=True,
    guide=("C119", "C121"),
    doc="""Age of the newest scrape of each target, per step.

    No value where there was no scrape for 5 min.""",
)

series(
    "prom_rule_failures",
    _by_group("prometheus_rule_evaluation_failures_total"),
    value="failures",
    meaning="evaluations that failed in the 5 min before the step",
    labels=("target", "group"),
    guide=("C122",),
    doc="""Failed rule evaluations by rule group.""",
)

series(
    "prom_rule_skips",
    _by_group("prometheus_rule_group_iterations_missed_total"),
    value="skipped",
    meaning="evaluations that were skipped in the 5 min before the step, since the previous one was not finished",
    labels=("target", "group"),
    guide=("C122",),
    doc="""Skipped rule evaluations by rule group.""",
)

series(
    "prom_head_series",
    "max by (instance) (prometheus_tsdb_head_series{{{prometheus}}})",
    value="series",
    meaning="time series in memory",
    guide=("C121", "C122"),
    doc="""Time series in the memory of Prometheus.""",
)

series(
    "prom_undelivered_alerts",
    "max by (instance) (changes(prometheus_notifications_dropped_total{{{prometheus}}}[{range}]))",
    value="rounds",
    meaning="attempts to notify an Alertmanager in the 5 min before the step after which Prometheus dropped the alerts",
    doc="""Alerts that Prometheus could not deliver to an Alertmanager.

    It retries once a minute while they fire.""",
)

series(
    "prom_notification_failures",
    "sum by (instance, integration) (increase(alertmanager_notifications_failed_total{{{alertmanager}}}[{range}]))",
    value="failures",
    meaning="notifications that Alertmanager failed to send in the 5 min before the step",
    labels=("target", "integration"),
    doc="""Notifications that Alertmanager could not send, by kind of receiver.""",
)

series(
    "prom_alertmanager_reload",
    "min by (instance) (alertmanager_config_last_reload_successful{{{alertmanager}}})",
    value="succeeded",
    meaning="1: the last load of the configuration succeeded; 0: it failed",
    doc="""Whether Alertmanager loaded its configuration, per step.""",
)

series(
    "prom_exporter_errors",
    "max by (job, instance) (pg_exporter_last_scrape_error{{{postgres}}} or redis_exporter_last_scrape_error{{{redis}}})",
    value="failed",
    meaning="1: the last reading of the server by the exporter had an error; 0: none",
    labels=("job", "target"),
    guide=("C121",),
    doc="""Whether an exporter had an error when it read its server, per step.

    It then omits series, and still counts as up.""",
)

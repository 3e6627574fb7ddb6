"""How well Prometheus itself works: what it failed to scrape and to evaluate, how much it holds, and whether it gets its alerts out."""

import json

import yaml

from nl_forensics.errors import BadAnswer
from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.prometheus.itself import moment
from nl_forensics.sources.prometheus.series import series


@source(
    columns={
        "version": "str",
        "started_at": UTC,
        "loaded_at": UTC,
        "reload_succeeded": "boolean",
        "corruptions": "Int64",
        "head_series": "Int64",
        "alertmanagers": "Int64",
        "external_labels": "str",
    },
    nullable=("loaded_at",),
    covers="now",
    needs=Permission(
        prometheus="/api/v1/status/runtimeinfo /api/v1/status/tsdb /api/v1/status/config /api/v1/alertmanagers"
    ),
    guide=("C122",),
)
def prom_server(prometheus):
    """How it is; one row.

    loaded_at         when it last read its configuration with success, UTC; reload_succeeded: whether the last try was one
    corruptions       of its write-ahead log, repaired since it started
    head_series       time series in memory
    alertmanagers     to whom it sends alerts
    external_labels   which it adds to every alert that it sends, as JSON; nothing else of the configuration is kept
    """
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
    columns={"kind": "str", "name": "str", "series": "Int64"},
    covers="now",
    needs=Permission(prometheus="/api/v1/status/tsdb"),
    guide=("C121", "C122"),
)
def prom_cardinality(prometheus):
    """What its memory is full of; the ten largest of each kind.

    kind     `metric`: series of that name; `label`: values of that label; `pair`: series with that label and value
    series   how many series, or values
    """
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
    columns={"metric": "str"},
    covers="window",
    needs=Permission(prometheus="/api/v1/label/__name__/values"),
    guide=("C125",),
)
def prom_metric_names(prometheus, incident):
    """The names of all metrics that had a sample during the incident; one row per name."""
    window = f"start={incident.start.timestamp():.0f}&end={incident.end.timestamp():.0f}"
    names = prometheus.get(f"/api/v1/label/__name__/values?{window}")
    if not names:
        raise BadAnswer("no metric had a sample during the incident", "see whether Prometheus ran, and scraped")
    for warning in prometheus.warnings:
        yield Partial(f"Prometheus warns: {warning}")
    yield from ({"metric": name} for name in names)


def _by_group(counter: str) -> str:
    """How much a counter of Prometheus grew, by group of rules: its label has the file before the name."""
    grown = f"increase({counter}{{{{{{prometheus}}}}}}[{{range}}])"
    return f'sum by (instance, group) (label_replace({grown}, "group", "$1", "rule_group", "(?:.*;)?(.*)"))'


series(
    "prom_up",
    "min by (job, instance) (up{{{targets}}})",
    value="up",
    labels=("job", "target"),
    come_and_go=True,
    guide=("C119", "C121"),
    doc="""Whether each target could be scraped: 1 or 0, per step.

    No value before its first scrape and after its last one: targets come and go. For five minutes Prometheus goes on telling the last
    value of one that it does not scrape any more: see prom_scrape_age.""",
)

series(
    "prom_scrape_age",
    "min by (job, instance) (time() - timestamp(up{{{targets}}}))",
    value="age_s",
    labels=("job", "target"),
    sparse=True,
    guide=("C119", "C121"),
    doc="""How old the newest scrape of each target is at each step, seconds, whether it succeeded or failed.

    No value where there was none for five minutes.""",
)

series(
    "prom_rule_failures",
    _by_group("prometheus_rule_evaluation_failures_total"),
    value="failures",
    labels=("target", "group"),
    guide=("C122",),
    doc="""Evaluations of rules that failed in the five minutes before each step, by group of rules.""",
)

series(
    "prom_rule_skips",
    _by_group("prometheus_rule_group_iterations_missed_total"),
    value="skipped",
    labels=("target", "group"),
    guide=("C122",),
    doc="""Evaluations that were left out in the five minutes before each step, because the one before was not ready, by group of rules.""",
)

series(
    "prom_head_series",
    "max by (instance) (prometheus_tsdb_head_series{{{prometheus}}})",
    value="series",
    guide=("C121", "C122"),
    doc="""Time series in the memory of Prometheus.""",
)

series(
    "prom_undelivered_alerts",
    "max by (instance) (changes(prometheus_notifications_dropped_total{{{prometheus}}}[{range}]))",
    value="rounds",
    doc="""How often in the five minutes before each step Prometheus gave up to tell an Alertmanager of alerts.

    While they fire it tries once a minute.""",
)

series(
    "prom_notification_failures",
    "sum by (instance, integration) (increase(alertmanager_notifications_failed_total{{{alertmanager}}}[{range}]))",
    value="failures",
    labels=("target", "integration"),
    doc="""Messages that Alertmanager could not send in the five minutes before each step.

    integration   the kind of receiver: `slack`, `pagerduty`, `webhook`, …""",
)

series(
    "prom_alertmanager_reload",
    "min by (instance) (alertmanager_config_last_reload_successful{{{alertmanager}}})",
    value="succeeded",
    doc="""Whether Alertmanager's last try to read its configuration succeeded: 1 or 0, per step.""",
)

series(
    "prom_exporter_errors",
    "max by (job, instance) (pg_exporter_last_scrape_error{{{postgres}}} or redis_exporter_last_scrape_error{{{redis}}})",
    value="failed",
    labels=("job", "target"),
    guide=("C121",),
    doc="""Whether an exporter's last look at its server had an error: 1 or 0, per step. It then leaves out series, and counts as up.""",
)

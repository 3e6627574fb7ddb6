"""What Prometheus says of itself, at this moment: its targets, its alerting rules, the alerts."""

import json
from urllib.parse import urlsplit

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source
from nl_forensics.sources.column import Column

NEVER = "0001-01-01T00:00:00Z"  # Go's zero time: not scraped, or not evaluated, yet


def moment(text: str) -> str | None:
    return None if text == NEVER else text


DURATION = r"([0-9]{1,9}(ms|[smhdwy]))*"


@source(
    columns={
        "job": Column("str", "job of the scrape configuration"),
        "target": Column("str", "label `instance` of the target"),
        "namespace": Column("str", "label `namespace` of the target; empty if it has none"),
        "pod": Column("str", "label `pod` of the target; empty if it has none"),
        "address": Column("str", "host and port that Prometheus connects to"),
        "health": Column("str", "`up`, `down`, or `unknown` before the first scrape"),
        "last_error": Column("str", "error of the last scrape; empty if it succeeded"),
        "last_scrape_at": Column(UTC, "start of the last scrape", absent="the target has not been scraped yet"),
        "scrape_duration_s": Column("float64", "duration of the last scrape"),
        "interval": Column("str", "configured scrape interval (`30s`); empty before Prometheus 2.30", form=DURATION),
        "timeout": Column("str", "configured scrape timeout (`10s`); empty before Prometheus 2.30", form=DURATION),
    },
    covers="now",
    needs=Permission(prometheus="/api/v1/targets"),
    guide=("C119", "C120"),
)
def prom_targets(prometheus):
    """Scrape targets; one row per active target.

    A service that is missing from the scrape configuration has no row."""
    targets = prometheus.get("/api/v1/targets?state=active")["activeTargets"]
    yield Proof(f"Prometheus lists {len(targets)} active targets")
    for target in targets:
        labels = target["labels"]
        yield {
            "job": labels.get("job", ""),
            "target": labels.get("instance", ""),
            "namespace": labels.get("namespace", ""),
            "pod": labels.get("pod", ""),
            "address": urlsplit(target["scrapeUrl"]).netloc,
            "health": target["health"],
            "last_error": target["lastError"],
            "last_scrape_at": moment(target["lastScrape"]),
            "scrape_duration_s": target["lastScrapeDuration"],
            "interval": target.get("scrapeInterval", ""),
            "timeout": target.get("scrapeTimeout", ""),
        }


@source(
    columns={
        "group": Column("str", "rule group"),
        "rule": Column("str", "name of the alert, or of the recorded series"),
        "kind": Column("str", "`alerting` or `recording`"),
        "query": Column("str", "PromQL expression"),
        "state": Column(
            "str",
            "state of an alerting rule: `inactive`, `pending` or `firing`",
            absent="a recording rule has no state",
        ),
        "health": Column("str", "`ok`, `err`, or `unknown` before the first evaluation"),
        "last_error": Column("str", "error of the last evaluation; empty if it succeeded"),
        "evaluated_at": Column(UTC, "last evaluation", absent="the rule has not been evaluated yet"),
        "evaluation_s": Column("float64", "duration of the last evaluation"),
        "interval_s": Column("float64", "evaluation interval of the group"),
        "for_s": Column("float64", "`for`: time from pending to firing", absent="a recording rule has no `for`"),
        "keep_firing_s": Column(
            "float64",
            "`keep_firing_for`: time that the alert keeps firing after its expression returns nothing",
            absent="a recording rule, or a Prometheus without this option",
        ),
        "severity": Column("str", "label `severity`; empty if there is none"),
    },
    covers="now",
    needs=Permission(prometheus="/api/v1/rules"),
    guide=("C122",),
)
def prom_rules(prometheus):
    """Recording and alerting rules; one row per rule."""
    groups = prometheus.get("/api/v1/rules")["groups"]
    yield Proof(f"Prometheus lists {len(groups)} groups of rules")
    for group in groups:
        for rule in group["rules"]:
            yield {
                "group": group["name"],
                "rule": rule["name"],
                "kind": rule["type"],
                "query": rule["query"],
                "state": rule.get("state"),
                "health": rule["health"],
                "last_error": rule.get("lastError", ""),
                "evaluated_at": moment(rule["lastEvaluation"]),
                "evaluation_s": rule["evaluationTime"],
                "interval_s": group["interval"],
                "for_s": rule.get("duration"),
                "keep_firing_s": rule.get("keepFiringFor"),
                "severity": rule.get("labels", {}).get("severity", ""),
            }


@source(
    parse=lambda records: as_rows(records).assign(labels=[json.dumps(r["labels"], sort_keys=True) for r in records]),
    columns={
        "alert": Column("str", "name of the alert"),
        "state": Column("str", "`firing` or `pending`"),
        "severity": Column("str", "label `severity`; empty if there is none"),
        "active_at": Column(UTC, "time at which its expression became true"),
        "labels": Column("str", "all labels, as JSON"),
    },
    covers="now",
    needs=Permission(prometheus="/api/v1/alerts"),
)
def prom_alerts(prometheus):
    """Alerts that are pending or firing now; one row per alert.

    Alerts that Alertmanager silences are included: Prometheus does not know about silences or receivers."""
    alerts = prometheus.get("/api/v1/alerts")["alerts"]
    yield Proof(f"Prometheus lists {len(alerts)} alerts")
    for alert in alerts:
        yield {
            "alert": alert["labels"]["alertname"],
            "state": alert["state"],
            "severity": alert["labels"].get("severity", ""),
            "active_at": alert["activeAt"],
            "labels": alert["labels"],
        }

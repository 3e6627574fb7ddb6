"""What Prometheus says of itself, at this moment: whom it scrapes, by which rules it alerts, what is alerting."""

import json
from urllib.parse import urlsplit

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source

NEVER = "0001-01-01T00:00:00Z"  # Go's zero time: not scraped, or not evaluated, yet


def moment(text: str) -> str | None:
    return None if text == NEVER else text


@source(
    columns={
        "job": "str",
        "target": "str",
        "namespace": "str",
        "pod": "str",
        "address": "str",
        "health": "str",
        "last_error": "str",
        "last_scrape_at": UTC,
        "scrape_duration_s": "float64",
        "interval": "str",
        "timeout": "str",
    },
    nullable=("last_scrape_at",),
    covers="now",
    needs=Permission(prometheus="/api/v1/targets"),
    guide=("C119", "C120"),
)
def prom_targets(prometheus):
    """Whom Prometheus scrapes; one row per active target.

    address             host and port that it connects to
    health              `up`, `down`, or `unknown` before the first scrape
    last_error          of the last scrape, "" when it succeeded
    interval, timeout   as configured (`30s`); "" before Prometheus 2.30

    A service that is missing from the configuration has no row.
    """
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
        "group": "str",
        "rule": "str",
        "kind": "str",
        "query": "str",
        "state": "str",
        "health": "str",
        "last_error": "str",
        "evaluated_at": UTC,
        "evaluation_s": "float64",
        "interval_s": "float64",
        "for_s": "float64",
        "keep_firing_s": "float64",
        "severity": "str",
    },
    nullable=("state", "evaluated_at", "for_s", "keep_firing_s"),
    covers="now",
    needs=Permission(prometheus="/api/v1/rules"),
    guide=("C122",),
)
def prom_rules(prometheus):
    """By which rules Prometheus records and alerts; one row per rule.

    kind           `alerting` or `recording`
    state          of an alerting rule: `inactive`, `pending` or `firing`
    health         `ok`, `err`, or `unknown` before the first evaluation
    evaluation_s   how long the last evaluation took; interval_s: how often its group is evaluated
    for_s          how long before it fires; keep_firing_s: how long after its expression gives nothing any more
    severity       the label of that name, "" where there is none
    """
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
    columns={"alert": "str", "state": "str", "severity": "str", "active_at": UTC, "labels": "str"},
    covers="now",
    needs=Permission(prometheus="/api/v1/alerts"),
)
def prom_alerts(prometheus):
    """What is alerting, or about to; one row per alert.

    state       `firing` or `pending`
    active_at   when its expression became true, UTC
    labels      all its labels, as JSON

    What Alertmanager silenced is here too: whom it told is not known to Prometheus.
    """
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

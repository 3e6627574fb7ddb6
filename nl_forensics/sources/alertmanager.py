"""What Alertmanager says: its peers, the alerts that it knows to be firing, and those that are silenced."""

import json

import pandas as pd

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source
from nl_forensics.sources.column import Column


def _with_json(*names: str):
    """The plain reading, with what is nested as JSON text."""

    def parse(records: list[dict]) -> pd.DataFrame:
        return as_rows([r | {name: json.dumps(r[name], sort_keys=True) for name in names} for r in records])

    return parse


@source(
    columns={
        "version": Column("str", "version of Alertmanager"),
        "cluster_status": Column(
            "str", "`ready`, `settling` while it waits for its peers, or `disabled` if it runs alone"
        ),
        "peers": Column("Int64", "known members of its cluster, itself included; 0 if it runs alone"),
        "started_at": Column(UTC, "start of the server"),
    },
    covers="now",
    needs=Permission(alertmanager="/api/v2/status"),
)
def am_status(alertmanager):
    """Identity and cluster state of Alertmanager; one row."""
    status = alertmanager.get("/api/v2/status")
    yield {
        "version": status["versionInfo"]["version"],
        "cluster_status": status["cluster"]["status"],
        "peers": len(status["cluster"].get("peers") or []),
        "started_at": status["uptime"],
    }


@source(
    parse=_with_json("labels"),
    columns={
        "alert": Column("str", "name of the alert"),
        "severity": Column("str", "label `severity`; empty if there is none"),
        "state": Column(
            "str", "`active`; `suppressed` by a silence or another alert; `unprocessed` for a moment after it arrived"
        ),
        "silenced_by": Column("str", "IDs of the silences that suppress it"),
        "inhibited_by": Column("str", "fingerprints of the alerts that inhibit it"),
        "at": Column(UTC, "start of the alert"),
        "until": Column(UTC, "end of the alert, unless Prometheus sends it again"),
        "receivers": Column("str", "receivers that it is routed to"),
        "fingerprint": Column("str", "identifier of the alert"),
        "labels": Column("str", "all labels, as JSON"),
    },
    covers="now",
    needs=Permission(alertmanager="/api/v2/alerts"),
)
def am_alerts(alertmanager):
    """Alerts that Alertmanager knows as firing; one row per alert."""
    alerts = alertmanager.get("/api/v2/alerts")
    yield Proof(f"Alertmanager lists {len(alerts)} alerts")
    for alert in alerts:
        yield {
            "alert": alert["labels"].get("alertname", ""),
            "severity": alert["labels"].get("severity", ""),
            "state": alert["status"]["state"],
            "silenced_by": " ".join(alert["status"]["silencedBy"]),
            "inhibited_by": " ".join(alert["status"]["inhibitedBy"]),
            "at": alert["startsAt"],
            "until": alert["endsAt"],
            "receivers": ", ".join(receiver["name"] for receiver in alert["receivers"]),
            "fingerprint": alert["fingerprint"],
            "labels": alert["labels"],
        }


@source(
    parse=_with_json("matchers"),
    columns={
        "silence": Column("str", "ID of the silence"),
        "state": Column("str", "`active`, `pending` or `expired`"),
        "at": Column(UTC, "start of the silence"),
        "until": Column(UTC, "end of the silence"),
        "updated_at": Column(UTC, "last change of the silence"),
        "by": Column("str", "author of the silence"),
        "comment": Column("str", "reason, as written by the author"),
        "matchers": Column("str", "matchers of the silenced alerts, as JSON: a list of name, value, isRegex, isEqual"),
    },
    covers="now",
    needs=Permission(alertmanager="/api/v2/silences"),
)
def am_silences(alertmanager):
    """Silences; one row per silence, expired ones included (Alertmanager keeps them for five days by default)."""
    silences = alertmanager.get("/api/v2/silences")
    yield Proof(f"Alertmanager lists {len(silences)} silences")
    for silence in silences:
        yield {
            "silence": silence["id"],
            "state": silence["status"]["state"],
            "at": silence["startsAt"],
            "until": silence["endsAt"],
            "updated_at": silence["updatedAt"],
            "by": silence["createdBy"],
            "comment": silence["comment"],
            "matchers": silence["matchers"],
        }

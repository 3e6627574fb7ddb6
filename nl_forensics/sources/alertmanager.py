"""What Alertmanager says: whom it works with, what it knows to be firing, and what it was told to keep to itself."""

import json

import pandas as pd

from nl_forensics.sources import UTC, Permission, Proof, as_rows, source


def _with_json(*names: str):
    """The plain reading, with what is nested as JSON text."""

    def parse(records: list[dict]) -> pd.DataFrame:
        return as_rows([r | {name: json.dumps(r[name], sort_keys=True) for name in names} for r in records])

    return parse


@source(
    columns={"version": "str", "cluster_status": "str", "peers": "Int64", "started_at": UTC},
    covers="now",
    needs=Permission(alertmanager="/api/v2/status"),
)
def am_status(alertmanager):
    """Who it is; one row.

    cluster_status   `ready`, `settling` while it waits for its peers, or `disabled` where it works alone
    peers            members of its cluster that it knows, itself among them; 0 where it works alone
    """
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
        "alert": "str",
        "severity": "str",
        "state": "str",
        "silenced_by": "str",
        "inhibited_by": "str",
        "at": UTC,
        "until": UTC,
        "receivers": "str",
        "fingerprint": "str",
        "labels": "str",
    },
    covers="now",
    needs=Permission(alertmanager="/api/v2/alerts"),
)
def am_alerts(alertmanager):
    """What it was told to be firing; one row per alert.

    state          `active`; `suppressed` by a silence or another alert; `unprocessed` for a moment after it came
    silenced_by    ids of silences; inhibited_by: fingerprints of the alerts that stand for it
    at, until      since when it fires, and until when it is held for firing if nobody says so again, UTC
    receivers      whom it would be sent to
    labels         all its labels, as JSON
    """
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
        "silence": "str",
        "state": "str",
        "at": UTC,
        "until": UTC,
        "updated_at": UTC,
        "by": "str",
        "comment": "str",
        "matchers": "str",
    },
    covers="now",
    needs=Permission(alertmanager="/api/v2/silences"),
)
def am_silences(alertmanager):
    """What it was told to keep to itself; one row per silence, also one that is over: those are kept for five days by default.

    state      `active`, `pending` or `expired`
    by         who made it; comment: why, as written
    matchers   which alerts, as JSON: a list of name, value, isRegex, isEqual
    """
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

"""Rules about notifications: Alertmanager, silences, receivers."""

import json

import pandas as pd
import re2

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each

NO_PAGE = ("none", "info")  # severities of alerts that never page


@check(
    section="10",
    severity="medium",
    subject="alertmanager/{instance}",
    because="Alertmanager cluster is {cluster_status} ({peers} members)",
    guide=("C122",),
)
def alertmanager_is_ready(am_status):
    """The Alertmanager cluster is ready, or disabled.

    Until then it sends no notification, or the same one several times.
    """
    return am_status[~am_status.cluster_status.isin(["ready", "disabled"])]


@check(
    section="10",
    severity="high",
    subject="prometheus/{instance}, {target}",
    because="Alertmanager could not load its configuration {span}",
    at="at",
    guide=("C122",),
)
def alertmanager_reads_its_configuration(prom_alertmanager_reload):
    """Alertmanager could load its configuration during the whole incident.

    After a failure it keeps the previous one, and does not start again after a restart (awesome-prometheus-alerts).
    """
    table = during(prom_alertmanager_reload)
    return worst_of_each(table[table.succeeded < 1], ["instance", "target"], "succeeded", highest=False)


@check(
    section="10",
    severity="critical",
    subject="prometheus/{instance}, {target}: {integration}",
    because="{failures:number} notifications failed in the 5 min before {worst_at:%H:%M:%S} UTC; failures {span}",
    at="at",
    guide=("C122",),
)
def every_notification_is_sent(prom_notification_failures):
    """Alertmanager sent every notification during the incident.

    It retries failed notifications for some time, then drops them. `context deadline exceeded` in its log names a slow receiver.
    """
    table = during(prom_notification_failures)
    return worst_of_each(table[table.failures >= 0.5], ["instance", "target", "integration"], "failures")


@check(
    section="10",
    severity="critical",
    subject="prometheus/{instance}, {target}",
    because="dropped alerts {rounds:number} times in the 5 min before {worst_at:%H:%M:%S} UTC (limit {max_rounds}); dropped {span}",
    at="at",
    guide=("C122",),
)
def every_alert_gets_to_alertmanager(prom_undelivered_alerts, *, max_rounds=2):
    """Prometheus delivered its alerts to an Alertmanager, and dropped some at most {max_rounds:.0f} times in 5 min.

    It tries once a minute (mixin of Prometheus). At its start it has not discovered its Alertmanager yet, and drops alerts until then.
    """
    table = during(prom_undelivered_alerts)
    return worst_of_each(table[table.rounds > max_rounds], ["instance", "target"], "rounds")


@check(
    section="10",
    severity="high",
    subject="prometheus/{instance}, {alert}",
    because="alert has been active since {active_at:%Y-%m-%d %H:%M:%S} UTC and is firing, but Alertmanager has no alert of this name",
    at="active_at",
    guide=("C122",),
)
def alertmanager_has_what_is_firing(prom_alerts, am_alerts, *, min_age_s=300):
    """Alertmanager has every firing alert.

    Compared by name, since relabelling can change other labels. An alert that is younger than {min_age_s:seconds} can be in transit.
    """
    old = (prom_alerts.asked_at - prom_alerts.active_at).dt.total_seconds() >= min_age_s
    rows = prom_alerts[(prom_alerts.state == "firing") & old & ~prom_alerts.alert.isin(set(am_alerts.alert))]
    return rows.rename(columns={"severity": "severity_label"}).sort_values("active_at")


@check(
    section="10",
    severity="medium",
    high="severity_label == 'critical'",
    note="is_no_page",
    subject="prometheus/{instance}, {alert}",
    because="firing alert was silenced {span} by {by}: {comment}; silence from {silenced_at:%Y-%m-%d %H:%M:%S} to"
    " {silenced_until:%Y-%m-%d %H:%M:%S} UTC",
    at="at",
    guide=("C122",),
)
def no_silence_hides_an_alert(prom_alert_history, am_silences, prom_server):
    """No silence hid an alert that was firing during the incident.

    A silence for a deployment or for known noise can also hide an incident. High for a critical alert, a note for one that never pages
    (severity none or info).
    """
    external = [json.loads(labels) for labels in prom_server.external_labels]
    history = during(prom_alert_history)
    firing = history[history.state == "firing"]
    silences = [silence for silence in am_silences.itertuples() if silence.state != "pending"]
    hidden = [
        _hidden(alert, silence)
        for alert in firing.to_dict("records")
        for silence in silences
        if alert["at"] < silence.until and silence.at <= alert["until"] and _matches(silence, alert, external)
    ]
    added = ["span", "by", "comment", "silenced_at", "silenced_until"]
    rows = pd.DataFrame(hidden, columns=[*firing.columns, *added]).rename(columns={"severity": "severity_label"})
    rows["is_no_page"] = rows.severity_label.isin(NO_PAGE)
    return rows.sort_values("at").drop_duplicates(["alert", "labels", "silenced_at"])


def _matches(silence, alert: dict, external: list[dict]) -> bool:
    """Whether it matches the alert with the external labels of any Prometheus."""
    own = json.loads(alert["labels"]) | {"alertname": alert["alert"]}
    return any(
        all(_holds(matcher, labels | own) for matcher in json.loads(silence.matchers)) for labels in external or [{}]
    )


def _holds(matcher: dict, labels: dict[str, str]) -> bool:
    value = labels.get(matcher["name"], "")
    same = re2.fullmatch(matcher["value"], value) is not None if matcher["isRegex"] else value == matcher["value"]
    return same == matcher.get("isEqual", True)


def _hidden(alert: dict, silence) -> dict:
    since, until = max(alert["at"], silence.at), min(alert["until"], silence.until)
    return alert | {
        "at": since,
        "span": f"from {since:%H:%M:%S} to {until:%H:%M:%S} UTC",
        "by": silence.by,
        "comment": silence.comment or "no comment",
        "silenced_at": silence.at,
        "silenced_until": silence.until,
    }


@check(
    section="10",
    severity="note",
    subject="alertmanager/{instance}, {alert}",
    because="alert has been firing since {at:%Y-%m-%d %H:%M:%S} UTC without notification, since {inhibitor} inhibits it",
    at="at",
    guide=("C122",),
)
def no_alert_is_inhibited(am_alerts):
    """No alert is inhibited by another one.

    Inhibition is configured, so the other alert comes first. An inhibition rule that is too broad also hides unrelated alerts.
    """
    names = am_alerts.drop_duplicates("fingerprint").set_index("fingerprint").alert
    rows = am_alerts[am_alerts.inhibited_by != ""]
    inhibitor = [", ".join(names.get(one, one) for one in sources.split()) for sources in rows.inhibited_by]
    return rows.assign(inhibitor=inhibitor).rename(columns={"severity": "severity_label"})

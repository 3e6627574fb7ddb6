"""Rules about the way from an alert to a person: Alertmanager, silences, receivers."""

import json

import pandas as pd
import re2

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each

FOR_NOBODY = ("none", "info")  # severities of alerts that are never meant to wake anybody


@check(
    section="10",
    severity="medium",
    subject="{instance}",
    because="its cluster is {cluster_status}, with {peers} members",
    guide=("C122",),
)
def alertmanager_is_ready(am_status):
    """Alertmanager has found its peers, or works alone.

    Until then it sends nothing, or the same more than once.
    """
    return am_status[~am_status.cluster_status.isin(["ready", "disabled"])]


@check(
    section="10",
    severity="high",
    subject="{target}",
    because="could not read its configuration {span}",
    at="at",
    guide=("C122",),
)
def alertmanager_reads_its_configuration(prom_alertmanager_reload):
    """Alertmanager could read its configuration during the whole incident.

    Otherwise it goes on with the one before, and a restart ends it (awesome-prometheus-alerts).
    """
    table = during(prom_alertmanager_reload)
    return worst_of_each(table[table.succeeded < 1], ["instance", "target"], "succeeded", highest=False)


@check(
    section="10",
    severity="critical",
    subject="{target}: {integration}",
    because="{failures:number} messages could not be sent in the minutes before {worst_at:%H:%M:%S} UTC; failures {span}",
    at="at",
    guide=("C122",),
)
def every_notification_is_sent(prom_notification_failures):
    """Alertmanager could send every message during the incident.

    What fails is tried again for a while, then lost. `context deadline exceeded` in its log tells which receiver is slow.
    """
    table = during(prom_notification_failures)
    return worst_of_each(table[table.failures >= 0.5], ["instance", "target", "integration"], "failures")


@check(
    section="10",
    severity="critical",
    subject="{target}",
    because="gave up {rounds:number} times to tell an Alertmanager of alerts in the minutes before {worst_at:%H:%M:%S} UTC; lost {span}",
    at="at",
    guide=("C122",),
)
def every_alert_gets_to_alertmanager(prom_undelivered_alerts, *, max_rounds=2):
    """Prometheus could tell an Alertmanager of its alerts, and gave up no more than {max_rounds:.0f} times in a row.

    It tries once a minute (mixin of Prometheus). When it starts it has not found its Alertmanager yet, and loses what fires by then.
    """
    table = during(prom_undelivered_alerts)
    return worst_of_each(table[table.rounds > max_rounds], ["instance", "target"], "rounds")


@check(
    section="10",
    severity="high",
    subject="{alert}",
    because="is firing since {active_at:%Y-%m-%d %H:%M:%S} UTC, and Alertmanager has no alert of that name",
    at="active_at",
    guide=("C122",),
)
def alertmanager_has_what_is_firing(prom_alerts, am_alerts, *, min_age_s=300):
    """Every alert that is firing is known to Alertmanager.

    By name: on the way its labels may be changed. One that became true less than {min_age_s:seconds} ago may be on its way.
    """
    old = (prom_alerts.asked_at - prom_alerts.active_at).dt.total_seconds() >= min_age_s
    rows = prom_alerts[(prom_alerts.state == "firing") & old & ~prom_alerts.alert.isin(set(am_alerts.alert))]
    return rows.assign(severity="high").sort_values("active_at")


@check(
    section="10",
    severity="medium",
    subject="{alert}",
    because="was firing {span}, and {by} had silenced it from {silenced_at:%Y-%m-%d %H:%M:%S} to {silenced_until:%Y-%m-%d %H:%M:%S} UTC:"
    " {comment}",
    at="at",
    guide=("C122",),
)
def no_silence_hides_an_alert(prom_alert_history, am_silences, prom_server):
    """No silence hid an alert that was firing during the incident.

    Somebody meant well: a deployment, a known noise. That it hid this incident, too, is for people to know. Of high severity for a
    critical alert, a note for one that is for nobody.
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
    rows = pd.DataFrame(hidden, columns=[*firing.columns, "span", "by", "comment", "silenced_at", "silenced_until"])
    return rows.sort_values("at").drop_duplicates(["alert", "labels", "silenced_at"])


def _matches(silence, alert: dict, external: list[dict]) -> bool:
    """Whether it holds for the alert as any Prometheus that was asked sends it."""
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
    grade = {"critical": "high"} | dict.fromkeys(FOR_NOBODY, "note")
    return alert | {
        "severity": grade.get(alert["severity"], "medium"),
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
    subject="{alert}",
    because="fires since {at:%Y-%m-%d %H:%M:%S} UTC, and nobody is told, because {stands_for_it} is firing",
    at="at",
    guide=("C122",),
)
def no_alert_is_inhibited(am_alerts):
    """No alert is kept back because of another one.

    That is as configured: the other one is what to look at first. But where its rule is too wide, it hides what is no consequence of it.
    """
    names = am_alerts.drop_duplicates("fingerprint").set_index("fingerprint").alert
    rows = am_alerts[am_alerts.inhibited_by != ""]
    return rows.assign(
        severity="note",
        stands_for_it=[", ".join(names.get(one, one) for one in sources.split()) for sources in rows.inhibited_by],
    )

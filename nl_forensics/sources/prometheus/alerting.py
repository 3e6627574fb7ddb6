"""The alerts of the incident: when they were firing, and when, by the expressions of their rules, they should have been."""

import json
import math
import re
import time
from collections.abc import Iterable, Iterator
from datetime import UTC as utc
from datetime import datetime

import pandas as pd

from nl_forensics.errors import BadAnswer
from nl_forensics.runs import runs
from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.prometheus.firing import OWN_LABELS, TOLERANCE, Due, Rule, episodes, within
from nl_forensics.sources.prometheus.series import spans, step_of

USUAL_SCRAPE_S = 60.0  # the default of Prometheus; before 2.30 it does not report its setting
NEWEST = "max(timestamp(up))"  # the newest sample of any target: where there was none, Prometheus itself was not there
BREAK = 2.5  # evaluations without a sample
AT_AN_END = re.compile(
    r"@\s*(start|end)\s*\("
)  # means each evaluation in a rule, and the whole range when a range is asked


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, utc)


def _seconds(text: str) -> float:
    return pd.Timestamp(text).timestamp()


def _labels(labels) -> str:
    return ",".join(f"{name}={value}" for name, value in sorted(labels))


# --- What fired -------------------------------------------------------------------------------------------------------


def _parse_history(records: list[dict]) -> pd.DataFrame:
    """Samples of ALERTS that follow one another are one row."""
    rows = []
    for record in records:
        metric = record["metric"]
        moments = pd.DataFrame({"at": [float(at) for at, _ in record["values"]]})
        interval_s = record["interval_s"] or moments["at"].diff().min()
        for _, part in moments["at"].groupby(runs(moments, max_gap=BREAK * interval_s)):
            rows.append(
                {
                    "window": record["window"],
                    "alert": metric["alertname"],
                    "state": metric["alertstate"],
                    "severity": metric.get("severity", ""),
                    "labels": json.dumps({k: v for k, v in metric.items() if k not in OWN_LABELS}, sort_keys=True),
                    "at": _moment(part.iloc[0]),
                    "until": _moment(part.iloc[-1]),
                }
            )
    return pd.DataFrame(rows, columns=list(HISTORY))


HISTORY = {
    "window": Column("str", "`incident` or `baseline`"),
    "alert": Column("str", "name of the alert"),
    "state": Column("str", "`pending` or `firing`"),
    "severity": Column("str", "label `severity`; empty if there is none"),
    "labels": Column("str", "all labels except name and state, as JSON"),
    "at": Column(UTC, "first evaluation of the episode in the window"),
    "until": Column(UTC, "last evaluation of the episode in the window"),
}


@source(
    parse=_parse_history,
    columns=HISTORY,
    covers="window",
    needs=Permission(prometheus="/api/v1/query /api/v1/rules"),
    guide=("C122",),
)
def prom_alert_history(prometheus, incident):
    """Pending and firing alerts during the incident and its baseline; one row per alert, state and episode.

    From the series ALERTS, which Prometheus writes at each evaluation of a rule, whether or not an Alertmanager silences the alert."""
    groups = prometheus.get("/api/v1/rules?type=alert")["groups"]
    intervals = {rule["name"]: group["interval"] for group in groups for rule in group["rules"]}
    yield Proof(f"Prometheus was asked for ALERTS, and has {len(intervals)} alerts by name")
    for name, window in (("incident", incident), ("baseline", incident.baseline)):
        if window:
            answer = prometheus.instant(f"ALERTS[{window.seconds:.0f}s]", window.end)
            yield from (Partial(f"{name}: warning of Prometheus: {one}", window=name) for one in answer["warnings"])
            for found in answer["result"]:
                yield {"window": name, "interval_s": intervals.get(found["metric"]["alertname"]), **found}


# --- What should have fired -------------------------------------------------------------------------------------------


MAX_EVALUATIONS = 100_000  # a query returns 11,000 steps at most


def _parse_due(records: list[dict]) -> pd.DataFrame:
    rows = [row for record in records if "rule" in record for row in _rows_of(record, records[0])]
    return pd.DataFrame(rows, columns=list(DUE))


def _rows_of(record: dict, server: dict) -> Iterator[dict]:
    """One row for each episode in which the rule's alerts were due."""
    rule = Rule(**{name: record[name] for name in ("interval_s", "for_s", "keep_s", "loaded_s", "labels")})
    if record["evaluations"] > MAX_EVALUATIONS:
        raise ValueError(f"more than {MAX_EVALUATIONS:,} evaluations")
    steps = [record["first_s"] + number * rule.interval_s for number in range(record["evaluations"])]
    truth: dict = {}
    for series in record["series"]:
        there = {round((float(at) - steps[0]) / rule.interval_s) for at, _ in series["values"]}
        truth.setdefault(rule.alert_of(series["metric"]), set()).update(steps[place] for place in there)
    fired: dict = {}
    for series in record["alerts"]:
        fired.setdefault(rule.comparable(series["metric"]), []).extend(float(at) for at, _ in series["values"])
    alive = set(_with_data(steps, server))
    seen = {alert: sorted(moments) for alert, moments in fired.items()}
    for due in episodes(rule, steps, alive, truth, seen, record["start_s"]):
        yield {name: record[name] for name in ("group", "rule", "severity", "last_error", "for_s")} | _row(due)


def _row(due: Due) -> dict:
    first, last = due.missed or (None, None)
    return {
        "labels": _labels(due.alert),
        "at": _moment(due.first_s),
        "until": _moment(due.last_s),
        "evaluations": due.evaluations,
        "fired": due.fired,
        "fired_at": _moment(due.fired_s),
        "missed_at": _moment(first),
        "missed_until": _moment(last),
    }


DUE = {
    "group": Column("str", "rule group"),
    "rule": Column("str", "name of the alert"),
    "severity": Column("str", "label `severity` of the rule; empty if there is none"),
    "labels": Column("str", "labels of the alert, without its name and those that a template makes"),
    "for_s": Column("float64", "`for` of the rule: time from pending to firing"),
    "last_error": Column("str", "error of the last evaluation of the rule; empty if it succeeded"),
    "at": Column(UTC, "first evaluation of an episode in which the alert should have been firing, its `for` included"),
    "until": Column(UTC, "last evaluation of that episode"),
    "evaluations": Column("Int64", "evaluations in that episode"),
    "fired": Column("boolean", "whether the alert was firing then, by the series ALERTS"),
    "fired_at": Column(
        UTC,
        "first evaluation of the episode at which the alert was firing",
        absent="the alert was not firing in the episode",
    ),
    "missed_at": Column(
        UTC,
        "start of the longest part in which it should have been firing and was not",
        absent="no such part is proven",
    ),
    "missed_until": Column(UTC, "end of that part", absent="no such part is proven"),
}


@source(
    parse=_parse_due,
    columns=DUE,
    covers="window",
    needs=Permission(
        prometheus="/api/v1/rules /api/v1/targets /api/v1/query_range /api/v1/query /api/v1/status/runtimeinfo"
    ),
    guide=("C122",),
    hole="Prometheus read its rules or started only later, had no data then, or the alert was due for one or two evaluations:"
    " see prom_alert_history",
)
def prom_rule_series(prometheus, incident, platform):
    """When alerts should have been firing: the expression of each alerting rule, queried at each of its evaluations.

    `fired` is null if that cannot be decided. The rules of today are queried: nothing before Prometheus last loaded its configuration, or
    started, counts as missed. A rule that is evaluated more often than `budget.prometheus_points` allows is left out."""
    rules = [(group, rule) for group in prometheus.get("/api/v1/rules?type=alert")["groups"] for rule in group["rules"]]
    asked = rules[: platform.budget.prometheus_rules]
    alive = _alive(prometheus, incident, max((_before_s(*each) for each in asked), default=0), platform.budget)
    yield alive
    if asked:
        yield from _without_data(alive, incident)
    if len(rules) > len(asked):
        yield Partial(f"{len(rules) - len(asked)} alerting rules of {len(rules)}", "raise budget.prometheus_rules")
    running = prometheus.get("/api/v1/status/runtimeinfo")
    loaded_s = max(_seconds(running["startTime"]), _seconds(running["lastConfigTime"]))
    now_s = time.time() + prometheus.clock.offset_s
    for group, rule in asked:
        last_s = min(incident.end.timestamp(), now_s - TOLERANCE * group["interval"])
        found = _Question(group, rule, incident.start.timestamp(), last_s)
        yield from found.asked(prometheus, loaded_s, platform.budget.prometheus_points)
    yield Proof(f"the expressions of {len(asked)} alerting rules were asked")


def _before_s(group: dict, rule: dict) -> float:
    """How long before a moment one must look to know what is pending or firing then."""
    return rule["duration"] + rule.get("keepFiringFor", 0) + (TOLERANCE + 1) * group["interval"]


def _alive(prometheus, incident, before_s: float, budget) -> dict:
    """When Prometheus had data at all."""
    whole_s = before_s + incident.seconds
    step_s = step_of(whole_s, budget.prometheus_points)
    first_s, last_s = incident.start.timestamp() - before_s, incident.end.timestamp() + step_s
    targets = prometheus.get("/api/v1/targets?state=active")["activeTargets"]
    told = [pd.Timedelta(one["scrapeInterval"]).total_seconds() for one in targets if one.get("scrapeInterval")]
    newest = prometheus.steps(NEWEST, first_s, last_s, step_s)["result"]
    return {"step_s": step_s, "scrape_s": min(told, default=USUAL_SCRAPE_S), "alive": newest}


def _with_data(moments: Iterable[float], alive: dict) -> Iterator[float]:
    """Those of the moments that lie no further from a sample than an interval between scrapes, or a step.

    What an expression gives in a hole is old: Prometheus repeats the last value for five minutes, and no rule was evaluated.
    """
    samples = sorted({float(newest) for series in alive["alive"] for _, newest in series["values"]})
    step_s, before_s = alive["step_s"], max(alive["step_s"], alive["scrape_s"])
    yield from (at for at in moments if within(samples, at - before_s, at + step_s))


def _without_data(alive: dict, incident) -> Iterator[Partial]:
    """What was due when Prometheus had no data is not known: its expressions gave nothing then, or `absent`. One missing step may be a late
    scrape.
    """
    step_s = alive["step_s"]
    expected = range(round(incident.start.timestamp()), round(incident.end.timestamp()), step_s)
    seen = set(_with_data(expected, alive))
    missing = [at for at in expected if at not in seen]
    if len(missing) > 1:
        yield Partial(f"no target had a sample {spans(missing, step_s)}", "see whether Prometheus ran, and scraped")


class _Question:
    """One rule, over the window and so far before it that what was pending then is known."""

    def __init__(self, group: dict, rule: dict, start_s: float, end_s: float):
        self.group, self.rule, self.start_s = group, rule, start_s
        self.interval_s = group["interval"]
        self.name = f"rule {rule['name']} of {group['name']}"
        phase = _seconds(group.get("lastEvaluation") or rule["lastEvaluation"]) % self.interval_s
        first_s = start_s - _before_s(group, rule)
        self.first_s = first_s + (phase - first_s) % self.interval_s
        self.evaluations = int((end_s - self.first_s) // self.interval_s) + 1
        self.last_s = self.first_s + (self.evaluations - 1) * self.interval_s

    def asked(self, prometheus, loaded_s: float, most: int) -> Iterator:
        """The record of the answers; or what stands against asking."""
        if self.evaluations > most:
            remedy = "raise budget.prometheus_points, or ask about a shorter time"
            yield Partial(f"{self.name}: {self.evaluations} evaluations", remedy)
        elif AT_AN_END.search(self.rule["query"]):
            yield Partial(f"{self.name}: what its expression takes `@ start()` or `@ end()` can't be asked over a time")
        else:
            yield from self._answers(prometheus, loaded_s)

    def _answers(self, prometheus, loaded_s: float) -> Iterator:
        try:
            found = prometheus.steps(self.rule["query"], self.first_s, self.last_s, self.interval_s)
            alerts = prometheus.instant(self._firing, datetime.fromtimestamp(self._seen_s, utc))
        except BadAnswer as error:
            yield Partial(f"{self.name}: {error}", "see whether Prometheus can evaluate it, on its page /rules")
            return
        yield from (
            Partial(f"{self.name}: warning of Prometheus: {one}") for one in found["warnings"] + alerts["warnings"]
        )
        yield {
            "group": self.group["name"],
            "rule": self.rule["name"],
            "severity": self.rule.get("labels", {}).get("severity", ""),
            "last_error": self.rule.get("lastError", ""),
            "labels": self.rule.get("labels", {}),
            "for_s": self.rule["duration"],
            "keep_s": self.rule.get("keepFiringFor", 0),
            "interval_s": self.interval_s,
            "loaded_s": loaded_s,
            "start_s": self.start_s,
            "first_s": self.first_s,
            "evaluations": self.evaluations,
            "series": found["result"],
            "alerts": alerts["result"],
        }

    @property
    def _seen_s(self) -> float:
        return self.last_s + (TOLERANCE + 1) * self.interval_s

    @property
    def _firing(self) -> str:
        """When it was firing, sample by sample."""
        name, back_s = json.dumps(self.rule["name"], ensure_ascii=False), math.ceil(self._seen_s - self.first_s)
        return f'ALERTS{{alertname={name},alertstate="firing"}}[{back_s}s]'

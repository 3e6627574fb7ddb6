"""Silences and scrapes: what the rules find in tables that a test makes."""

import json

import pandas as pd
import pytest

from tests.asking import offenders

NOW = pd.Timestamp.now("UTC").floor("s")


def minutes_ago(number):
    return NOW - pd.Timedelta(minutes=number)


def history(severity="critical", first=20, last=5, **labels):
    row = {
        "window": "incident",
        "alert": "RedisDown",
        "state": "firing",
        "severity": severity,
        "labels": json.dumps(labels),
    }
    return pd.DataFrame([row | {"at": minutes_ago(first), "until": minutes_ago(last)}])


def silence(*matchers, first=60, last=-60, state="active"):
    told = [{"name": n, "value": v, "isRegex": r, "isEqual": e} for n, v, r, e in matchers]
    row = {"silence": "1", "state": state, "by": "anna", "comment": "", "matchers": json.dumps(told)}
    return pd.DataFrame([row | {"at": minutes_ago(first), "until": minutes_ago(last)}])


SERVER = pd.DataFrame([{"external_labels": json.dumps({"cluster": "eu-1"})}])


@pytest.mark.parametrize(
    ("matchers", "hidden"),
    [
        ([("alertname", "RedisDown", False, True)], True),
        ([("alertname", "Redis", True, True)], False),  # a regular expression is for the whole value
        ([("alertname", "Redis.*", True, True)], True),
        ([("alertname", "RedisDown", False, True), ("zone", "b", False, True)], False),
        ([("zone", "b", False, False)], True),
        ([("cluster", "eu-1", False, True)], True),  # a label that Prometheus adds when it sends
        ([("cluster", "eu-2", False, True)], False),
        ([("team", "", False, True)], True),  # a label that it has not
    ],
)
def test_what_a_silence_hides(matchers, hidden):
    rows = offenders("no_silence_hides_an_alert", history(zone="a"), silence(*matchers), SERVER)
    assert len(rows) == hidden


@pytest.mark.parametrize(
    ("when", "hidden"),
    [
        ({"first": 60, "last": 30}, False),  # over before the alert
        ({"first": 4}, False),  # made after it
        ({"first": 10, "last": 8, "state": "expired"}, True),
        ({"first": -5, "state": "pending"}, False),
    ],
)
def test_when_a_silence_hides(when, hidden):
    rows = offenders("no_silence_hides_an_alert", history(), silence(("alertname", ".+", True, True), **when), SERVER)
    assert len(rows) == hidden


@pytest.mark.parametrize(
    ("severity", "expected"), [("critical", "high"), ("warning", "medium"), ("", "medium"), ("none", "note")]
)
def test_how_bad_a_silence_is(severity, expected):
    rows = offenders(
        "no_silence_hides_an_alert", history(severity), silence(("alertname", "RedisDown", False, True)), SERVER
    )
    assert list(rows.severity) == [expected]


REDIS_TARGET = {"job": "redis", "target": "redis-0:9121"}


OTHER = {"job": "postgres", "target": "postgres-0:9187"}


def steps(values, step_s=15, **columns):
    """A series over the incident: a value a step, None where there is none."""
    rows = [
        {"window": "incident", "at": minutes_ago(30) + pd.Timedelta(seconds=step_s * n), "value": value} | columns
        for n, value in enumerate(values)
        if value is not None
    ]
    return pd.DataFrame(rows)


def targets(*which, interval="15s", **columns):
    shape = {"health": "up", "last_error": "", "interval": interval, "address": "", "namespace": "", "pod": ""}
    return pd.DataFrame([shape | one | columns for one in which])


def aged(*series):
    return pd.concat(series).rename(columns={"value": "age_s"})


@pytest.mark.parametrize(
    ("ages", "scopes"),
    [
        ([5] * 20, []),
        ([5] * 5 + [15 * n for n in range(1, 6)] + [5] * 10, []),  # 75 s: a restart
        ([5] * 5 + [15 * n for n in range(1, 12)] + [5] * 10, ["redis: redis-0:9121"]),
        ([5] * 5 + [None] * 8 + [5] * 5, ["redis: redis-0:9121"]),
        ([None] * 8 + [5] * 10, []),  # it came
        ([5] * 10 + [None] * 8, []),  # it went
    ],
)
def test_scrapes_that_are_left_out(ages, scopes):
    other = steps([5] * len(ages), **OTHER)
    rows = offenders("no_scrape_is_left_out", aged(steps(ages, **REDIS_TARGET), other), targets(REDIS_TARGET, OTHER))
    assert list(rows.scope) == scopes


def test_a_hole_goes_from_the_last_scrape_to_the_last_step_that_sees_it():
    table = aged(steps([5] * 5 + [5 + 15 * n for n in range(1, 10)] + [5] * 5, **REDIS_TARGET))
    [row] = offenders("no_scrape_is_left_out", table, targets(REDIS_TARGET)).to_dict("records")
    assert row["at"] == table["at"].iloc[4] - pd.Timedelta(seconds=5)
    assert row["until"] == table["at"].iloc[13]


def test_where_nothing_was_scraped_it_is_prometheus():
    ages = [5] * 5 + [None] * 20 + [5] * 5
    table = aged(steps(ages, **REDIS_TARGET), steps(ages, **OTHER))
    rows = offenders("no_scrape_is_left_out", table, targets(REDIS_TARGET, OTHER))
    assert list(rows.scope) == ["all targets"]
    assert list(rows.severity) == ["critical"]


def test_a_slow_interval_is_no_hole():
    table = aged(steps([60 * (n % 4) for n in range(40)], **REDIS_TARGET))
    assert offenders("no_scrape_is_left_out", table, targets(REDIS_TARGET, interval="1m0s")).empty


@pytest.mark.parametrize(("down", "severity"), [([0] * 10, "critical"), ([0, 1] * 5, "high"), ([1] * 10, "high")])
def test_a_job_that_is_all_down_is_worse(down, severity):
    up = pd.concat([steps([0] * 10, **REDIS_TARGET), steps(down, job="redis", target="redis-1:9121")])
    up = up.rename(columns={"value": "up"})
    rows = offenders("every_target_was_up", up, targets(REDIS_TARGET, health="down", last_error="refused"))
    assert rows.set_index("target").severity["redis-0:9121"] == severity
    assert "refused" in rows.set_index("target").still["redis-0:9121"]


def test_one_failed_scrape_is_no_outage():
    up = steps([1, 1, 0, 1, 1], **REDIS_TARGET).rename(columns={"value": "up"})
    assert offenders("every_target_was_up", up, targets(REDIS_TARGET)).empty


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ({"address": "10.0.0.7:8080"}, 0),
        ({"address": "10.0.0.8:8080"}, 1),
        ({"address": "api.neurallog-system:8080", "namespace": "neurallog-system", "pod": "api-1"}, 0),
    ],
)
def test_what_asks_to_be_scraped(target, found):
    asks = {"kind": "Pod", "namespace": "neurallog-system", "name": "api-1", "selected": 1, "missing_ports": ""}
    asks |= {"ready_pods": "neurallog-system/api-1", "ready_addresses": "10.0.0.7"}
    rows = offenders("what_asks_to_be_scraped_is", pd.DataFrame([asks]), targets(REDIS_TARGET | target))
    assert len(rows) == found

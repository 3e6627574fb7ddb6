"""Of each service, which cause of slowness is supported, which is refuted, and which was not seen."""

import pandas as pd
import pytest

from nl_forensics import checks
from nl_forensics.conclusions.causes import CAUSES, REFUTED, SLOW, SUPPORTED, UNDETERMINED, causes, of_service
from nl_forensics.finding import Finding, Status
from tests.charts.test_charts import case_of
from tests.recorded import specimen


def problem(partial=False, **row):
    rows = pd.DataFrame([{"namespace": "neurallog-system"} | row])
    return Finding("a_check", "03", Status.PROBLEM, "…", "…", partial=partial, rows=rows)


OK, UNKNOWN = (Finding("a_check", "03", status, "03", "…") for status in (Status.OK, Status.UNKNOWN))
OURS, OTHER = {"service": "api-gateway"}, {"service": "billing-service"}


@pytest.mark.parametrize(
    ("found", "state"),
    [
        ([[problem(**OURS)]], SUPPORTED),
        ([[problem(partial=True, **OURS)], [UNKNOWN]], SUPPORTED),
        ([[OK], [OK]], REFUTED),
        ([[OK], [problem(**OTHER)]], REFUTED),
        ([[OK], [UNKNOWN]], UNDETERMINED),
        ([[problem(partial=True, **OTHER)]], UNDETERMINED),
        ([[OK], []], UNDETERMINED),  # the platform has no such system
    ],
)
def test_states(found, state):
    assert of_service(found, "neurallog-system", "api-gateway") == state


@pytest.mark.parametrize(
    ("row", "is_ours"),
    [
        ({"workload": "api-gateway"}, True),
        ({"pod": "api-gateway-7d9c5f4b6d-x2x4q"}, True),  # of a deployment
        ({"pod": "api-gateway-x2x4q"}, True),  # of a daemon set
        ({"pod": "api-gateway-0"}, True),  # of a stateful set
        ({"pod": "api-gateway-canary-7d9c5f4b6d-x2x4q"}, False),
        ({"pod": "api-gateway-7d9c5f4b6d-x2x4q", "namespace": "another"}, False),
        ({"service": "api"}, False),
        ({"node": "api-gateway"}, False),
    ],
)
def test_whose_problem_it_is(row, is_ours):
    expected = SUPPORTED if is_ours else REFUTED
    assert of_service([[problem(**row)]], "neurallog-system", "api-gateway") == expected


def test_every_cause_rests_on_rules_that_there_are():
    assert {name for names in CAUSES.values() for name in names} <= checks.load().keys()


def test_where_nothing_was_seen_no_service_looks_quick(tmp_path):
    told = causes(case_of(tmp_path, {}, refused=["prom_service_up"]))
    assert told.rows.empty
    assert "Prometheus scrapes no service, or its data is missing" in told.words


def test_a_slow_service_is_told_with_what_was_not_seen(tmp_path):
    slow = specimen("a_tenth_is_slow")["answers"]
    row = {"metric": {"namespace": "neurallog-system", "service": "api-gateway"}, "window": "incident", "step_s": 15}
    asked_at = next(iter(slow.values()))["asked_at"]
    at = pd.Timestamp(asked_at).timestamp()
    up = {"records": [row | {"values": [[at - 60, "1"], [at, "1"]]}], "asked_at": asked_at}
    told = causes(case_of(tmp_path, slow | {"prom_service_up": up}, asked_at=asked_at))
    (row,) = told.rows.to_dict("records")
    assert (row["service"], row[SLOW]) == ("neurallog-system/api-gateway", "yes")
    assert row["CPU throttling"] == UNDETERMINED
    assert "neurallog-system/api-gateway is slow (undetermined: " in told.words

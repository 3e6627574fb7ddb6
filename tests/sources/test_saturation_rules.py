"""What is used up: what the rules find in tables that a test makes."""

import pandas as pd
import pytest

from tests.asking import offenders, steps

CONTAINER = dict.fromkeys(("target", "namespace", "pod", "container"), "x")


SERVICE = {"namespace": "tenant-acme", "service": "log-server"}


def cpu(throttled, used=0.1, limit=0.5, step_s=60):
    """The three tables of one container."""
    table = steps({"throttled_ratio": throttled}, step_s, **CONTAINER)
    whole = table.drop(columns="throttled_ratio")
    return table, whole.assign(used_cores=used), whole.assign(limit_cores=limit)


@pytest.mark.parametrize(
    ("throttled", "used", "expected"),
    [
        ([0] * 15 + [0.4] * 15, 0.1, ["medium"]),  # in bursts
        ([0] * 15 + [0.4] * 15, 0.45, ["high"]),
        ([0.2] * 30, 0.45, []),  # below the limit
        ([0.4] * 9 + [0] * 21, 0.1, []),  # not for long enough: 8 minutes and the 5 before
        ([0] * 29 + [0.9], 0.1, []),  # one step
        ([0.4, 0] * 15, 0.1, []),  # again and again, never for long
        ([0.4] * 6, 0.1, ["medium"]),  # all of a short incident
        ([0] + [0.4] * 5, 0.1, ["medium"]),  # most of it
        ([0.4] * 3 + [0] * 3, 0.1, []),
    ],
)
def test_throttling(throttled, used, expected):
    assert list(offenders("no_container_is_throttled", *cpu(throttled, used)).severity) == expected


def test_what_was_in_a_hole_is_not_known():
    """Held back before it and after it: that is no run of a quarter of an hour."""
    table, used, limit = cpu([0.4] * 8 + [0.1] * 12 + [0.4] * 8)
    assert offenders("no_container_is_throttled", table[table.throttled_ratio > 0.2], used, limit).empty


def test_throttling_is_a_problem_where_use_is_not_known():
    table, used, limit = cpu([0.4] * 30)
    assert list(offenders("no_container_is_throttled", table, used.head(0), limit.head(0)).severity) == ["medium"]


def test_the_baseline_is_not_judged():
    tables = [table.assign(window="baseline") for table in cpu([0.9] * 30, 0.5)]
    assert offenders("no_container_is_throttled", *tables).empty
    assert offenders("containers_stayed_below_their_cpu_limit", *tables[1:]).empty


@pytest.mark.parametrize(
    ("used", "limit", "expected"),
    [
        ([0.48] * 30, 0.5, 1),
        ([0.44] * 30, 0.5, 0),
        ([0.48] * 30, 0, 0),  # it has no limit
        ([0.1] * 22 + [0.48] * 8, 0.5, 0),  # not for long enough
        ([0.1] * 29 + [0.5], 0.5, 0),  # one step
    ],
)
def test_cpu_near_its_limit(used, limit, expected):
    _, table, limits = cpu([0] * 30, limit=limit)
    assert len(offenders("containers_stayed_below_their_cpu_limit", table.assign(used_cores=used), limits)) == expected


def gc(during, before=()):
    """The table of one service, a minute a step."""
    tables = [steps({"gc_ratio": list(during)}, 60, **SERVICE)]
    tables += [steps({"gc_ratio": list(before)}, 60, **SERVICE).assign(window="baseline")] if before else []
    return pd.concat(tables)


@pytest.mark.parametrize(
    ("during", "expected"),
    [
        ([0.01] * 20 + [0.2] * 10, ["medium"]),
        ([0.01] * 20 + [0.4] * 10, ["high"]),
        ([0.08] * 30, []),
        ([0.01] * 26 + [0.4] * 4, []),  # not for long enough
        ([0.01] * 29 + [0.9], []),  # one step
    ],
)
def test_garbage(during, expected):
    assert list(offenders("services_spend_little_time_on_garbage", gc(during)).severity) == expected


def test_what_is_usual_is_told():
    (row,) = offenders("services_spend_little_time_on_garbage", gc([0.2] * 30, [0.15] * 30)).to_dict("records")
    assert row["usual"] == "at most 15 % in the baseline"


def pool(in_use, size, waiting, step_s=15):
    """The three tables of one pod's pool."""
    table = steps({"in_use": in_use, "size": size, "waiting": waiting}, step_s, target="10.0.0.6:8080", **SERVICE)
    names = ("in_use", "size", "waiting")
    return [table.drop(columns=[other for other in names if other != name]) for name in names]


@pytest.mark.parametrize(
    ("in_use", "waiting", "expected"),
    [
        ([2] * 10 + [10] * 10, [0] * 10 + [3] * 10, 1),
        ([10] * 20, [0] * 20, 0),  # full, and enough
        ([5] * 20, [1] * 20, 0),  # whoever waits is about to open one
        ([2] * 17 + [10] * 3, [0] * 17 + [3] * 3, 0),  # a moment
        ([10] * 20, [3, 0] * 10, 1),  # whenever one looks twice
        ([10] * 20, [3, 0, 0, 0] * 5, 0),  # moments
        ([2] * 19 + [10], [0] * 19 + [3], 0),  # one step
        ([10] * 3, [3] * 3, 1),  # all of a short incident
    ],
)
def test_pools(in_use, waiting, expected):
    found = offenders("no_connection_pool_is_exhausted", *pool(in_use, 10, waiting))
    assert len(found) == expected


def times(waiting, busy, before=None):
    """The two tables of one service, a minute a step; `before`: both in the baseline."""
    now = steps({"waiting_per_s": waiting, "busy_per_s": busy}, 60, **SERVICE)
    if before:
        rows = steps({"waiting_per_s": [before[0]] * 30, "busy_per_s": [before[1]] * 30}, 60, **SERVICE)
        now = pd.concat([now, rows.assign(window="baseline", at=rows["at"] - pd.Timedelta(hours=2))])
    return now.drop(columns="busy_per_s"), now.drop(columns="waiting_per_s")


@pytest.mark.parametrize(
    ("waiting", "busy", "before", "expected"),
    [
        ([0.4] * 30, [0.5] * 30, None, ["note"]),  # nothing to compare with
        ([0.4] * 30, [0.5] * 30, (0.4, 0.5), ["note"]),  # as always
        ([0.8] * 30, [1.0] * 30, (0.4, 0.5), ["note"]),  # twice the requests
        ([0.4] * 30, [0.5] * 30, (0.05, 0.15), ["medium"]),
        ([0.02] * 15 + [0.4] * 15, [0.1] * 15 + [0.5] * 15, (0.02, 0.1), ["medium"]),
        ([0.04] * 30, [0.05] * 30, (0.04, 0.2), ["note"]),  # the rest became faster
        ([0.2] * 30, [0.5] * 30, (0.01, 0.3), []),  # not the most
        ([0.001] * 30, [0.0011] * 30, (0.0001, 0.001), []),  # seconds in all
        ([0.02] * 29 + [0.4], [0.2] * 29 + [0.5], (0.02, 0.2), []),  # one step
        ([0.0] * 30, [0.0] * 30, (0.02, 0.2), []),  # nobody asked
    ],
)
def test_the_database_in_the_time_of_requests(waiting, busy, before, expected):
    found = offenders("services_wait_little_for_the_database", *times(waiting, busy, before))
    assert list(found.severity) == expected


def test_how_much_it_was_before_is_told():
    (row,) = offenders("services_wait_little_for_the_database", *times([0.4] * 30, [0.5] * 30, (0.05, 0.25))).to_dict(
        "records"
    )
    assert (row["database_ratio"], row["usual"]) == (pytest.approx(0.8), "20 % in the baseline")

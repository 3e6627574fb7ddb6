"""Rules over series: what they find in tables that a test makes, and the false alarms that they avoid."""

import pandas as pd
import pytest

from tests.asking import offenders, steps


def test_the_baseline_is_not_judged():
    """An outage before the incident is another incident."""
    table = steps({"up": [0, 0, 1]}, target="redis-0:9121").assign(window="baseline")
    assert offenders("redis_was_up", table).empty


def test_an_outage_is_one_finding():
    rows = offenders("redis_was_up", steps({"up": [1, 0, 0, 1, 0]}, target="redis-0:9121"))
    assert len(rows) == 1
    assert (rows.until - rows["at"]).iloc[0] == pd.Timedelta(seconds=45)


def test_a_moment_of_lag_is_no_alarm():
    """A primary that writes nothing for a few seconds makes its replica look late."""
    assert offenders("replicas_kept_up", steps({"lag_s": [0, 7, 9, 0, 0]}, target="replica")).empty
    assert len(offenders("replicas_kept_up", steps({"lag_s": [0, 7, 9, 12, 0]}, target="replica"))) == 1


def test_an_active_backup_may_take_its_time():
    table = steps({"longest_s": [3000, 3015, 3030]}, target="postgres-0:9187", state="active")
    assert offenders("no_transaction_lasted_long", table).empty
    idle = table.assign(state="idle in transaction")
    assert list(offenders("no_transaction_lasted_long", idle).severity) == ["high"]


def test_without_maxmemory_there_is_no_limit():
    used = steps({"used_bytes": [100, 200]}, target="redis-0:9121")
    limit = used.drop(columns="used_bytes").assign(limit_bytes=0)
    assert offenders("redis_memory_stayed_below_its_limit", used, limit).empty


@pytest.mark.parametrize(
    ("free", "growth", "expected"),
    [
        (0.02, -5.0, ["critical"]),  # nearly full, though it empties
        (0.10, 1e-6, ["high"]),  # full within 4 days
        (0.10, 1e-8, []),  # full in four months
        (0.10, None, []),  # younger than 3 h: a trend of minutes says nothing of days
        (0.40, 1e-2, []),  # room enough: a nightly backup comes and goes
    ],
)
def test_disks(free, growth, expected):
    volume = {"target": "node-0", "namespace": "", "volume": "/data"}
    available = steps({"available_bytes": [free * 1e9] * 3}, **volume)
    shape = available.drop(columns="available_bytes")
    trend = shape.assign(growth_bytes_per_s=growth * 1e9) if growth else shape.head(0).assign(growth_bytes_per_s=0.0)
    found = offenders("disks_do_not_fill", available, shape.assign(size_bytes=1e9), trend)
    assert list(found.severity) == expected


@pytest.mark.parametrize(
    ("items", "alarm"),
    [
        ([20, 300, 9_000, 52_000], True),
        ([9_000, 5_000, 2_000, 1_500], False),  # it drains
        ([20, 400, 20, 300], False),  # short
        ([50_000, 51_000, 50_500, 50_900], False),  # long, but steady: a backlog of old
    ],
)
def test_queue_growth(items, alarm):
    depth = steps({"items": items}, target="redis-0:9121", key="log_queue")
    up = steps({"up": [1] * 4}, target="redis-0:9121")
    assert len(offenders("queues_drained", depth, up)) == alarm


def memory_of(values, limit=100, step_s=60, **columns):
    """The two tables of one container."""
    used = steps(
        {"used_bytes": values}, step_s, **columns | dict.fromkeys(("target", "namespace", "pod", "container"), "x")
    )
    return used, used.drop(columns="used_bytes").assign(limit_bytes=limit)


@pytest.mark.parametrize(
    ("used", "limit", "expected"),
    [
        ([50, 97, 50], 100, ["high"]),
        ([50, 92, 50], 100, ["medium"]),
        ([50, 89, 50], 100, []),
        ([50, 97, 50], 0, []),  # it has no limit
    ],
)
def test_memory_of_containers_against_their_limit(used, limit, expected):
    found = offenders("containers_stayed_below_their_memory_limit", *memory_of(used, limit))
    assert list(found.severity) == expected


def leaking(used, runs=(1,), **columns):
    """What the rule about leaks says of one container, a minute a step; `runs`: a number for each step, or one for all."""
    memory, limit = memory_of(used, **columns)
    started = pd.Series(list(runs) * (len(used) if len(runs) == 1 else 1), dtype="float64")
    starts = memory.drop(columns="used_bytes").assign(started_s=started)
    rows = offenders("no_container_grows_towards_its_memory_limit", memory, limit, starts)
    return rows.to_dict("records")


@pytest.mark.parametrize(
    ("used", "alarm"),
    [
        ([30 + n for n in range(30)], True),
        ([30 + n + n % 3 for n in range(30)], True),  # with some noise
        ([3, 30] + [35 + n * 0.001 for n in range(28)], False),  # what a start takes
        ([30 + n for n in range(20)] + [50] * 10, False),  # a cache that is warm now
        ([30 + n % 10 * 4 for n in range(30)], False),  # it is given back now and then
        ([30 + n for n in range(10)], False),  # ten minutes tell nothing
        ([30 + n * 0.01 for n in range(30)], False),  # full in days
        ([30 + n % 2 * 30 + n * 0.5 for n in range(30)], False),  # swings that hide a line, if there is one
        ([60 - n for n in range(30)], False),
        ([50] * 30, False),
        ([30], False),  # one step
    ],
)
def test_growing_memory(used, alarm):
    assert len(leaking(used)) == alarm


def test_a_leak_is_told_with_its_line():
    (row,) = leaking([30 + n for n in range(30)])
    assert (row["fit"], row["hourly_bytes"], row["restarts"]) == (pytest.approx(1), pytest.approx(60), 0)
    assert row["left_s"] == pytest.approx(41 * 60)
    assert row["severity"] == "high"


@pytest.mark.parametrize(
    ("used", "runs", "restarts"),
    [
        # Killed twice, and it grew again each time: one line through all of it would be flat.
        ([30 + n % 10 * 7 for n in range(30)], [n // 10 for n in range(30)], 2),
        # Killed a minute ago: the run before tells of the leak, the newest one how much is left.
        ([30 + n for n in range(28)] + [30, 31], [1] * 28 + [2, 2], 1),
    ],
)
def test_a_leak_across_restarts(used, runs, restarts):
    (row,) = leaking(used, runs)
    assert row["restarts"] == restarts
    assert row["fit"] > 0.99
    assert row["now_bytes"] == used[-1]


@pytest.mark.parametrize(
    ("used", "runs"),
    [
        (
            [10 + n % 4 * 20 for n in range(32)],
            [n // 4 for n in range(32)],
        ),  # a crash loop: each run grows as it starts
        ([30 + n for n in range(12)] + [30] * 18, [1] * 12 + [2] * 18),  # the newest run does not grow
        ([30] * 15 + [60] * 15, [1] * 15 + [2] * 15),  # a run that takes more than the one before
    ],
)
def test_restarts_that_are_no_leak(used, runs):
    assert leaking(used, runs) == []


def test_a_hole_is_no_end_of_a_leak():
    memory, limit = memory_of([30 + n for n in range(30)])
    seen = (memory.index < 10) | (memory.index > 20)
    starts = memory.drop(columns="used_bytes").assign(started_s=1.0)
    assert len(offenders("no_container_grows_towards_its_memory_limit", memory[seen], limit[seen], starts[seen])) == 1

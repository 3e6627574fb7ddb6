import pandas as pd
import pytest

from nl_forensics.facts.episodes import sustained
from nl_forensics.runs import runs


def series(*minutes, **columns):
    return pd.DataFrame({"at": pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(minutes, unit="min"), **columns})


def sizes(table, *by, **how):
    return table.groupby(runs(table, by, **how)).size().tolist()


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [((), []), ((0,), [1]), ((0, 1, 2.5, 3), [4]), ((0, 1, 2, 4, 5), [3, 2]), ((0, 1, 1, 2), [4])],
    ids=["nothing", "one row", "a step comes late", "a step is missing", "two rows of one step"],
)
def test_a_missing_step_ends_a_run(minutes, expected):
    assert sizes(series(*minutes)) == expected


def test_a_run_has_one_state():
    table = series(0, 1, 2, 3)
    assert sizes(table, state=pd.Series([True, True, False, True])) == [2, 1, 1]


def test_each_series_has_its_own_runs_whatever_the_order_of_the_rows():
    table = series(2, 0, 1, 0, 4, 1, name=["a", "a", "a", "b", "a", "b"])
    table.index = [7] * 6
    assert runs(table, ["name"]).tolist() == [1, 1, 1, 3, 2, 3]


def test_a_gap_is_counted_from_the_end_of_all_rows_before():
    table = series(0, 1, 10, 20).assign(until=series(12, 2, 11, 21)["at"])
    assert sizes(table, max_gap=pd.Timedelta(minutes=5), until="until") == [3, 1]


def test_numbers_are_moments_too():
    assert sizes(pd.DataFrame({"at": [0.0, 30.0, 60.0, 150.0]}), max_gap=45.0) == [3, 1]


@pytest.mark.parametrize(("moments", "expected"), [(False, 0), (True, 4)])
def test_a_single_good_reading_ends_an_episode_unless_it_is_one_of_a_moment(moments, expected):
    table = series(0, 1, 2, 3, 4, name="a")
    broken = pd.Series([True, True, False, True, True])
    assert len(sustained(table, broken, ["name"], min_s=240, moments=moments)) == expected

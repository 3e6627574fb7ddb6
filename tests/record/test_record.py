"""What stories are recorded with: a clock to look at, and a past with the incident in it."""

import json
import random
import shutil
import time
from datetime import timedelta

import pytest

from nl_forensics.evidence import demo
from tests import recorded
from tests.record import stories
from tests.record.clock import Clock
from tests.record.past import Gone, Ramp, Turn, past
from tests.stack import postgres, redis
from tests.stack.history import Counter, Gauge


def values(shape, steps=10, step_s=60):
    return list(shape.values(random.Random(1), steps, step_s))


def test_a_series_takes_another_shape_so_many_minutes_ago():
    assert values(Turn(Gauge(1), Gauge(5), minutes=3)) == [1] * 7 + [5] * 3
    assert values(Turn(Gauge(1), Ramp(0, 4), minutes=4)) == [1] * 6 + [1, 2, 3, 4]
    assert values(Turn(Gauge(1), Gone(), minutes=2)) == [1] * 8 + [None] * 2


def test_a_counter_goes_on_from_where_it_was():
    assert values(Turn(Counter(1, 0, start=0), Counter(10, 0), minutes=2), steps=4) == [60, 120, 720, 1320]


def test_a_past_without_a_value_has_no_line():
    told = past(minutes=12, redis={"redis_up": Gone()})
    assert len([line for line in told.splitlines() if line.startswith("redis_up{")]) == 6 * 120 - 24


def test_a_misspelt_series_is_noticed():
    with pytest.raises(KeyError, match="redis_upp"):
        past(minutes=1, redis={"redis_upp": Gone()})


@pytest.mark.skipif(
    not shutil.which("cc"), reason="stories are recorded where there is a C compiler; this is for nothing else"
)
def test_servers_believe_the_clock():
    clock = Clock(timedelta(days=9))
    with postgres.start(environment=clock.environment) as database, redis.start(environment=clock.environment) as cache:
        assert time.time() - database.execute("SELECT extract(epoch FROM now())::float8")[0][0] > 8 * 86_400
        clock.set(timedelta(0))
        up = database.execute("SELECT now() - pg_postmaster_start_time(), now()")[0]
        assert up[0] > timedelta(days=8)
        assert abs(up[1].timestamp() - time.time()) < 2
        with cache.connect() as connection:
            assert connection.info("server")["uptime_in_seconds"] > 8 * 86_400
            assert abs(connection.time()[0] - time.time()) < 2


def test_a_recorder_leaves_the_environment_as_it_was(monkeypatch):
    monkeypatch.setenv("NL_REDIS_URL", "redis://production")
    with stories._recorder({"NL_POSTGRES_DSN": "x"}):
        assert "NL_REDIS_URL" not in stories.os.environ
    assert stories.os.environ["NL_REDIS_URL"] == "redis://production"
    assert "NL_POSTGRES_DSN" not in stories.os.environ


def test_the_same_case_makes_the_same_archive(tmp_path, monkeypatch):
    """Whatever the dates of its files, and in whichever order they were written; a lock is no part of it."""
    monkeypatch.setattr(recorded, "STORIES", tmp_path)
    for name, files in (("one", ("1/data/b.gz", "1/a.json", ".lock")), ("two", ("1/a.json", "1/data/b.gz"))):
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file)
        recorded.keep_story(name, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    demo.unpack(tmp_path / "one.zip", tmp_path / "unpacked")
    assert (tmp_path / "unpacked/1/data/b.gz").read_text() == "1/data/b.gz"
    assert not (tmp_path / "unpacked/.lock").exists()


def test_a_specimen_takes_the_place_of_its_former_recording_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "SPECIMENS", tmp_path)
    for name, value in (("b", 1), ("a", 2), ("b", 3)):
        recorded.keep_specimen("redis", name, {"check": value})
    assert json.loads((tmp_path / "redis.json").read_text()) == {"a": {"check": 2}, "b": {"check": 3}}

"""The clock of a server by the Date header of its response."""

from datetime import UTC, datetime

import pytest

from nl_forensics.connect import clock_of

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 May 2026 12:00:00 GMT"])
def test_a_clock_without_a_date_is_unknown(date):
    assert clock_of(date, NOW, 0.02) is None


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_a_date_has_whole_seconds(zone):
    clock = clock_of(f"Mon, 04 May 2026 12:00:10 {zone}", NOW, 0.02)
    assert clock.offset_s == pytest.approx(10.49)
    assert clock.error_s == pytest.approx(0.51)

"""What holds for every rule."""

import pytest

from nl_forensics import checks
from nl_forensics.checks.rule import Unseen
from tests.asking import empty_table
from tests.record import specimens

CHECKS = checks.load()
READ_LOGS = {"no_slow_route_takes_most_of_the_time", "slow_answers_are_slow_by_themselves"}
SEEN_IN_STORIES = {"every_system_answers", "every_system_has_our_time", "replicas_are_set_like_their_primary"}


@pytest.mark.parametrize("name", sorted(CHECKS.keys() - READ_LOGS))
def test_nothing_is_found_in_empty_tables(name):
    one = CHECKS[name]
    assert one.offenders(*map(empty_table, one.needs), **one.limits).empty


@pytest.mark.parametrize("name", sorted(READ_LOGS))
def test_logs_without_a_request_say_nothing_of_requests(name):
    one = CHECKS[name]
    with pytest.raises(Unseen):
        one.offenders(*map(empty_table, one.needs), **one.limits)


def test_every_rule_has_a_specimen():
    assert {one.check for one in specimens.load().values()} == CHECKS.keys() - SEEN_IN_STORIES

"""The project's own promises: what is declared twice is equal, and every public thing is documented."""

import re
from pathlib import Path

import pytest

from nl_forensics import checks, sources
from nl_forensics.units import Wording
from tests.conftest import LONGEST, ON_A_CLUSTER

TOP = Path(__file__).parents[2]
TEST_FILES = sorted((TOP / "tests").rglob("test_*.py"))
SOURCES, CHECKS = sources.load(), checks.load()


def test_the_order_of_the_tests_names_files_that_there_are():
    assert set(ON_A_CLUSTER + LONGEST) - {path.stem for path in TEST_FILES} == set()


def test_only_one_worker_starts_clusters():
    """Whatever starts one by `with cluster(…)` is named among those that share a worker."""
    starts = re.compile(r"^from tests\.stack\.kubernetes\.cluster import cluster|crowd\.crowd\(", re.MULTILINE)
    found = {path.stem for path in TEST_FILES if starts.search(path.read_text())}
    assert found == set(ON_A_CLUSTER)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_says_what_it_holds(name):
    source = SOURCES[name]
    assert source.doc.splitlines()[0].endswith("."), "the first line says what one row is"


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_states_the_healthy_state(name):
    check = CHECKS[name]
    assert Wording(check.rule).of(check.limits).endswith(".")
    assert check.doc != check.rule, "the rest of the docstring says why it matters"
    assert set(check.needs) <= SOURCES.keys()

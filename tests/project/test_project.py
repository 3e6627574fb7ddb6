"""The project's own promises: what is declared twice is equal, and every public thing is documented."""

from pathlib import Path

import pytest

from nl_forensics import checks, sources
from nl_forensics.units import Wording
from tests.conftest import LONGEST, FileByFile

TOP = Path(__file__).parents[2]
TEST_FILES = sorted((TOP / "tests").rglob("test_*.py"))
SOURCES, CHECKS = sources.load(), checks.load()


def test_the_order_of_the_tests_names_files_that_there_are():
    assert set(LONGEST) - {path.stem for path in TEST_FILES} == set()


def test_only_one_worker_starts_clusters():
    """Of a file on a cluster, the other tests may be anybody's."""
    schedule = object.__new__(FileByFile)  # it has no workers here
    assert schedule._split_scope("tests/sources/test_redis.py::test_pool") == "tests/sources/test_redis.py"
    assert schedule._split_scope("tests/collection/test_now.py::test_as_json@cluster") == "cluster"


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

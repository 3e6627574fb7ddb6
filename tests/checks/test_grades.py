"""Grades are declared as expressions over the rows that break a rule: each one is held against recorded faults."""

import ast
import re

import pytest

from nl_forensics import checks
from nl_forensics.finding import Severity
from nl_forensics.units import Wording
from tests.asking import empty_table, specimen_tables
from tests.record import specimens

SPECIMENS = sorted(specimens.load())
MAX_SENTENCE = 160  # characters of a finding's first sentence


def broken(specimen):
    """The check of a specimen, and the rows that break it."""
    name, tables = specimen_tables(specimen)
    check = checks.load()[name]
    return check, check.offenders(**{table: empty_table(table) for table in check.needs} | tables, **check.limits)


@pytest.mark.parametrize("specimen", SPECIMENS)
def test_a_grade_names_only_columns_and_limits(specimen):
    check, rows = broken(specimen)
    if rows.empty:
        pytest.skip("its rule needs a table that the specimen does not have")
    for holds in check.grades.values():
        names = {node.id for node in ast.walk(ast.parse(holds, mode="eval")) if isinstance(node, ast.Name)}
        assert names <= {*rows.columns, *check.limits}
    assert set(check.graded(rows, check.limits).severity) <= {str(severity) for severity in Severity}


@pytest.mark.parametrize("specimen", SPECIMENS)
def test_the_first_sentence_of_a_finding_is_short(specimen):
    check, rows = broken(specimen)
    if check.offenders.__module__.startswith("nl_forensics.checks.monitoring."):
        pytest.skip("not reworded yet")
    for row in rows.head(3).to_dict("records"):
        values = row | check.limits
        first = re.split(r"; |\. ", Wording(check.because).of(values))[0]
        assert len(f"{Wording(check.subject).of(values)}: {first}") <= MAX_SENTENCE

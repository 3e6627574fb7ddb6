"""Grades are declared as expressions over the rows that break a rule: each one is held against recorded faults."""

import ast
import re
from functools import cache

import pytest

from nl_forensics import checks
from nl_forensics.checks.judge import Judge
from nl_forensics.finding import Severity
from nl_forensics.units import Wording
from tests.checks.test_nulls import healthy, with_fault  # noqa: F401 (a fixture)
from tests.recorded import specimen, specimens

MAX_SENTENCE = 160  # characters of a finding's first sentence


@cache
def broken(case, name):
    """The check of a specimen, and the rows that break it, the worst first."""
    recorded = specimen(name)
    check, case = checks.load()[recorded["check"]], with_fault(case, recorded)
    rows = Judge(check, case).held_against([case.read(name).whole_rows for name in check.needs])
    assert len(rows)
    return check, rows


@pytest.mark.parametrize("name", specimens())
def test_a_grade_names_only_columns_and_limits(healthy, name):  # noqa: F811
    check, rows = broken(healthy, name)
    for holds in check.grades.values():
        names = {node.id for node in ast.walk(ast.parse(holds, mode="eval")) if isinstance(node, ast.Name)}
        assert names <= {*rows.columns, *check.limits}
    assert set(check.graded(rows, check.limits).severity) <= {str(severity) for severity in Severity}


@pytest.mark.parametrize("name", specimens())
def test_the_first_sentence_of_a_finding_is_short(healthy, name):  # noqa: F811
    check, rows = broken(healthy, name)
    for row in rows.head(3).to_dict("records"):
        values = row | check.limits
        first = re.split(r"; |\. ", Wording(check.because).of(values))[0]
        assert len(f"{Wording(check.subject).of(values)}: {first}") <= MAX_SENTENCE, first

"""A null in place of a value never turns a recorded fault into health, unless the column declares that the null is a value.

Every column of every table that a recorded fault's rule needs is emptied, one at a time.
"""

import copy
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.checks import judge
from nl_forensics.checks.judge import Judge
from nl_forensics.checks.rule import Check
from nl_forensics.checks.watch import Watch
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.table import Table
from nl_forensics.finding import Status
from tests import unchanged
from tests.recorded import archive, recorded_case, specimen, specimens

CHECKS = checks.load()
HEALTHY = archive("healthy")
CLOCKS = "systems_reached"  # which every finding is dated by


@pytest.fixture(scope="module")
def healthy() -> Case:
    return recorded_case("healthy")


def with_fault(healthy: Case, recorded: dict) -> Case:
    """The healthy case with the tables of a recorded fault in place of its own. What was read of `healthy` is read once for all."""
    for name in (*CHECKS[recorded["check"]].needs, CLOCKS):
        healthy.read(name)
    case = copy.copy(healthy)
    case.tables = dict(healthy.tables)
    for name, answer in recorded["answers"].items():
        source = sources.load()[name]
        rows = source.table(answer["records"])
        rows["instance"], rows["asked_at"] = "main", pd.Timestamp(answer["asked_at"]).as_unit("us")
        case.tables[name] = Table(source, rows, (), is_blind=rows.empty and not answer["proof"])
    return case


def emptied(table: Table, columns: list[str]) -> Table:
    rows = table.rows
    return replace(
        table, _rows=rows.assign(**{name: pd.Series(None, rows.index, rows[name].dtype) for name in columns})
    )


def mutations(table: Table, read: set[str]) -> list[list[str]]:
    """The columns to empty: each that the rule reads by itself, all others together. Where a null is a value, it may well be health."""
    columns = [
        name for name, spec in table.source.columns.items() if not spec.absent and table.rows[name].notna().any()
    ]
    return [[name] for name in columns if name in read] + [[name for name in columns if name not in read]]


@pytest.mark.parametrize("name", specimens())
def test_a_null_hides_no_fault(healthy, name):
    recorded = specimen(name)
    check = CHECKS[recorded["check"]]
    files = map(unchanged.digest_of, (HEALTHY, Path(__file__)))
    key = unchanged.key(check.offenders.__module__, unchanged.digest(json.dumps(recorded).encode()), *files)
    compute = partial(hidden_by_nulls, check, healthy, recorded)
    assert unchanged.results("nulls", name, [(name, key, compute)]) == {name: []}


def hidden_by_nulls(check: Check, healthy: Case, recorded: dict) -> list[tuple[str, list[str]]]:
    """The tables and columns that turn the fault into health when they are emptied."""
    case = with_fault(healthy, recorded)
    assert {finding.status for finding in judge(check, case)} == {Status.PROBLEM}
    watch, hidden = Watch(), []
    Judge(check, case).held_against([case.read(needed).whole_rows for needed in check.needs], watch)
    for needed in check.needs:
        table = case.read(needed)
        for columns in mutations(table, watch.columns):
            case.tables[needed] = emptied(table, columns)
            if {finding.status for finding in judge(check, case)} == {Status.OK}:
                hidden.append((needed, columns))
        case.tables[needed] = table
    return hidden

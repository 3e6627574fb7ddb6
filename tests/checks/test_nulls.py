"""A null in place of a value never turns a recorded fault into health, unless the column declares that the null is a value.

Every column of every table that a recorded fault's rule needs is emptied, one at a time.
"""

import json
from dataclasses import replace

import pandas as pd
import pytest

from nl_forensics import checks, sources
from nl_forensics.checks import judge
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.table import Table
from nl_forensics.finding import Status
from tests.record import specimens
from tests.write_golden import STORIES

CHECKS = checks.load()
RECORDED = sorted(specimens.FOLDER.glob("*.json"))


@pytest.fixture(scope="module")
def healthy() -> Case:
    return Case(STORIES / "healthy")


def with_fault(healthy: Case, recorded: dict) -> Case:
    """The healthy case with the tables of a recorded fault in place of its own."""
    case = Case(healthy.folder)
    case.tables = dict(healthy.tables)
    for name, answer in recorded["answers"].items():
        source = sources.load()[name]
        rows = source.table(answer["records"])
        rows["instance"], rows["asked_at"] = "main", pd.Timestamp(answer["asked_at"]).as_unit("us")
        case.tables[name] = Table(source, rows, (), is_blind=rows.empty and not answer["proof"])
    return case


def emptied(table: Table, column: str) -> Table:
    rows = table.rows
    return replace(table, _rows=rows.assign(**{column: pd.Series(None, rows.index, dtype=rows[column].dtype)}))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_null_hides_no_fault(healthy, path):
    recorded = json.loads(path.read_text(encoding="utf-8"))
    check, case = CHECKS[recorded["check"]], with_fault(healthy, recorded)
    assert {finding.status for finding in judge(check, case)} == {Status.PROBLEM}
    healed = []
    for name in check.needs:
        table = case.read(name)
        for column, spec in table.source.columns.items():
            if table.rows[column].notna().any():
                case.tables[name] = emptied(table, column)
                if {finding.status for finding in judge(check, case)} == {Status.OK} and not spec.absent:
                    healed.append(f"{name}.{column}")
        case.tables[name] = table
    assert healed == []

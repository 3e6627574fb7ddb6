"""What a table is: one question, its rows, and its data gaps; and how one is declared.

As with charts: a table is a function over recorded answers, named by its arguments, and is called with the case alone:
`nl.tables.last_lines(case)`.
"""

import html
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from nl_forensics.charts.chart import not_shown, shortened
from nl_forensics.charts.labels import titled
from nl_forensics.evidence.case import Case

LONGEST_LINE = 300


@dataclass(frozen=True)
class Table:
    """Rows, and what they show in words, data gaps included."""

    words: str
    rows: pd.DataFrame

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.words)}</p>" + (
            self.rows.to_html(index=False, border=0) if len(self.rows) else ""
        )

    def __repr__(self) -> str:
        return self.words + (f"\n{self.rows.to_string(index=False)}" if len(self.rows) else "")


TABLES: dict[str, Callable[[Case], Table]] = {}


def table(question: str, empty: str) -> Callable[[Callable[..., pd.DataFrame]], Callable[[Case], Table]]:
    """Declare a table. `empty`: the sentence for an empty result without data gaps."""

    def declare(rows_of: Callable[..., pd.DataFrame]) -> Callable[[Case], Table]:
        names = list(inspect.signature(rows_of).parameters)

        def of(case: Case) -> Table:
            found = {name: case.read(name) for name in names}
            missing = shortened(list(dict.fromkeys(gap for one in found.values() for gap in not_shown(one))))
            if any(one.shows_nothing for one in found.values()):
                return Table(titled(question, "No data available.", missing), pd.DataFrame())
            rows = rows_of(**{name: one.whole_rows.reset_index(drop=True) for name, one in found.items()}).reset_index(
                drop=True
            )
            nothing = f"In the data available, {empty[0].lower()}{empty[1:]}" if missing else empty
            return Table(titled(question, "" if len(rows) else nothing, missing), rows)

        of.__name__, of.__doc__ = rows_of.__name__, rows_of.__doc__
        TABLES[of.__name__] = of
        return of

    return declare

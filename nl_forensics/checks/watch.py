"""Which values a rule reads: tables that note, while a rule filters them, each column that it uses and each null that it meets.

A rule is a plain filter and says nothing of nulls; `value > 5` is False for a null as it is for a 3. So the tables note it: a null that
was read, and that stands for a value which was not seen, is a gap, and no rule is granted `ok` over it. What a rule has filtered away
before it reads a column is not read.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from nl_forensics.evidence.rounds import Gap
from nl_forensics.evidence.table import Table


class Watch:
    """What one run of a rule read.

    columns   every column that was used: also by the name that its table gives it, where the rule gave it another
    nulls     those of them in which a null was met
    """

    def __init__(self):
        self.columns: set[str] = set()
        self.nulls: set[str] = set()
        self._renamed: dict[str, set[str]] = {}

    def over(self, rows: pd.DataFrame) -> "Watched":
        """The same rows, watched."""
        watched = Watched(rows)
        watched.watch = self
        return watched

    def note(self, column: str, values: Iterable) -> None:
        """That a column was used, with these values."""
        names = {column, *self._renamed.get(column, ())}
        self.columns |= names
        if not names <= self.nulls and np.any(pd.isna(values.array if isinstance(values, pd.Series) else values)):
            self.nulls |= names

    def rename(self, names: dict[str, str]) -> None:
        """That columns go by other names from now on."""
        for old, new in names.items():
            self._renamed.setdefault(new, set()).update({old, *self._renamed.get(old, ())})

    def gaps(self, table: Table) -> list[Gap]:
        """One gap for each column of a table in which a null was met that means: not seen."""
        found = []
        for name, column in table.source.columns.items():
            is_met = column.unknown and name in self.nulls
            missing = int(table.rows[name].isna().sum()) if is_met else 0
            if missing:
                found.append(table.gap(f"{missing} of {len(table.rows)} rows lack {name}: {column.unknown}"))
        return found


class Watched(pd.DataFrame):
    """A table that notes what is read of it. What pandas derives from it (a filter, a copy, a merge into it) is watched, too."""

    _metadata = ["watch"]  # noqa: RUF012 (pandas' own protocol)

    @property
    def _constructor(self):
        return Watched

    def __finalize__(self, other, method=None, **facts):
        super().__finalize__(other, method=method, **facts)
        parts = getattr(other, "input_objs", None) or getattr(other, "objs", None) or ()
        for watch in (getattr(part, "watch", None) for part in parts):
            self.watch = self.watch if getattr(self, "watch", None) else watch
        return self

    def __getitem__(self, key):
        values = super().__getitem__(key)
        if watch := getattr(self, "watch", None):
            if isinstance(key, str):
                watch.note(key, values)
            elif isinstance(key, list):  # picked for what comes next, be it a merge into a table that is not watched
                for column, picked in values.items():
                    watch.note(column, picked)
        return values

    def rename(self, *args, columns=None, **options):
        """As in pandas."""
        if isinstance(columns, dict) and (watch := getattr(self, "watch", None)):
            watch.rename(columns)
        return super().rename(*args, columns=columns, **options)

    def itertuples(self, index=True, name="Pandas"):
        """As in pandas; of a row, too, only what is used is noted."""
        rows = list(super().itertuples(index, name))
        watch = getattr(self, "watch", None)
        if not (watch and name and rows):
            return iter(rows)
        row_type = _row_type(type(rows[0]), watch)
        return (row_type(*row) for row in rows)

    def to_dict(self, orient="dict", **options):
        """As in pandas; of records, too, only what is used is noted."""
        found = super().to_dict(orient, **options)
        watch = getattr(self, "watch", None)
        return [_Record(record, watch) for record in found] if watch and orient == "records" else found


def _row_type(plain: type, watch: Watch) -> type:
    """A row of `itertuples` that notes which of its fields are used."""

    class Row(plain):
        def __getattribute__(self, name):
            value = super().__getattribute__(name)
            if name in plain._fields:
                watch.note(name, [value])
            return value

        def __iter__(self):
            return (getattr(self, name) for name in plain._fields)

    return Row


class _Record(dict):
    """A row as a dict that notes which of its keys are used."""

    def __init__(self, record: dict, watch: Watch):
        super().__init__(record)
        self._watch = watch

    def __getitem__(self, key):
        value = super().__getitem__(key)
        self._watch.note(key, [value])
        return value

"""The rows of a source, and what they do not show.

`case.read(name)` is the one way to them: for rules, charts, views, the timeline and triage, so that data gaps are determined in one
place.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from nl_forensics import sources
from nl_forensics.errors import CaseError, ForensicsError
from nl_forensics.evidence.rounds import Answer, Gap
from nl_forensics.evidence.scope import Scope


@dataclass(frozen=True)
class Table:
    """The rows of one source, and their gaps. Rows are handed out as shallow copies: a reader may add columns.

    rows       every row over all instances, with `instance` and `asked_at` (UTC, the server's clock)
    gaps       what they do not show, by instance: refused, not asked, altered, cut, empty without proof
    is_blind   nothing proves a problem or health: no answer, none that can be read, or empty without proof
    altered    the files that are not what was recorded
    """

    source: sources.Source
    _rows: pd.DataFrame
    gaps: tuple[Gap, ...]
    is_blind: bool
    altered: tuple[str, ...] = ()

    @property
    def rows(self) -> pd.DataFrame:
        """Every row, also those with holes: a value that is missing and should not be."""
        return self._rows.copy(deep=False)

    @property
    def shows_nothing(self) -> bool:
        """No whole row, and not because there is nothing."""
        incomplete = bool(self.gaps) or not self._holes.empty
        return self.is_blind or (incomplete and self.whole_rows.empty)

    @property
    def whole_rows(self) -> pd.DataFrame:
        """The rows without a hole."""
        return self._whole_rows.copy(deep=False)

    @property
    def rows_with_holes(self) -> pd.DataFrame:
        """The rows that lack a value which a check may compare."""
        return self._rows[self._holes.any(axis=1)]

    @cached_property
    def _whole_rows(self) -> pd.DataFrame:
        return self.rows_with(self.source.needed)

    @cached_property
    def lacks_values(self) -> bool:
        """Whether any null is a value that was not recorded."""
        unknown = (name for name, column in self.source.columns.items() if column.unknown)
        return not self._holes.empty or any(self._rows[name].array.isna().any() for name in unknown)

    def rows_with(self, columns: Iterable[str]) -> pd.DataFrame:
        """The rows without a hole in these columns."""
        if self._holes.empty:
            return self.rows
        holes = self._holes[[column for column in columns if column in self._holes]].any(axis=1)
        return self._rows[~holes] if holes.any() else self.rows

    def holes(self, columns: Collection[str]) -> list[Gap]:
        """At most one gap: the rows that `rows_with` leaves out."""
        if self._holes.empty:
            return []
        lacking = self._holes[[column for column in self._holes if column in columns]]
        if not (holed := int(lacking.any(axis=1).sum())):
            return []
        return [self.gap(f"{holed} of {len(self._rows)} rows lack {', '.join(lacking.columns[lacking.any()])}")]

    def within(self, scope: Scope | None) -> "Table":
        """The rows of one tenant and of the platform itself; all of them without a scope."""
        return replace(self, _rows=scope.of(self._rows, self.source.name)) if scope else self

    def gap(self, unseen: str) -> Gap:
        """A gap of values that the rows lack, with its remedy."""
        return Gap(self.source.name, "", unseen, self.source.hole or self.source.needs.remedy(self.source.system))

    @cached_property
    def _holes(self) -> pd.DataFrame:
        """Where a value is missing, of the columns in which one is."""
        missing = {name: self._rows[name].array.isna() for name in self.source.needed}
        return pd.DataFrame({name: holes for name, holes in missing.items() if holes.any()}, index=self._rows.index)


def read(
    source: sources.Source, answers: Iterable[Answer], records: Callable[[Answer], list[dict]], gaps: list[Gap]
) -> Table:
    """The table of recorded answers. `gaps`: what is known to be missing; what can't be read, or is empty without proof, comes to it."""
    frames, unreadable, unproven, altered = [], [], [], []
    for answer in answers:
        try:
            rows = source.table(records(answer))
        except CaseError as error:
            unreadable.append(Gap(source.name, answer.instance, str(error), f"restore {answer.file} from a copy"))
            altered.append(answer.file)
            continue
        except ForensicsError as error:
            unreadable.append(Gap(source.name, answer.instance, str(error), "collect again"))
            continue
        if rows.empty and not answer.proof:
            unproven.append(Gap(source.name, answer.instance, "is empty, and nothing proves that it was measured", ""))
        frames.append(_stamped(rows, answer))
    rows = pd.concat(frames, ignore_index=True) if frames else _nothing(source)
    found = tuple(unreadable + gaps + unproven) or (
        () if frames else (Gap(source.name, "", "was not collected", "collect again"),)
    )
    return Table(source, rows, found, not frames or (rows.empty and bool(unproven)), tuple(altered))


def _stamped(rows: pd.DataFrame, answer: Answer) -> pd.DataFrame:
    """In place: copies of tables cost a fifth of all judging."""
    rows["instance"], rows["asked_at"] = answer.instance, pd.Timestamp(answer.asked_at).as_unit("us")
    return rows


def _nothing(source: sources.Source) -> pd.DataFrame:
    return source.nothing.assign(instance=pd.Series(dtype="str"), asked_at=pd.Series(dtype=sources.UTC))

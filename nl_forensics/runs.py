"""Where a series breaks into unbroken runs: the one definition, for every table that has one row per step or per moment."""

from collections.abc import Sequence

import pandas as pd

MAX_GAP_STEPS = 1.6  # a step that comes late is still the next one; one that is missing is not


def runs(
    table: pd.DataFrame,
    by: Sequence[str] = (),
    state: pd.Series | None = None,
    max_gap=None,
    at: str = "at",
    until: str = "",
) -> pd.Series:
    """The number of the run that each row belongs to, unique over the table.

    A run ends with its series (`by`), where `state` changes, and where more than `max_gap` passes without a row: what happened
    in between is not known. `max_gap`: 1.6 usual steps of the table unless given. `until`: column with the end of what a row
    covers, where that is more than the moment `at`. The order of the rows does not matter.
    """
    series = table.groupby([*by], sort=False, dropna=False).ngroup().to_numpy() if by else 0
    rows = pd.DataFrame(
        {
            "series": series,
            "state": 0 if state is None else state.to_numpy(),
            "begin": table[at].array,
            "end": table[until or at].array,
        },
        index=range(len(table)),
    ).sort_values(["series", "begin"], kind="stable")
    covered = rows.groupby("series").end.cummax()
    gap = rows.begin - covered.groupby(rows.series).shift()
    limit = MAX_GAP_STEPS * gap.median() if max_gap is None else max_gap
    begins = (rows.series != rows.series.shift()) | (rows.state != rows.state.shift()) | (gap > limit)
    return pd.Series(begins.cumsum().sort_index().to_numpy(), index=table.index, name="run")

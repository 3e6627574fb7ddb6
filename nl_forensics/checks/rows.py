"""What rules do with rows: grades and their order, ages, messages that fit into a sentence."""

from collections.abc import Callable

import numpy as np
import pandas as pd

MOST_CHARACTERS = 200  # of a message inside a sentence
RANK = {"critical": 0, "high": 1, "medium": 2, "note": 3}


def one_line(message: pd.Series, most: int = MOST_CHARACTERS) -> pd.Series:
    """A message that is short enough to stand in a sentence. Of a long one the end says most: it wraps what others said before."""
    line = message.str.replace(r"\s+", " ", regex=True).str.strip().str.rstrip(".:")
    head = most // 3
    return line.where(line.str.len() <= most, line.str.slice(0, head) + "…" + line.str.slice(head + 1 - most))


def counted(numbers: pd.Series, noun: str) -> pd.Series:
    """`1 line`, `3 lines`."""
    return numbers.astype("str") + f" {noun}" + (numbers == 1).map({True: "", False: "s"})


def usual(before: pd.Series, words: Callable[[float], str]) -> list[str]:
    """What it was in the baseline, in words; null where there is none."""
    return [
        "nothing in the baseline to compare with" if pd.isna(value) else f"{words(value)} in the baseline"
        for value in before
    ]


def seconds_since(began: pd.Series, rows: pd.DataFrame) -> pd.Series:
    """By the server's clock, at the moment of its answer."""
    return (rows.asked_at - began).dt.total_seconds()


def graded(rows: pd.DataFrame, **worse: pd.Series) -> pd.DataFrame:
    """Rows with the severity of the first condition that holds (`critical=…, high=…`); rows without one are dropped."""
    severity = np.select([holds.fillna(False).astype(bool) for holds in worse.values()], list(worse), default="")
    return rows.assign(severity=severity)[severity != ""]


def worst_first(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """By severity, then by a quantity, the largest first."""
    if len(rows) < 2:
        return rows
    ranked = rows.assign(_rank=rows.severity.map(RANK))
    return ranked.sort_values(["_rank", by], ascending=[True, False]).drop(columns="_rank")

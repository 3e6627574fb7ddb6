"""What rules do with rows: ages, counts, messages that fit into a sentence."""

from collections.abc import Callable

import pandas as pd

MAX_CHARACTERS = 200  # of a message inside a sentence


def one_line(message: pd.Series, max_characters: int = MAX_CHARACTERS) -> pd.Series:
    """A message that fits into a sentence. A long one keeps mostly its end: error messages wrap their cause there."""
    line = message.str.replace(r"\s+", " ", regex=True).str.strip().str.rstrip(".:")
    head = max_characters // 3
    return line.where(
        line.str.len() <= max_characters, line.str.slice(0, head) + "…" + line.str.slice(head + 1 - max_characters)
    )


def counted(numbers: pd.Series, noun: str) -> pd.Series:
    """`1 line`, `3 lines`."""
    return numbers.astype("str") + f" {noun}" + (numbers == 1).map({True: "", False: "s"})


def usual(before: pd.Series, words: Callable[[float], str]) -> list[str]:
    """The value of the baseline, in words."""
    return [
        "nothing in the baseline to compare with" if pd.isna(value) else f"{words(value)} in the baseline"
        for value in before
    ]


def seconds_since(began: pd.Series, rows: pd.DataFrame) -> pd.Series:
    """By the server's clock, at the moment of its answer."""
    return (rows.asked_at - began).dt.total_seconds()

"""Bars, fields and tracks of a chart; and which of them are drawn as one, so that what is wrong can be read."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from nl_forensics.charts.style import HEALTHY, PLAIN

MIN_ALIKE = 4  # fewer are drawn one by one
LARGEST = 5  # bars that are drawn one by one, however small they are


class Bar(NamedTuple):
    """One horizontal bar. `parts`: lengths by kind, drawn end to end; `text` at its end; `mark`: a tick across it, such as a limit."""

    name: str
    parts: dict[str, float]
    text: str = ""
    mark: float | None = None


class Cell(NamedTuple):
    """One field of a grid. `state`: HEALTHY, UNHEALTHY, UNKNOWN, or PLAIN for text without a state."""

    text: str
    state: str = PLAIN


def small_as_one(bars: list[Bar], below: float, words: Callable[[float], str]) -> list[Bar]:
    """Bars, the longest first, with all that are shorter than `below` as one at the end; the first ones stay."""
    small = [bar for bar in bars[LARGEST:] if sum(bar.parts.values()) < below]
    if len(small) < MIN_ALIKE:
        return bars
    longest = max(small, key=lambda bar: sum(bar.parts.values()))
    marks = {bar.mark for bar in small}
    mark = marks.pop() if len(marks) == 1 else None
    rest = Bar(f"{len(small)} more", longest.parts, f"at most {words(sum(longest.parts.values()))}", mark)
    return [*(bar for bar in bars if bar not in small), rest]


def healthy_as_one(rows: dict[str, dict[str, Cell]], words: str) -> dict[str, dict[str, Cell]]:
    """Rows of a grid, with all that are healthy in every field as one at the end. `words`: what they have in common."""
    healthy = [name for name, cells in rows.items() if all(cell.state == HEALTHY for cell in cells.values())]
    if len(healthy) < MIN_ALIKE:
        return rows
    texts = {column: {rows[name][column].text for name in healthy} for column in rows[healthy[0]]}
    one = {column: Cell(found.pop() if len(found) == 1 else HEALTHY, HEALTHY) for column, found in texts.items()}
    others = {name: cells for name, cells in rows.items() if name not in healthy}
    return others | {_counted(len(healthy), len(rows), words): one}


def alike_as_one(
    tracks: dict[str, pd.DataFrame], state: str, drawn: Callable[[pd.DataFrame], Sequence], everywhere: int
) -> dict[str, pd.DataFrame]:
    """Tracks, with those as one at the end that are in one `state` only, and that look the same.

    drawn        where the periods of a track lie, by axis: what looks the same has the same
    everywhere   the number of axes: a group that is on all of them is named by its state alone
    """
    groups: dict[tuple, list[str]] = {}
    for name, periods in tracks.items():
        if (periods["state"] == state).all():
            groups.setdefault(tuple(drawn(periods)), []).append(name)
    alike = {places: names for places, names in groups.items() if len(names) >= MIN_ALIKE}
    others = {name: track for name, track in tracks.items() if not any(name in names for names in alike.values())}
    found = dict(others)
    for places, names in alike.items():
        whole = len({axis for axis, *_ in places}) == everywhere
        first = f"{names[0]} and {len(names) - 1} more"
        found[_counted(len(names), len(tracks), state) if whole else first] = tracks[names[0]]
    return found


def _counted(number: int, of: int, words: str) -> str:
    return f"all {number} ({words})" if number == of else f"{number} more ({words})"

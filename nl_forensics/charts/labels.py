"""How rows are named and described."""

from collections.abc import Iterable
from datetime import datetime

import pandas as pd

from nl_forensics.charts.units import Unit
from nl_forensics.sanitize import printable


def cut(text: str, longest: int) -> str:
    """One line of printable characters, shortened at its end."""
    line = printable(str(text)).rstrip()
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def listed(words: Iterable[str], most: int = 3) -> str:
    """The first few, and how many more there are."""
    found = list(words)
    return "; ".join(found[:most]) + (f"; and {len(found) - most} more" if len(found) > most else "")


def titled(title: str, *parts: str) -> str:
    """A title and the sentences below it, in one line of printable characters."""
    below = printable(" ".join(filter(None, parts)))
    return f"{title}{'' if title.endswith('?') else ':'} {below}" if below else title


def named(rows: pd.DataFrame, *columns: str) -> pd.Series:
    """A name for each row, from its columns; with the instance before it where there are several."""
    columns = (*(["instance"] if rows["instance"].nunique() > 1 else []), *columns)
    parts = rows[list(columns)].astype("object").fillna("")
    return pd.Series(
        [" · ".join(str(part) for part in row if part != "") for row in parts.to_numpy()], rows.index, "str"
    )


def without_repetition(rows: pd.DataFrame) -> pd.DataFrame:
    """Without the name of a container that the name of its pod begins with."""
    pairs = zip(rows["pod"], rows["container"], strict=True)
    return rows.assign(container=["" if pod.startswith(container) else container for pod, container in pairs])


def container_named(rows: pd.DataFrame) -> pd.Series:
    """Namespace and pod, and the container where the name of the pod doesn't begin with it."""
    return named(without_repetition(rows), "namespace", "pod", "container")


def asked(rows: pd.DataFrame) -> str:
    """When a table that shows one moment was asked; an empty one doesn't hold its moment."""
    return f"at {moment(rows['asked_at'].max())}" if len(rows) else "when we asked"


def age_s(rows: pd.DataFrame, since: str) -> pd.Series:
    """Seconds between a time in each row and the moment at which it was asked, by the same server's clock."""
    return (rows["asked_at"] - rows[since]).dt.total_seconds()


def extreme(rows: pd.DataFrame, value: str, unit: Unit, lowest: bool = False) -> str:
    """The worst value of a series and when it was, in the incident; the same of the baseline for comparison."""
    kind = "lowest" if lowest else "highest"
    found = []
    for window in ("incident", "baseline"):
        part = rows[(rows["window"] == window) & rows[value].notna()]
        if len(part):
            worst = part.loc[part[value].idxmin() if lowest else part[value].idxmax()]
            when = f" at {moment(worst['at'])}" if window == "incident" else ""
            found.append(f"{kind} {unit.words(worst[value])}{when} in the {window}")
        else:
            found.append(f"no value in the {window}")
    return ", ".join(found)


def split(rows: pd.DataFrame, labels: tuple[str, ...], value: str, lowest: bool = False) -> dict[str, pd.DataFrame]:
    """One table per series, by name, the worst of the incident first: series that stay at zero are the last.

    A label that is the same everywhere is left out of the names.
    """
    varying = [label for label in labels if rows[label].nunique() > 1] or [labels[-1]]
    series = {str(name): part.sort_values("at") for name, part in rows.groupby(named(rows, *varying), sort=True)}

    def worst(name: str) -> tuple[bool, float]:
        within = series[name][series[name]["window"] == "incident"][value]
        return within.empty, within.min() if lowest else -within.max()

    return {name: series[name] for name in sorted(series, key=worst)}

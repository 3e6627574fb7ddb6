"""How far quotas are used, and pods that were rejected at their creation."""

import pandas as pd

from nl_forensics.units import amount


def nearly_used(quotas: pd.DataFrame, max_ratio: float) -> pd.DataFrame:
    """Quotas of which at least `max_ratio` is used, the fullest first: `used_ratio`, and both amounts in words.

    A quota of 0 forbids the resource on purpose.
    """
    rows = quotas[quotas.hard > 0]
    rows = rows.assign(used_ratio=rows.used / rows.hard)
    for column in ("used", "hard"):
        amounts = zip(rows.resource, rows[column], strict=True)
        rows[f"{column}_in_words"] = [amount(resource, value) for resource, value in amounts]
    return rows[rows.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)


def rejections_by(keys: list[str], failed_creates: pd.DataFrame) -> pd.DataFrame:
    """Events FailedCreate by owner, the most frequent first: `repeats`, `said` (the message), `first_at`, `last_at`."""
    rows = failed_creates.groupby(keys, as_index=False).agg(
        repeats=("repeats", "sum"),
        said=("message", "first"),
        first_at=("first_at", "min"),
        last_at=("at", "max"),
        asked_at=("asked_at", "max"),
    )
    return rows.sort_values("repeats", ascending=False)

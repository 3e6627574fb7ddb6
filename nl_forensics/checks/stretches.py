"""Steps of a series that break a rule, as one row per subject."""

import pandas as pd


def during(table: pd.DataFrame) -> pd.DataFrame:
    """The steps of the incident; those of the baseline are there for comparison."""
    return table[table.window == "incident"]


def stretches(broken: pd.DataFrame, by: list[str], worst: str, most: bool = True) -> pd.DataFrame:
    """One row per subject: the step with the worst value; `at` the first and `until` the last step that broke the rule; `span` in words."""
    ordered = broken.sort_values(worst, ascending=not most).rename(columns={"at": "worst_at"})
    times = ordered.groupby(by).worst_at
    ordered = ordered.assign(at=times.transform("min"), until=times.transform("max"), steps=times.transform("size"))
    rows = ordered.drop_duplicates(by)
    return rows.assign(span=[span(first, last) for first, last in zip(rows["at"], rows.until, strict=True)])


def span(first: pd.Timestamp, last: pd.Timestamp) -> str:
    return f"at {first:%H:%M:%S} UTC" if first == last else f"from {first:%H:%M:%S} to {last:%H:%M:%S} UTC"

"""Steps of a series that break a rule: which of them form an episode that counts, and the worst one of each subject."""

import pandas as pd

from nl_forensics.runs import runs

MIN_SHARE = 0.75  # of a table that is shorter than the time that is asked for


def during(table: pd.DataFrame) -> pd.DataFrame:
    """The steps of the incident; those of the baseline are there for comparison."""
    return table[table.window == "incident"]


def worst_of_each(broken: pd.DataFrame, by: list[str], worst: str, highest: bool = True) -> pd.DataFrame:
    """One row per subject: the step with the worst value; `at` the first and `until` the last step that broke the rule; `span` in words."""
    ordered = broken.sort_values(worst, ascending=not highest).rename(columns={"at": "worst_at"})
    times = ordered.groupby(by).worst_at
    ordered = ordered.assign(at=times.transform("min"), until=times.transform("max"), steps=times.transform("size"))
    rows = ordered.drop_duplicates(by)
    return rows.assign(span=[span(first, last) for first, last in zip(rows["at"], rows.until, strict=True)])


def span(first: pd.Timestamp, last: pd.Timestamp) -> str:
    return f"at {first:%H:%M:%S} UTC" if first == last else f"from {first:%H:%M:%S} to {last:%H:%M:%S} UTC"


def sustained(
    table: pd.DataFrame, broken: pd.Series, by: list[str], min_s: float, looks_back_s: float = 0, moments: bool = False
) -> pd.DataFrame:
    """The steps that break a rule in one episode of `min_s` at least; where the table is shorter than that: in most of it.

    Steps that are missing end an episode: what was then is not known. `looks_back_s`: how much before it each step covers, too.
    `moments`: each step is one reading only, so that a single one between two that break the rule ends no episode.
    """
    rows = table.assign(broken=broken).sort_values([*by, "at"])
    if moments:
        of_it = rows.groupby(by).broken
        rows["broken"] |= of_it.shift(fill_value=False) & of_it.shift(-1, fill_value=False)
    rows = rows.assign(run=runs(rows, by, rows.broken))[rows.broken]
    if rows.empty:
        return rows
    times = rows.groupby("run")["at"]
    lasted_s = (times.transform("max") - times.transform("min")).dt.total_seconds()
    seen_s = (table["at"].max() - table["at"].min()).total_seconds()
    return rows[(lasted_s >= min(min_s - looks_back_s, MIN_SHARE * seen_s)) & broken.reindex(rows.index)]

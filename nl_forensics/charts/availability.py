"""Who answered, and who did not, over the windows: the states of charts about availability."""

import pandas as pd

from nl_forensics.charts.units import SECONDS
from nl_forensics.runs import runs

UP, SOME, DOWN = "answered", "some pods gave no answer", "gave no answer"
STATES = {UP: ("#7fbf9b", ""), DOWN: ("#a3140f", "xxx")}


def episodes(rows: pd.DataFrame, state: pd.Series) -> pd.DataFrame:
    """Consecutive steps in the same state, as one episode each. `rows`: oldest first."""
    step = rows["at"].diff().median()
    found = (
        rows.assign(state=state)
        .groupby(runs(rows, ["window"], state))
        .agg(begin=("at", "min"), end=("at", "max"), state=("state", "first"), window=("window", "first"))
    )
    return found.assign(end=found["end"] + (step if pd.notna(step) else pd.Timedelta(0)))


def downtime(periods: pd.DataFrame) -> str:
    """How long there was no answer in the incident, in words. `periods`: of `episodes`."""
    down = periods[periods["state"].isin((DOWN, SOME)) & (periods["window"] == "incident")]
    if down.empty:
        seen = periods[periods["window"] == "incident"]
        return "answered every scrape in the incident" if len(seen) else "no data in the incident"
    gone = (down["end"] - down["begin"]).dt.total_seconds().sum()
    pods = "some pods gave" if (down["state"] == SOME).all() else "gave"
    return f"{pods} no answer for {SECONDS.words(gone)}, first at {down['begin'].min():%H:%M:%S} UTC"

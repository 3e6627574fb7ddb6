"""Availability over the windows: the states, and how long something was down."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.labels import listed
from nl_forensics.charts.units import SECONDS
from nl_forensics.runs import runs

UP, SOME, DOWN = "up", "some pods down", "down"
STATES = {UP: ("#7fbf9b", ""), SOME: ("#e8c35a", "///"), DOWN: ("#a3140f", "xxx")}


def episodes(rows: pd.DataFrame, state: pd.Series) -> pd.DataFrame:
    """Consecutive steps in the same state, as one episode each. `rows`: oldest first."""
    step = rows["at"].diff().median()
    found = (
        rows.assign(state=state)
        .groupby(runs(rows, ["window"], state))
        .agg(begin=("at", "min"), end=("at", "max"), state=("state", "first"), window=("window", "first"))
    )
    return found.assign(end=found["end"] + (step if pd.notna(step) else pd.Timedelta(0)))


def availability(canvas: Canvas, tracks: dict[str, pd.DataFrame]) -> str:
    """Draw the episodes of each track, and say how long each one was down."""
    shown = canvas.bands(tracks, STATES, UP)
    return listed((f"{name}: {_downtime(part)}" for name, part in shown.items()), 8)


def _downtime(periods: pd.DataFrame) -> str:
    down = periods[periods["state"].isin((DOWN, SOME)) & (periods["window"] == "incident")]
    if down.empty:
        seen = periods[periods["window"] == "incident"]
        return "no failed scrape in the incident" if len(seen) else "no data in the incident"
    gone = (down["end"] - down["begin"]).dt.total_seconds().sum()
    state = SOME if (down["state"] == SOME).all() else DOWN
    return f"{state} for {SECONDS.words(gone)}, first at {down['begin'].min():%H:%M:%S} UTC"

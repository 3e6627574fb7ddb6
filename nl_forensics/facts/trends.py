"""Memory growth across restarts of a container: no line fits a whole sawtooth, but one fits each tooth."""

import pandas as pd

CONTAINER = ["instance", "target", "namespace", "pod", "container"]


def straight_runs(memory: pd.DataFrame, starts: pd.DataFrame, min_run_s: float) -> pd.DataFrame:
    """One row per container: the line that fits all its runs of at least `min_run_s`, each from its own start (least squares).

    per_s, fit   its slope in bytes per second, and R²: the share of the variance that it explains, 0 to 1
    late_per_s   the slope of the last third of the newest of these runs
    lasted_s     total duration of these runs; restarts: runs of the container after the first, short ones included
    at, until, first_bytes, used_bytes   start and end of the newest of these runs; now_bytes: the newest reading
    """
    steps = ["window", "at", *CONTAINER]
    table = memory.merge(starts[[*steps, "started_s"]], on=steps).sort_values("at")
    table = table.assign(second=(table["at"] - table["at"].min()).dt.total_seconds())
    of_run = table.groupby([*CONTAINER, "started_s"]).second
    place = (table.second - of_run.transform("min")) / (lasted_s := of_run.transform("max") - of_run.transform("min"))
    table = table.assign(lasted_s=lasted_s, place=place)
    long = table[table.lasted_s >= min_run_s]
    newest = long[long.started_s == long.groupby(CONTAINER).started_s.transform("max")]
    ends = newest.groupby(CONTAINER).agg(
        at=("at", "first"), until=("at", "last"), first_bytes=("used_bytes", "first"), used_bytes=("used_bytes", "last")
    )
    facts = {
        "restarts": table.groupby(CONTAINER).started_s.nunique() - 1,
        "now_bytes": table.groupby(CONTAINER).used_bytes.last(),
        "lasted_s": long.drop_duplicates([*CONTAINER, "started_s"]).groupby(CONTAINER).lasted_s.sum(),
        "late_per_s": _line(newest[newest.place >= 2 / 3]).per_s,
    }
    return ends.join(_line(long)).join(pd.DataFrame(facts)).reset_index()


def _line(rows: pd.DataFrame) -> pd.DataFrame:
    """`per_s` and `fit` by container: only changes within a run count."""
    of_run = rows.groupby([*CONTAINER, "started_s"])
    x, y = (rows[name] - of_run[name].transform("mean") for name in ("second", "used_bytes"))
    products = rows[CONTAINER].assign(xx=x * x, xy=x * y, yy=y * y)
    sums = products.groupby(CONTAINER)[["xx", "xy", "yy"]].sum()
    fit = sums.xy**2 / (sums.xx * sums.yy).where(sums.yy > 0)
    return pd.DataFrame({"per_s": sums.xy / sums.xx.where(sums.xx > 0), "fit": fit})

"""What watches the platform: which alerts there were, and what its memory is full of."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, named
from nl_forensics.charts.units import NUMBER

FIRING, PENDING, MISSED = "firing", "pending", "should have been firing, and was not"
STATES = {FIRING: ("#d9822b", ""), PENDING: ("#f2cf9b", ""), MISSED: ("#a3140f", "xxx")}
COLUMNS = ["window", "alert", "state", "begin", "end", "rank"]
MAX_TRACKS = 12
STEP = pd.Timedelta(seconds=15)  # a sample is valid until the next
KINDS = {"metric": "series by metric", "label": "values by label"}


@chart("Alerts that fired, and alerts that should have fired")
def alerts_over_time(canvas: Canvas, prom_alert_history, *, prom_rule_series):
    """Each alert's pending and firing time in the windows, as Prometheus wrote it down; hatched where its rule's own expression says
    that it should have been firing and it was not.
    """
    rows = pd.concat([_seen(prom_alert_history), _missed(prom_rule_series)])
    if rows.empty:
        return canvas.say("No alert was pending or firing in the incident, and none is known to be missed.")
    worst = rows.groupby("alert").state.agg(lambda states: [MISSED in set(states), FIRING in set(states)])
    names = sorted(worst.index, key=lambda name: ([not one for one in worst[name]], name))
    tracks = {name: rows[rows["alert"] == name].sort_values(["rank", "begin"]) for name in names[:MAX_TRACKS]}
    canvas.bands(tracks, STATES)
    more = f" {len(names) - len(tracks)} alerts more are not drawn." if len(names) > len(tracks) else ""
    return f"{listed((f'{name}: {_describe(part)}' for name, part in tracks.items()), 8)}.{more}"


def _seen(history: pd.DataFrame) -> pd.DataFrame:
    """Drawn first, so that what is missed lies on top."""
    rows = history.rename(columns={"at": "begin", "until": "end"})
    rank = rows["state"].map({PENDING: 0, FIRING: 1})
    return rows.assign(end=rows["end"] + STEP, rank=rank)[COLUMNS]


def _missed(due: pd.DataFrame | None) -> pd.DataFrame:
    if due is None:
        return pd.DataFrame(columns=COLUMNS)
    rows = due[~due["fired"]].rename(columns={"rule": "alert", "missed_at": "begin", "missed_until": "end"})
    return rows.assign(window="incident", state=MISSED, end=rows["end"] + STEP, rank=2)[COLUMNS]


def _describe(rows: pd.DataFrame) -> str:
    parts = [
        f"{state} from {part['begin'].min():%H:%M:%S} to {part['end'].max():%H:%M:%S} UTC"
        for state in (MISSED, FIRING, PENDING)
        if len(part := rows[(rows["state"] == state) & (rows["window"] == "incident")])
    ]
    return ", ".join(parts) or "only in the baseline"


@chart("Prometheus series by metric and label")
def cardinality(canvas: Canvas, prom_cardinality):
    """The metrics with the most series, and the labels with the most values, at the moment of asking: of a label with an id in it there
    are as many as there are ids.
    """
    rows = prom_cardinality[prom_cardinality["kind"].isin(KINDS) & (prom_cardinality["name"] != "__name__")]
    if rows.empty:
        return canvas.say("No series were counted.")
    rows = rows.assign(shown=named(rows, "name")).sort_values("series", ascending=False)
    bars = [
        Bar(row.shown, {KINDS[row.kind]: float(row.series)}, NUMBER.words(row.series))
        for row in rows.itertuples(index=False)
    ]
    canvas.bars(bars, NUMBER, "series or values", kinds=tuple(KINDS.values()))
    counts = (listed(f"{bar.name} {bar.text}" for bar in bars if kind in bar.parts) for kind in KINDS.values())
    return "; ".join(f"{kind}: {words}" for kind, words in zip(KINDS.values(), counts, strict=True)) + "."

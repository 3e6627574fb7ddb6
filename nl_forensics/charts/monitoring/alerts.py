"""What watches the platform: which alerts there were, and which rules and notifications failed."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import NUMBER

FIRING, PENDING, MISSED = "firing", "pending", "should have fired"
STATES = {FIRING: ("#d9822b", ""), PENDING: ("#f2cf9b", ""), MISSED: ("#a3140f", "xxx")}
COLUMNS = ["window", "alert", "state", "begin", "end", "rank"]
MAX_TRACKS = 12
STEP = pd.Timedelta(seconds=15)  # a sample is valid until the next


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


@chart("Failed alert notifications")
def notification_failures(canvas: Canvas, prom_notification_failures):
    """Messages of Alertmanager that failed in the minutes before each point, by kind of receiver."""
    labels = ("target", "integration")
    return drawn_lines(canvas, prom_notification_failures, labels, "failures", NUMBER, "failed notifications")


@chart("Failed rule evaluations")
def rule_failures(canvas: Canvas, prom_rule_failures):
    """Evaluations of rules that failed in the minutes before each point, by group of rules."""
    return drawn_lines(canvas, prom_rule_failures, ("target", "group"), "failures", NUMBER, "failed evaluations")

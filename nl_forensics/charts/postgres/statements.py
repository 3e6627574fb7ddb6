"""PostgreSQL: statements by execution time."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import cut, listed, moment, named
from nl_forensics.charts.units import MILLISECONDS, NUMBER, PERCENT

MAX_ROWS = 8
NO_BASELINE = "PostgreSQL's counters carry no timestamps: no baseline to compare with"


@chart("Statements by share of execution time")
def top_statements(canvas: Canvas, pg_statements):
    """Share of the execution time of all statements between the two readings, against the share since the counters began.

    The counters carry no timestamps: the share since their last reset is the nearest to a baseline, and is drawn as a mark.
    """
    rows = pg_statements.assign(
        now=pg_statements["exec_ms_delta"] / pg_statements["all_exec_ms_delta"],
        ever=pg_statements["exec_ms"] / pg_statements["all_exec_ms"],
        name=named(pg_statements, "database", "query"),
    )
    ran = rows["now"].fillna(0).max() > 0
    rows = rows.sort_values(["now" if ran else "ever", "ever"], ascending=False, kind="stable")
    rows = rows[rows["now"] > 0] if ran else rows
    since = (
        f"since {moment(rows['counted_since'].min())}"
        if rows["counted_since"].notna().any()
        else "since the last reset"
    )
    if rows.empty:
        return canvas.say(f"No statement was executed {since}.")
    bars = [_statement(row, ran) for row in rows.head(MAX_ROWS).itertuples(index=False)]
    when = f"in the {rows['seconds'].max():.1f} s between the two readings" if ran else since
    mark = f"share {since}" if ran else ""
    canvas.bars(bars, PERCENT, f"share of all execution time, {when}", mark, above=True)
    shares = listed(f"{cut(bar.name, 90)}: {bar.text}" for bar in bars)
    compared = (
        f"{NO_BASELINE}; the mark is the share {since}"
        if ran
        else f"No statement was executed between the two readings. {NO_BASELINE}"
    )
    return f"Share of execution time {when}, to {moment(rows['asked_at'].max())}: {shares}. {compared}."


def _statement(row, ran: bool) -> Bar:
    """The bar of one statement: its share between the two readings, or, when nothing ran, since the counters began."""
    lifetime = f"mean {MILLISECONDS.words(row.exec_ms / row.calls)}" if row.calls else "no finished call"
    if not ran:
        return Bar(row.name, {"": row.ever}, f"{PERCENT.words(row.ever)}, {NUMBER.words(row.calls)} calls, {lifetime}")
    if not row.calls_delta or pd.isna(row.calls_delta):
        return Bar(row.name, {"": row.now}, f"{PERCENT.words(row.now)}", row.ever)
    mean = MILLISECONDS.words(row.exec_ms_delta / row.calls_delta)
    text = f"{PERCENT.words(row.now)}, {NUMBER.words(row.calls_delta)} calls, mean {mean} (since reset {lifetime})"
    return Bar(row.name, {"": row.now}, text, row.ever)

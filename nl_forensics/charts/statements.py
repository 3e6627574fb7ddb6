"""PostgreSQL: which statements take the time."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Face
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import cut, listed, moment, named
from nl_forensics.charts.units import MILLISECONDS, NUMBER, PERCENT

MOST_ROWS = 8
NO_BASELINE = "The counters of PostgreSQL have no past, so the baseline window has none to compare with"


@chart("Which statements take the database's time?")
def top_statements(face: Face, pg_statements):
    """Share of the execution time of all statements, while we looked, against the share since the counters began.

    The counters have no past: what they hold since they were reset is the nearest thing to a baseline, and is drawn as a mark.
    """
    rows = pg_statements.assign(
        now=pg_statements["exec_ms_delta"] / pg_statements["all_exec_ms_delta"],
        ever=pg_statements["exec_ms"] / pg_statements["all_exec_ms"],
        name=named(pg_statements, "database", "query"),
    )
    looked = rows["now"].fillna(0).max() > 0
    rows = rows.sort_values(["now" if looked else "ever", "ever"], ascending=False, kind="stable")
    rows = rows[rows["now"] > 0] if looked else rows
    since = (
        f"since {moment(rows['counted_since'].min())}"
        if rows["counted_since"].notna().any()
        else "since the last reset"
    )
    if rows.empty:
        return face.say(f"No statement was executed {since}.")
    bars = [_statement(row, looked) for row in rows.head(MOST_ROWS).itertuples(index=False)]
    when = f"in the {rows['seconds'].max():.1f} s between two readings" if looked else since
    mark = f"share {since}" if looked else ""
    face.bars(bars, PERCENT, f"share of the execution time of all statements, {when}", mark, above=True)
    told = listed(f"{cut(bar.name, 90)}: {bar.text}" for bar in bars)
    compared = (
        f"{NO_BASELINE}; the mark shows the share {since}"
        if looked
        else f"Nothing was executed between two readings. {NO_BASELINE}"
    )
    return f"Share of execution time {when}, to {moment(rows['asked_at'].max())}: {told}. {compared}."


def _statement(row, looked: bool) -> Bar:
    """The bar of one statement: what it took while we looked, or, when nothing ran, since the counters began."""
    lifetime = f"mean {MILLISECONDS.words(row.exec_ms / row.calls)}" if row.calls else "never finished"
    if not looked:
        return Bar(row.name, {"": row.ever}, f"{PERCENT.words(row.ever)}, {NUMBER.words(row.calls)} calls, {lifetime}")
    if not row.calls_delta or pd.isna(row.calls_delta):
        return Bar(row.name, {"": row.now}, f"{PERCENT.words(row.now)}", row.ever)
    mean = MILLISECONDS.words(row.exec_ms_delta / row.calls_delta)
    text = f"{PERCENT.words(row.now)}, {NUMBER.words(row.calls_delta)} calls, mean {mean} ({lifetime} over all)"
    return Bar(row.name, {"": row.now}, text, row.ever)

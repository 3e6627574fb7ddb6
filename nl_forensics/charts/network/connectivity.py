"""The way of a request: how long each hop takes."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, named
from nl_forensics.charts.units import MILLISECONDS

HOPS = {"dns": "DNS", "tcp": "TCP", "tls": "TLS", "http": "HTTP"}


@chart("Request time by hop")
def hop_times(canvas: Canvas, probe_hops):
    """Median time of each hop to each address, measured from this machine. A failed hop is named at the end of its bar."""
    if probe_hops.empty:
        return canvas.say("No address was asked.")
    rows = probe_hops.assign(name=named(probe_hops, "url"))
    ways = [_way(str(name), part) for name, part in rows.groupby("name", sort=False)]
    canvas.bars(
        [bar for bar, _ in ways], MILLISECONDS, f"time per hop, {asked(rows)}", kinds=[*HOPS.values()], above=True
    )
    return f"{listed(f'{bar.name}: {words}' for bar, words in ways)}; from {rows['asked_from'].iloc[0]}, {asked(rows)}."


def _way(name: str, rows: pd.DataFrame) -> tuple[Bar, str]:
    """The bar of one address, and in words all of its hops."""
    median = rows.groupby("hop")["took_ms"].median()
    parts = {word: float(median[hop]) for hop, word in HOPS.items() if hop in median}
    words, short = ", ".join(f"{word} {MILLISECONDS.words(took)}" for word, took in parts.items()), "all hops succeeded"
    failed = rows[~rows["answered"]]
    if len(failed):
        first, times = failed.iloc[0], f"{failed['attempt'].nunique()} of {rows['attempt'].nunique()} times"
        short = f"{HOPS[first['hop']]} failed {times}: {first['why']}"
        words += f"; {short}"
    return Bar(name, parts, short), words

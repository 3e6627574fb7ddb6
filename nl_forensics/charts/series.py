"""Series of Prometheus over the incident and its baseline: one line per series, the worst first."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.labels import extreme, listed, split
from nl_forensics.charts.units import Unit


def drawn_lines(
    canvas: Canvas,
    rows: pd.DataFrame,
    labels: tuple[str, ...],
    value: str,
    unit: Unit,
    label: str,
    limits: dict[str, float] | None = None,
    lowest: bool = False,
) -> str:
    """Draw one line per series, the worst first, and name the worst values and their times."""
    if rows.empty:
        return canvas.say("No value was recorded.")
    series = split(rows, labels, value, lowest)
    canvas.lines(series, value, unit, label, limits or {})
    words = listed((f"{name}: {extreme(part, value, unit, lowest)}" for name, part in series.items()), 4)
    limit = "".join(f"; {name} {unit.words(level)}" for name, level in (limits or {}).items())
    return f"{words}{limit}."


def limit_level(name: str, rows: pd.DataFrame | None, value: str) -> dict[str, float]:
    """The lowest limit of all targets within the incident; none where it is unknown, or not set (0)."""
    if rows is None:
        return {}
    levels = rows[(rows["window"] == "incident") & (rows[value] > 0)][value]
    return {name: float(levels.min())} if len(levels) else {}

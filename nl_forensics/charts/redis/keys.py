"""Redis: its keys."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, named
from nl_forensics.charts.units import BYTES, NUMBER, PERCENT, SECONDS

MAX_ROWS = 12


@chart("Largest Redis keys")
def big_keys(canvas: Canvas, redis_big_keys):
    """Bytes of the largest keys of a sample. Names are patterns: the rest of a name can identify a customer."""
    if redis_big_keys.empty:
        return canvas.say(f"No key was found, {asked(redis_big_keys)}.")
    rows = redis_big_keys.assign(name=named(redis_big_keys, "key", "type")).sort_values(
        "bytes", ascending=False, kind="stable"
    )
    bars = [
        Bar(str(name), {"": float(alike["bytes"].iloc[0])}, _key(alike.iloc[0], len(alike), len(rows)))
        for name, alike in rows.groupby("name", sort=False)
    ]
    canvas.bars(bars[:MAX_ROWS], BYTES, f"memory of the largest key of the pattern, {asked(rows)}")
    return f"Largest key of each pattern: {listed(f'{bar.name} {bar.text}' for bar in bars)}; {asked(rows)}."


def _key(row: pd.Series, alike: int, of: int) -> str:
    length = "" if pd.isna(row["length"]) or row["type"] == "string" else f", elements: {NUMBER.words(row['length'])}"
    expiry = "never expires" if pd.isna(row["ttl_s"]) else f"expires in {SECONDS.words(row['ttl_s'])}"
    return f"{BYTES.words(row['bytes'])}{length}, {expiry}; {alike} of the top {of}"


@chart("Redis keys by prefix and expiry")
def key_prefixes(canvas: Canvas, redis_prefixes):
    """Bytes by pattern of the name, of a sample: those that expire some day, and those that never do."""
    if redis_prefixes.empty:
        return canvas.say(f"No key was found, {asked(redis_prefixes)}.")
    rows = redis_prefixes.assign(name=named(redis_prefixes, "key", "type"))
    bars = []
    for row in rows.itertuples(index=False):
        expiring = row.keys_with_ttl / row.keys if row.keys else 0
        text = f"{BYTES.words(row.bytes)} in {NUMBER.words(row.keys)} keys, {PERCENT.words(expiring)} expire"
        bars.append(Bar(row.name, {"": float(row.bytes)}, text))
    canvas.bars(bars[:MAX_ROWS], BYTES, f"memory of the sampled keys, {asked(rows)}")
    return f"{listed(f'{bar.name}: {bar.text}' for bar in bars)}; {asked(rows)}."

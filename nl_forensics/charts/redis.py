"""Redis: memory, what holds it up, and its keys."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, moment, named
from nl_forensics.charts.units import BYTES, MILLISECONDS, NUMBER, PERCENT, SECONDS

MAX_ROWS, MAX_COMMANDS = 12, 5


@chart("Redis memory vs. maxmemory")
def redis_memory_now(canvas: Canvas, redis_memory):
    """Memory that Redis asked for: data, and what it needs beside; the mark is maxmemory."""
    bars = []
    for row in redis_memory.itertuples(index=False):
        other = max(0, row.used_bytes - row.dataset_bytes)
        parts = {"data": float(row.used_bytes - other), "overhead": float(other)}
        bars.append(Bar(row.instance, parts, _of_limit(row), float(row.limit_bytes) if row.limit_bytes else None))
    canvas.bars(bars, BYTES, f"memory, {asked(redis_memory)}", "maxmemory", ("data", "overhead"))
    words = (f"{bar.name}: {bar.text}" for bar in bars)
    return f"{listed(words)}; {asked(redis_memory)}."


def _of_limit(row) -> str:
    if not row.limit_bytes:
        return f"{BYTES.words(row.used_bytes)}, no maxmemory is set"
    share = PERCENT.words(row.used_bytes / row.limit_bytes)
    return f"{BYTES.words(row.used_bytes)} of {BYTES.words(row.limit_bytes)}, {share}, {row.policy}"


@chart("Slow Redis commands")
def slow_commands(canvas: Canvas, redis_slowlog):
    """Every command of the slow log at its time: Redis serves no other client meanwhile."""
    if redis_slowlog.empty:
        return canvas.say("The slow log is empty: no command was slower than its threshold.")
    rows = redis_slowlog.assign(name=named(redis_slowlog, "command"))
    total = rows.groupby("name")["duration_ms"].sum().sort_values(ascending=False, kind="stable")
    kept = rows["name"].where(rows["name"].isin(total.index[:MAX_COMMANDS]), "others")
    groups = {
        str(name): part for name, part in sorted(rows.groupby(kept), key=lambda group: -group[1]["duration_ms"].sum())
    }
    outside = canvas.dots(groups, "duration_ms", MILLISECONDS, "execution time")
    worst = rows.loc[rows["duration_ms"].idxmax()]
    elsewhere = f" {outside} of them lie outside both windows." if outside else ""
    held = listed(f"{name} {MILLISECONDS.words(part['duration_ms'].sum())}" for name, part in groups.items())
    return (
        f"{len(rows)} slow commands; in total {held}. Longest: {worst['name']}, {MILLISECONDS.words(worst['duration_ms'])}"
        f" at {moment(worst['at'])}.{elsewhere}"
    )


@chart("Redis commands by share of time")
def command_time(canvas: Canvas, redis_commands):
    """Share of the time spent in commands while we looked, and since the counters began. Ours are among them."""
    rows = redis_commands.assign(name=named(redis_commands, "command"))
    spent, ever = rows["spent_ms_delta"].sum(), rows["spent_ms"].sum()
    rows = rows.assign(now=rows["spent_ms_delta"] / (spent or 1), ever=rows["spent_ms"] / (ever or 1))
    rows = rows[(rows["now"] > 0) | (rows["ever"] > 0.01)].sort_values(["now", "ever"], ascending=False, kind="stable")
    if rows.empty:
        return canvas.say(f"No command was executed, {asked(redis_commands)}.")
    bars = [Bar(row.name, {"": row.now}, _command(row), row.ever) for row in rows.itertuples(index=False)]
    seconds = f"in the {rows['seconds'].max():.1f} s between two readings, {asked(rows)}"
    canvas.bars(
        bars[:MAX_ROWS], PERCENT, f"share of the time of all commands {seconds}", "share since the counters began"
    )
    busy = PERCENT.words(spent / 1000 / rows["seconds"].max())
    words = listed(f"{bar.name} {bar.text}" for bar in bars)
    return f"Share of the time of all commands: {words}. Commands took {busy} of the time {seconds}; our questions are among them."


def _command(row) -> str:
    if not row.calls_delta:
        return "not called while we looked"
    mean = MILLISECONDS.words(row.spent_ms_delta / row.calls_delta)
    return f"{PERCENT.words(row.now)}, {NUMBER.words(row.calls_delta)} calls, mean {mean}"


@chart("Largest Redis keys")
def big_keys(canvas: Canvas, redis_big_keys):
    """Bytes of the biggest keys of a sample. Names are patterns: the rest of a name can identify a customer."""
    if redis_big_keys.empty:
        return canvas.say(f"No key was found, {asked(redis_big_keys)}.")
    rows = redis_big_keys.assign(name=named(redis_big_keys, "key", "type")).sort_values(
        "bytes", ascending=False, kind="stable"
    )
    bars = [
        Bar(str(name), {"": float(alike["bytes"].iloc[0])}, _key(alike.iloc[0], len(alike), len(rows)))
        for name, alike in rows.groupby("name", sort=False)
    ]
    canvas.bars(bars[:MAX_ROWS], BYTES, f"memory of the biggest key of its kind, {asked(rows)}")
    return f"Biggest key of its kind: {listed(f'{bar.name} {bar.text}' for bar in bars)}; {asked(rows)}."


def _key(row: pd.Series, alike: int, of: int) -> str:
    length = "" if pd.isna(row["length"]) or row["type"] == "string" else f", {NUMBER.words(row['length'])} elements"
    expiry = "never expires" if pd.isna(row["ttl_s"]) else f"expires in {SECONDS.words(row['ttl_s'])}"
    return f"{BYTES.words(row['bytes'])}{length}, {expiry}; {alike} of the {of} biggest"


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
    canvas.bars(bars[:MAX_ROWS], BYTES, f"memory of the keys of the sample, {asked(rows)}")
    return f"{listed(f'{bar.name}: {bar.text}' for bar in bars)}; {asked(rows)}."


@chart("Queue backlog")
def queue_depth(canvas: Canvas, redis_queues):
    """Items that wait in each queue at the last of several readings; the mark shows the first reading."""
    seen = redis_queues[redis_queues["depth"].notna()]
    if seen.empty:
        names = ", ".join(redis_queues["key"].unique()) or "none is named in the platform file"
        return canvas.say(f"No queue was found ({names}): it is empty, or has another name.")
    bars = []
    for name, rows in seen.sort_values("at").groupby(named(seen, "key"), sort=True):
        first, last = rows.iloc[0], rows.iloc[-1]
        grown, seconds = int(last["depth"] - first["depth"]), (last["at"] - first["at"]).total_seconds()
        text = f"{NUMBER.words(last['depth'])} items, {grown:+,} in {seconds:.0f} s"
        bars.append(Bar(str(name), {"": float(last["depth"])}, text, float(first["depth"])))
    canvas.bars(bars, NUMBER, f"queued items at {moment(seen['at'].max())}", "at the first reading")
    return f"{listed(f'{bar.name}: {bar.text}' for bar in bars)}; last reading at {moment(seen['at'].max())}."

"""Redis: memory, and what was evicted for lack of it."""

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed
from nl_forensics.charts.series import drawn_lines, limit_level
from nl_forensics.charts.units import BYTES, NUMBER, PERCENT


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


@chart("Redis memory over time")
def redis_memory(canvas: Canvas, prom_redis_memory, *, prom_redis_memory_limit):
    """Memory that Redis asked for, over time; the level line is maxmemory, if there is one."""
    limits = limit_level("maxmemory", prom_redis_memory_limit, "limit_bytes")
    return drawn_lines(canvas, prom_redis_memory, ("target",), "used_bytes", BYTES, "memory", limits)


@chart("Redis evictions")
def evictions(canvas: Canvas, prom_redis_evictions):
    """Keys that were evicted for lack of memory in the minutes before each point."""
    return drawn_lines(canvas, prom_redis_evictions, ("target",), "evicted_keys", NUMBER, "keys evicted")

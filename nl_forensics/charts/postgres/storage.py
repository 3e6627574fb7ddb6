"""PostgreSQL: memory and disk, dead rows, transaction ids, indexes."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import age_s, asked, listed, named
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import BYTES, NUMBER, PERCENT, SECONDS

MAX_ROWS = 12
XIDS = 2**31


@chart("PostgreSQL cache misses")
def cache_misses(canvas: Canvas, pg_databases):
    """Share of block reads that PostgreSQL had to ask the operating system for, by database: 1 % is a hit rate of 99 %."""
    rows = pg_databases.assign(
        name=named(pg_databases, "database"),
        now=pg_databases["read_blocks_delta"] + pg_databases["hit_blocks_delta"],
        ever=pg_databases["read_blocks"] + pg_databases["hit_blocks"],
    )
    rows = rows[rows["now"] > 0].sort_values("now", ascending=False, kind="stable").head(MAX_ROWS)
    if rows.empty:
        return canvas.say(f"No block was read between two readings, {asked(pg_databases)}.")
    bars = []
    for row in rows.itertuples(index=False):
        missed = row.read_blocks_delta / row.now
        text = f"{PERCENT.words(missed)} of {NUMBER.words(row.now)} blocks"
        bars.append(Bar(row.name, {"": missed}, text, row.read_blocks / row.ever))
    seconds = f"in the {rows['seconds'].max():.1f} s between two readings, {asked(rows)}"
    canvas.bars(
        bars, PERCENT, f"share of blocks not found in shared_buffers, {seconds}", "share since the counters began"
    )
    words = listed(f"{bar.name} {bar.text} (since the counters began {PERCENT.words(bar.mark or 0)})" for bar in bars)
    return f"Blocks not found in shared_buffers: {words}; {seconds}."


@chart("Tables due for vacuum")
def dead_rows(canvas: Canvas, pg_vacuum_queue):
    """Dead rows of each table as a share of the autovacuum threshold: above 100 % a vacuum is due."""
    rows = pg_vacuum_queue.assign(
        name=named(pg_vacuum_queue, "database", "schema", "table"),
        ratio=pg_vacuum_queue["dead_rows"] / pg_vacuum_queue["vacuum_at_dead_rows"].clip(lower=1),
        vacuumed_s=age_s(pg_vacuum_queue, "last_vacuum_at"),
    )
    rows = rows[rows["dead_rows"] > 0].sort_values("ratio", ascending=False, kind="stable")
    if rows.empty:
        return canvas.say(f"No table has dead rows, {asked(pg_vacuum_queue)}.")
    bars = [Bar(row.name, {"": row.ratio}, _vacuum(row), 1.0) for row in rows.itertuples(index=False)]
    canvas.bars(
        bars[:MAX_ROWS], PERCENT, f"dead rows, share of the autovacuum threshold, {asked(rows)}", "autovacuum threshold"
    )
    return f"Dead rows vs. the autovacuum threshold: {listed(f'{bar.name} {bar.text}' for bar in bars)}; {asked(rows)}."


def _vacuum(row) -> str:
    vacuumed = "never vacuumed" if pd.isna(row.vacuumed_s) else f"vacuumed {SECONDS.words(max(0, row.vacuumed_s))} ago"
    off = "" if row.is_enabled else ", autovacuum is off for it"
    counts = f"{NUMBER.words(row.dead_rows)} dead of {NUMBER.words(row.vacuum_at_dead_rows)}"
    return f"{PERCENT.words(row.ratio)}: {counts}, {vacuumed}{off}"


@chart("Transaction ID wraparound")
def wraparound(canvas: Canvas, pg_wraparound):
    """Age of the oldest transaction id and multixact of each database, of the 2^31 at which PostgreSQL stops to accept writes."""
    names, bars = named(pg_wraparound, "database"), []
    for kind, words in (("xid", "transaction ids"), ("multixact", "multixacts")):
        ages, frozen_at = pg_wraparound[f"{kind}_age"], pg_wraparound[f"freeze_{kind}_age"]
        bars += [
            Bar(f"{name}, {words}", {"": age / XIDS}, f"{PERCENT.words(age / XIDS)}: {age:,}", limit / XIDS)
            for name, age, limit in zip(names, ages, frozen_at, strict=True)
        ]
    bars.sort(key=lambda bar: -bar.parts[""])
    label = f"share of 2,147,483,648 used, {asked(pg_wraparound)}"
    canvas.bars(bars, PERCENT, label, "autovacuum freezes from here", small=0.05)
    return f"Used up of 2,147,483,648: {listed(f'{bar.name} {bar.text}' for bar in bars)}; {asked(pg_wraparound)}."


@chart("Largest tables")
def table_sizes(canvas: Canvas, pg_relation_sizes):
    """Exact size of the largest tables with their oversized values, and of their indexes; partitions are added up."""
    if pg_relation_sizes.empty:
        return canvas.say(f"There is no table, {asked(pg_relation_sizes)}.")
    rows = pg_relation_sizes.assign(
        name=named(pg_relation_sizes, "database", "schema", "table"),
        total=pg_relation_sizes["table_bytes"] + pg_relation_sizes["indexes_bytes"],
    ).sort_values("total", ascending=False, kind="stable")
    bars = [
        Bar(
            row.name, {"table": float(row.table_bytes), "its indexes": float(row.indexes_bytes)}, BYTES.words(row.total)
        )
        for row in rows.itertuples(index=False)
    ]
    canvas.bars(bars[:MAX_ROWS], BYTES, f"size on disk, {asked(rows)}", kinds=("table", "its indexes"))
    return f"Largest tables with their indexes: {listed(f'{bar.name} {bar.text}' for bar in bars)}; {asked(rows)}."


@chart("Unused indexes")
def unused_indexes(canvas: Canvas, pg_indexes):
    """Size of the indexes that enforce no rule and were not scanned since the counters began. A replica may use them."""
    optional = pg_indexes[pg_indexes["enforces"].isna()]
    rows = optional[optional["scans"] == 0].sort_values("size_bytes", ascending=False, kind="stable")
    since = pg_indexes["counted_since_at"].min()
    when = f"since {since:%Y-%m-%d %H:%M} UTC, {asked(pg_indexes)}" if len(pg_indexes) else asked(pg_indexes)
    if rows.empty:
        return canvas.say(f"No index went unused {when}; those that enforce a rule are left out.")
    rows = rows.assign(name=named(rows, "database", "table", "index"))
    bars = [
        Bar(row.name, {"": float(row.size_bytes)}, BYTES.words(row.size_bytes)) for row in rows.itertuples(index=False)
    ]
    canvas.bars(bars[:MAX_ROWS], BYTES, f"size of an index without a scan {when}")
    total = (
        f"{len(rows)} of {len(optional)} indexes that enforce no rule, {BYTES.words(rows['size_bytes'].sum())} together"
    )
    return f"Never scanned {when}: {total}; largest: {listed(f'{bar.name} {bar.text}' for bar in bars)}."


@chart("PostgreSQL cache hit ratio")
def cache_hit(canvas: Canvas, prom_postgres_cache_hit):
    """Share of the blocks found in shared_buffers, over time: a fall means that something new reads much."""
    return drawn_lines(
        canvas, prom_postgres_cache_hit, ("target",), "hit_ratio", PERCENT, "cache hit ratio", lowest=True
    )

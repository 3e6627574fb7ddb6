"""Rules about tables: scans, indexes, bloat and sequences."""

from nl_forensics.checks.rule import check

MIB = 1024**2


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="{sequential_scans_delta:number} sequential scans in {seconds:.1f} s ({sequential_rows_delta:number} rows read, limit"
    " {max_scans_per_s:g}/s), {index_scans_delta:number} index scans; about {estimated_rows:number} rows",
    guide=("C070", "C071", "C072"),
)
def large_tables_are_read_by_index(pg_tables, *, min_rows=10_000, min_index_ratio=0.95, max_scans_per_s=1.0):
    """Tables of {min_rows:number} rows and more are read by index, not by sequential scans.

    A statement without a fitting index reads the whole table each time, and slows down all others.
    10,000 rows and 95 % of the scans: the defaults of PgHero. One scan and 10,000 rows per second are our choice: an
    occasional report is no fault, nor is a scan that ends after its first rows (LIMIT).
    """
    t = pg_tables[pg_tables.sequential_scans_delta > max_scans_per_s * pg_tables.seconds]
    t = t[t.sequential_rows_delta >= min_rows * max_scans_per_s * t.seconds]
    t = t[t.index_scans_delta / (t.sequential_scans_delta + t.index_scans_delta) < min_index_ratio]
    large = (t.estimated_rows >= min_rows) | (t.sequential_rows_delta >= min_rows * t.sequential_scans_delta)
    return t[large].sort_values("sequential_rows_delta", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="{indexes_bytes:bytes} of indexes for {table_bytes:bytes} of rows (limit {max_ratio:g}×)",
    guide=("C071",),
)
def no_table_is_mostly_index(pg_relation_sizes, *, max_ratio=2.0, min_bytes=100 * MIB):
    """No table has indexes more than {max_ratio:g} times as large as its rows.

    Every write of a row also writes its indexes. Twice the size: pg_gather. From {min_bytes:bytes} of indexes on
    (our choice).
    """
    t = pg_relation_sizes[pg_relation_sizes.indexes_bytes >= min_bytes]
    return t[t.indexes_bytes > max_ratio * t.table_bytes].sort_values("indexes_bytes", ascending=False)


@check(
    section="05",
    severity="medium",
    high="bloat_ratio >= high_ratio",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="{bloat_bytes:bytes} of {heap_bytes:bytes} are unused ({bloat_ratio:percent}, {method}, limit {max_ratio:percent} and"
    " {min_bytes:bytes})",
    guide=("C071", "C073"),
)
def no_table_is_bloated(pg_table_bloat, *, max_ratio=0.4, high_ratio=0.9, min_bytes=200 * MIB):
    """No table holds {max_ratio:percent} unused space and more, from {min_bytes:bytes} on.

    Unused space is read and cached like rows. 40 % and 90 % (high): postgres-checkup; 200 MiB: Percona.
    """
    t = pg_table_bloat[pg_table_bloat.bloat_bytes >= min_bytes]
    t = t.assign(bloat_ratio=t.bloat_bytes / t.heap_bytes)
    return t[t.bloat_ratio >= max_ratio].sort_values("bloat_bytes", ascending=False)


@check(
    section="05",
    severity="note",
    high="used_ratio >= high_ratio",
    subject="postgres/{instance}, {database}.{schema}.{sequence}",
    because="{used_ratio:percent} of its numbers are used (limit {max_ratio:percent}), {last_value:number} of"
    " {final_value:number}{fills}; at the end every INSERT fails",
)
def no_sequence_runs_out(pg_sequences, *, max_ratio=0.75, high_ratio=0.9):
    """Every sequence has used less than {max_ratio:percent} of the numbers that it and its column can hold.

    At the end, every INSERT fails. 75 % (Crunchy) is housekeeping, 90 % (Crunchy, PgHero) is high. A cyclic
    sequence starts again, so it counts only where its column is narrower than it.
    """
    t = pg_sequences[pg_sequences.last_value.notna() & (~pg_sequences.is_cyclic | pg_sequences.owner.notna())]
    span = t.final_value.astype("float64") - t.first_value.astype("float64")
    t = t.assign(
        used_ratio=(t.last_value - t.first_value.astype("float64")) / span,
        fills=(" (it fills " + t.owner + ", " + t.owner_type + ")").fillna(""),
    )
    return t[t.used_ratio >= max_ratio].sort_values("used_ratio", ascending=False)

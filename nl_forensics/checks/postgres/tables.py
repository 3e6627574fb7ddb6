"""Rules about tables: how they are read, what they hold, and the numbers that they use up."""

from nl_forensics.checks.rows import graded, worst_first
from nl_forensics.checks.rule import check

MIB = 1024**2


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="was read whole {sequential_scans_delta:number} times in {seconds:.1f} s ({sequential_rows_delta:number} rows; limit"
    " {max_scans_per_s:g} scans per second), and through an index only {index_scans_delta:number} times; it has about"
    " {estimated_rows:number} rows",
    guide=("C070", "C071", "C072"),
)
def large_tables_are_read_by_index(pg_tables, *, min_rows=10_000, min_index_ratio=0.95, max_scans_per_s=1.0):
    """Tables of {min_rows:number} rows and more are read through an index, not whole.

    A statement without a fitting index reads the whole table each time, and every statement slows down with it.
    10,000 rows and 95 % of the scans: the defaults of PgHero. One scan and 10,000 rows a second are our own: a report
    that runs now and then is no fault, nor is a scan that ends after its first rows (LIMIT).
    """
    t = pg_tables[pg_tables.sequential_scans_delta > max_scans_per_s * pg_tables.seconds]
    index_ratio = t.index_scans_delta / (t.sequential_scans_delta + t.index_scans_delta)
    large = (t.estimated_rows >= min_rows) | (t.sequential_rows_delta >= min_rows * t.sequential_scans_delta)
    much = t.sequential_rows_delta >= min_rows * max_scans_per_s * t.seconds
    return t[(index_ratio < min_index_ratio) & large & much].sort_values("sequential_rows_delta", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="its indexes take {indexes_bytes:bytes}, the rows themselves only {table_bytes:bytes}",
    guide=("C071",),
)
def no_table_is_mostly_index(pg_relation_sizes, *, max_ratio=2.0, min_bytes=100 * MIB):
    """No table has indexes more than {max_ratio:g} times as large as its rows.

    Every index is written with every row. Twice the size: pg_gather. Looked at from {min_bytes:bytes} of indexes on
    (our own).
    """
    t = pg_relation_sizes[pg_relation_sizes.indexes_bytes >= min_bytes]
    return t[t.indexes_bytes > max_ratio * t.table_bytes].sort_values("indexes_bytes", ascending=False)


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}.{schema}.{table}",
    because="{bloat_bytes:bytes} of its {heap_bytes:bytes} are not used ({bloat_ratio:percent}, {method}; limit"
    " {max_ratio:percent} and {min_bytes:bytes})",
    guide=("C071", "C073"),
)
def no_table_is_bloated(pg_table_bloat, *, max_ratio=0.4, severe_ratio=0.9, min_bytes=200 * MIB):
    """No table holds {max_ratio:percent} unused space and more, from {min_bytes:bytes} on.

    Unused space is read and cached like rows. 40 % and 90 % (high): postgres-checkup; 200 MiB: Percona.
    """
    t = pg_table_bloat[pg_table_bloat.bloat_bytes >= min_bytes]
    t = t.assign(bloat_ratio=t.bloat_bytes / t.heap_bytes)
    t = graded(t, high=t.bloat_ratio >= severe_ratio, medium=t.bloat_ratio >= max_ratio)
    return worst_first(t, "bloat_bytes")


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{schema}.{sequence}",
    because="has used {used_ratio:percent} of its numbers: it is at {last_value:number} of {final_value:number}{fills}; limit"
    " {max_ratio:percent}",
)
def no_sequence_runs_out(pg_sequences, *, max_ratio=0.75, severe_ratio=0.9):
    """Every sequence has used less than {max_ratio:percent} of the numbers that it and its column can hold.

    At the end, every INSERT fails. 75 % (Crunchy) is housekeeping, 90 % (Crunchy, PgHero) is high. A cyclic
    sequence starts again, so it only counts where its column is narrower than it.
    """
    t = pg_sequences[pg_sequences.last_value.notna() & (~pg_sequences.is_cyclic | pg_sequences.owner.notna())]
    span = t.final_value.astype("float64") - t.first_value.astype("float64")
    t = t.assign(
        used_ratio=(t.last_value - t.first_value.astype("float64")) / span,
        fills=(" (it fills " + t.owner + ", " + t.owner_type + ")").fillna(""),
    )
    t = graded(t, high=t.used_ratio >= severe_ratio, note=t.used_ratio >= max_ratio)
    return worst_first(t, "used_ratio")

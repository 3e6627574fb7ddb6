"""Rules about indexes: validity, use, redundancy, bloat, and foreign keys without one."""

import pandas as pd

from nl_forensics.checks.rows import seconds_since
from nl_forensics.checks.rule import check

MIB = 1024**2
DAY_S = 86_400


@check(
    section="05",
    severity="medium",
    subject="postgres/{instance}, {database}.{schema}.{index}",
    because="is invalid: no query uses it, but every write to {schema}.{table} maintains it ({size_bytes:bytes})",
    guide=("C072",),
)
def every_index_is_valid(pg_indexes):
    """Every index is valid.

    A failed CREATE INDEX CONCURRENTLY leaves an invalid index behind: a unique one does not enforce its
    constraint. While an index build is running on the table, it is no fault.
    """
    return pg_indexes[~pg_indexes.is_valid & ~pg_indexes.is_being_built].sort_values("size_bytes", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{schema}.{index}",
    because="{size_bytes:bytes}, unused for {idle_s:seconds} (limit {min_days:g} d); every write to {schema}.{table}"
    " maintains it; check its use on replicas before dropping it",
    guide=("C072",),
)
def every_index_is_used(pg_index_use, *, min_days=30):
    """Every index of 10 MiB and more was used in the last {min_days:g} days, or enforces a constraint.

    PostgreSQL before 16 does not date uses: there, one use since the counters began is enough. 10 MiB: PgHero. 30 days (our
    choice): younger counters may have missed the monthly report. An index that another instance (a replica) uses under the
    same name is used; an index that only a standby does not use may be used by its primary.
    """
    t = pg_index_use
    # Unused since the last use; without any, since the counters began.
    since = t.last_scan_at.fillna(t.counted_since_at.where(t.scans == 0))
    t = t.assign(idle_s=seconds_since(since, t))
    idle_everywhere = (t.idle_s >= min_days * DAY_S).groupby([t.database, t.schema, t["index"]]).transform("all")
    return t[idle_everywhere & ~t.is_standby].sort_values("size_bytes", ascending=False)


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{schema}.{index}",
    because="({keys}) is redundant with {covered_by} ({covering_keys}); {size_bytes:bytes}",
    guide=("C072",),
)
def no_index_is_redundant(pg_indexes):
    """No index is a prefix of another one.

    A B-tree on (a, b) serves every query that one on (a) serves; other kinds of index must be equal to be
    redundant. Operator classes, collations, directions and predicates must be the same. An index that enforces a
    constraint is not redundant.
    """
    table = ["instance", "database", "schema", "table", "method", "predicate", "included_columns"]
    valid = pg_indexes[pg_indexes.is_valid].assign(predicate=pg_indexes.predicate.fillna(""))
    pairs = valid[valid.enforces.isna()].merge(valid, on=table, suffixes=("", "_other"))
    covered = pd.Series([_is_covered(pair) for pair in pairs.to_dict("records")], index=pairs.index, dtype=bool)
    pairs = pairs[covered].rename(columns={"index_other": "covered_by", "keys_other": "covering_keys"})
    kept = [*pg_indexes.columns, "covered_by", "covering_keys"]
    return pairs[kept].sort_values("size_bytes", ascending=False).drop_duplicates([*table, "index"])


def _is_covered(pair: dict) -> bool:
    """Of two equal ones that enforce nothing, the later by name is redundant."""
    if pair["index"] == pair["index_other"]:
        return False
    if pair["keys"] == pair["keys_other"]:
        return not pd.isna(pair["enforces_other"]) or pair["index"] > pair["index_other"]
    return pair["method"] == "btree" and pair["keys_other"].startswith(pair["keys"] + "; ")


@check(
    section="05",
    severity="note",
    subject="postgres/{instance}, {database}.{schema}.{table} ({columns})",
    because="foreign key to {referenced_table} without an index: a DELETE there scans {estimated_rows:number} rows here; constraint"
    " {constraint}; the DELETE keeps its locks meanwhile",
    guide=("C072",),
)
def every_foreign_key_has_an_index(pg_foreign_keys, *, min_rows=10_000):
    """Every foreign key of a table of {min_rows:number} rows and more has an index.

    Deleting a row, or changing its key, searches for rows that reference it. 10,000 rows: as for sequential scans
    (PgHero).
    """
    t = pg_foreign_keys[pg_foreign_keys["index"].isna() & (pg_foreign_keys.estimated_rows >= min_rows)]
    return t.sort_values("estimated_rows", ascending=False)


@check(
    section="05",
    severity="medium",
    high="bloat_ratio >= high_ratio",
    subject="postgres/{instance}, {database}.{schema}.{index}",
    because="{bloat_bytes:bytes} of {index_bytes:bytes} are unused ({bloat_ratio:percent}, {method}, limit {max_ratio:percent} and"
    " {min_bytes:bytes})",
    guide=("C071", "C072"),
)
def no_index_is_bloated(pg_index_bloat, *, max_ratio=0.4, high_ratio=0.9, min_bytes=100 * MIB):
    """No index holds {max_ratio:percent} unused space and more, from {min_bytes:bytes} on.

    100 MiB: PgHero. 40 % and 90 % (high): postgres-checkup.
    """
    t = pg_index_bloat[pg_index_bloat.bloat_bytes >= min_bytes]
    t = t.assign(bloat_ratio=t.bloat_bytes / t.index_bytes)
    return t[t.bloat_ratio >= max_ratio].sort_values("bloat_bytes", ascending=False)

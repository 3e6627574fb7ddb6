"""What a table says of its own holes."""

import pandas as pd

from nl_forensics import sources
from nl_forensics.evidence.table import Table


def test_columns_with_holes_are_named_in_the_order_of_the_table():
    """Not in that of a set, which differs from run to run: the same case gives the same words."""
    source = sources.load()["redis_big_keys"]
    rows = source.table([{"key": "usage:*"}]).assign(instance="main", asked_at=pd.Timestamp("2026-11-03T14:00Z"))
    needed = [name for name in source.needed if name != "key"]
    for columns in (set(needed), needed, needed[::-1]):
        [gap] = Table(source, rows, (), is_blind=False).holes(columns)
        assert gap.unseen.endswith(f"1 of 1 rows lack {', '.join(needed)}")

"""Redis: what would be left after a crash."""

import pandas as pd

from nl_forensics.charts.table import table


@table("Snapshots and append-only file of Redis", "No Redis answered.")
def redis_saved(redis_persistence) -> pd.DataFrame:
    """Snapshot and append-only file. A disk that is lost takes both with it."""
    rows = redis_persistence
    return pd.DataFrame(
        {
            "server": rows["instance"],
            "append-only file": rows["aof_enabled"].map({True: "on", False: "off"}),
            "last snapshot, UTC": rows["last_save_at"].dt.strftime("%Y-%m-%d %H:%M:%S"),
            "changes since then": rows["changes_since_save"],
            "snapshots": rows["save_rules"].replace("", "none are made"),
        }
    )

"""PostgreSQL: replicas, and the archive of its WAL."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.table import table
from nl_forensics.charts.units import BYTES, SECONDS
from nl_forensics.units import in_bytes


@chart("Replication lag")
def replication_lag(canvas: Canvas, prom_postgres_replication_lag, *, pg_replication):
    """Age of the newest transaction that a replica replayed. While the primary writes nothing it grows, too."""
    words = drawn_lines(canvas, prom_postgres_replication_lag, ("target",), "lag_s", SECONDS, "lag")
    if pg_replication is None:
        return words
    behind = (
        f"{row.replica} {'unknown' if pd.isna(row.behind_bytes) else BYTES.words(row.behind_bytes)}"
        for row in pg_replication.itertuples(index=False)
    )
    return f"{words} WAL not replayed when asked: {listed(behind) or 'no replica was connected'}."


@table("WAL archive and replicas of PostgreSQL", "No PostgreSQL answered.")
def postgres_elsewhere(pg_archiver, pg_replication) -> pd.DataFrame:
    """How far the archive of its WAL reaches, and which replicas follow.

    Dumps, base backups and snapshots of volumes are not visible here; without one, a WAL archive restores nothing.
    """
    replicas = pg_replication[pg_replication["state"] != "backup"]
    behind = ["unknown" if pd.isna(size) else in_bytes(size) for size in replicas["behind_bytes"]]
    words = replicas["replica"] + ": " + replicas["state"] + ", " + pd.Series(behind, replicas.index, "str") + " behind"
    following = words.groupby(replicas["instance"]).agg(listed)
    return pd.DataFrame(
        {
            "server": pg_archiver["instance"],
            "WAL archive": [_archive(row) for row in pg_archiver.itertuples()],
            "replicas": [following.get(name, "none connected") for name in pg_archiver["instance"]],
        }
    )


def _archive(row) -> str:
    if row.archive_mode == "off" or not row.has_command:
        return "none: " + ("archive_mode is off" if row.archive_mode == "off" else "there is no command that archives")
    upto = (
        "nothing was archived"
        if pd.isna(row.last_archived_at)
        else f"up to {row.last_archived_at:%Y-%m-%d %H:%M:%S} UTC"
    )
    waiting = "how many files wait is not known" if pd.isna(row.ready_files) else f"files that wait: {row.ready_files}"
    return f"{upto}; {waiting}"

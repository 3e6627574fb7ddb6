"""Containers: how they ended."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, container_named, listed, moment
from nl_forensics.charts.units import SECONDS
from nl_forensics.facts.kubernetes.terminations import kept, with_last_end

MEMORY, SIGNAL, NO_START, ERROR, BY_ITSELF = (
    "OOM-killed",
    "killed by a signal",
    "failed to start",
    "exited with an error",
    "exited with 0",
)
KINDS = (MEMORY, ERROR, SIGNAL, NO_START, BY_ITSELF)
NEVER_STARTED = (126, 127, 128)


@chart("Container terminations")
def container_ends(canvas: Canvas, k8s_containers):
    """The last end of every container, with its exit code in words. Completed containers, and those being deleted, are left out."""
    rows = with_last_end(kept(k8s_containers))
    rows = rows[rows["ended_at"].notna()]
    rows = rows[(rows["end_reason"] != "Completed") | (rows["restarts"] > 0)]
    if rows.empty:
        return canvas.say(
            f"None of the {len(k8s_containers)} containers was terminated, except for completed ones, {asked(k8s_containers)}."
        )
    during = rows["ended_at"] >= canvas.incident.start
    rows = rows.assign(during=during, kind=_kinds(rows), at=rows["ended_at"], text=rows.apply(_end, axis=1))
    rows = rows.sort_values(["during", "restarts", "ended_at"], ascending=False, kind="stable")
    rows = rows.assign(name=container_named(rows))
    canvas.marks({f"{row.name}: {row.text}": rows.loc[[row.Index]] for row in rows.itertuples()}, KINDS)
    counts = listed((f"{number} {kind}" for kind, number in rows["kind"].value_counts().items()), len(KINDS))
    words = listed(f"{row.name}: {row.text}, at {moment(row.at)}" for row in rows.itertuples())
    since = f"{during.sum()} of them since the incident began"
    return f"{len(rows)} containers, {since}: {counts}. {words}; {asked(rows)}. Only the last end is kept."


def _kinds(rows: pd.DataFrame) -> pd.Series:
    kind = pd.Series(ERROR, rows.index).mask(rows["end_code"] == 0, BY_ITSELF).mask(rows["end_code"] > 128, SIGNAL)
    kind = kind.mask(rows["end_code"].isin(NEVER_STARTED), NO_START)
    return kind.mask(rows["end_reason"] == "OOMKilled", MEMORY)


def _end(row: pd.Series) -> str:
    ran = "" if pd.isna(row["ran_s"]) else f" after {SECONDS.words(row['ran_s'])}"
    return f"{row['ended']}{ran}, restarts: {row['restarts']}"

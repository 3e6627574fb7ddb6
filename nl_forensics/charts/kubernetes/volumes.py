"""Volumes: which are missing where they are wanted, and how full the others are."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import age_s, asked, listed, moment, named
from nl_forensics.charts.units import BYTES, PERCENT, SECONDS

PENDING, LOST, ELSEWHERE, FAILS, LEFT = (
    "pending",
    "lost",
    "attached elsewhere",
    "can't be attached",
    "could not be taken back",
)
KINDS = (PENDING, LOST, ELSEWHERE, FAILS, LEFT)
MAX_ROWS = 12


@chart("Volumes not bound or not attached")
def volumes_missing(canvas: Canvas, k8s_claims, k8s_volumes, k8s_attachments):
    """Age of every claim that is not bound, and of every volume that is held by another node or can't be attached; oldest first."""
    rows = pd.concat([_claims(k8s_claims), _attachments(k8s_attachments), _left(k8s_volumes)], ignore_index=True)
    kept = ((k8s_volumes["phase"] == "Released") & (k8s_volumes["reclaim_policy"] == "Retain")).sum()
    also = f" {kept} volumes without a claim are kept on purpose." if kept else ""
    if rows.empty:
        counts = f"None of {len(k8s_claims)} claims waits for its volume, and none of {len(k8s_attachments)} attachments fails"
        return canvas.say(f"{counts}, {asked(k8s_claims)}.{also}")
    rows = rows.sort_values("age_s", ascending=False, kind="stable")
    bars = [
        Bar(f"{row.name}: {row.text}", {row.kind: row.age_s}, SECONDS.words(row.age_s))
        for row in rows.itertuples(index=False)
    ]
    canvas.bars(bars[:MAX_ROWS], SECONDS, f"age, {asked(rows)}", kinds=KINDS, above=True)
    return (
        f"{listed((f'{bar.name}, {next(iter(bar.parts))} since {bar.text}' for bar in bars), 4)}; {asked(rows)}.{also}"
    )


def _claims(k8s_claims: pd.DataFrame) -> pd.DataFrame:
    rows = k8s_claims[(k8s_claims["phase"] != "Bound") & k8s_claims["deletion_requested_at"].isna()]
    text = [
        f"{'' if pd.isna(row.requested_bytes) else BYTES.words(row.requested_bytes)} of class {row.storage_class or 'none'}"
        for row in rows.itertuples()
    ]
    kind = rows["phase"].map({"Lost": LOST}).fillna(PENDING)
    return _describe(rows, named(rows, "namespace", "name"), kind, text, age_s(rows, "created_at"))


def _attachments(rows: pd.DataFrame) -> pd.DataFrame:
    holders = rows[rows["attached"]].groupby(["instance", "volume"])["node"].first().rename("held_by")
    rows = rows.join(holders, on=["instance", "volume"])
    fails = rows["error"] != ""
    rows = rows[fails | (~rows["attached"] & rows["held_by"].notna() & (rows["held_by"] != rows["node"]))]
    kind = pd.Series(ELSEWHERE, rows.index).mask(rows["error"] != "", FAILS)
    text = [
        f"wanted on {row.node}, {row.error}" if row.error else f"wanted on {row.node}, held by {row.held_by}"
        for row in rows.itertuples()
    ]
    since = age_s(rows, "error_at").fillna(age_s(rows, "created_at"))
    return _describe(rows, named(rows, "volume"), kind, text, since)


def _left(k8s_volumes: pd.DataFrame) -> pd.DataFrame:
    rows = k8s_volumes[k8s_volumes["phase"] == "Failed"]
    since = age_s(rows, "phase_at").fillna(age_s(rows, "created_at"))
    return _describe(rows, named(rows, "name"), LEFT, rows["message"], since)


def _describe(rows: pd.DataFrame, name, kind, text, since) -> pd.DataFrame:
    return pd.DataFrame(
        {"name": name, "kind": kind, "text": text, "age_s": since.clip(lower=0), "asked_at": rows["asked_at"]},
        index=rows.index,
    )


@chart("Volume usage and projected time until full")
def disk_filling(canvas: Canvas, prom_volume_available, prom_volume_size, *, prom_volume_growth):
    """Used share of each volume at the end of the incident, the one that is full soonest first, by the trend of the last hours."""
    volume = ["instance", "target", "namespace", "volume"]
    last = [_last(rows, volume) for rows in (prom_volume_available, prom_volume_size, prom_volume_growth)]
    rows = last[0].join(last[1]["size_bytes"]).assign(growth_bytes_per_s=last[2].get("growth_bytes_per_s"))
    rows = rows[rows["size_bytes"] > 0].reset_index()
    if rows.empty:
        return canvas.say("No volume is known to Prometheus in the incident.")
    rows = rows.assign(
        used=1 - rows["available_bytes"] / rows["size_bytes"],
        left_s=(rows["available_bytes"] / rows["growth_bytes_per_s"]).where(rows["growth_bytes_per_s"] > 0),
        name=named(rows, "target", "namespace", "volume"),
    ).sort_values(["left_s", "used"], ascending=[True, False], kind="stable")
    bars = [Bar(row.name, {"": row.used}, _forecast(row), 1.0) for row in rows.itertuples(index=False)]
    canvas.bars(bars, PERCENT, f"share used, at {moment(rows['at'].max())}", "full")
    return f"{listed(f'{bar.name}: {bar.text}' for bar in bars)}; at {moment(rows['at'].max())}."


def _last(rows: pd.DataFrame | None, key: list[str]) -> pd.DataFrame:
    """The newest row of the incident for each key."""
    if rows is None:
        return pd.DataFrame()
    return rows[rows["window"] == "incident"].sort_values("at").groupby(key).last()


def _forecast(row) -> str:
    used = f"{PERCENT.words(row.used)} of {BYTES.words(row.size_bytes)}"
    if pd.isna(row.growth_bytes_per_s):
        return f"{used}, trend not known"
    return f"{used}, " + (f"full in {SECONDS.words(row.left_s)}" if row.growth_bytes_per_s > 0 else "not filling")

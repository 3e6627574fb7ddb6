"""The network: certificates that are served, and those that cert-manager issues."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, cut, listed, moment, named
from nl_forensics.charts.table import LONGEST_LINE, table
from nl_forensics.charts.units import SECONDS, WHOLE


@chart("Served certificates and their expiry")
def certificates_served(canvas: Canvas, probe_certificates):
    """Share of its lifetime that is left of each served certificate, and what a client that verifies says of it. The nearest end first."""
    if probe_certificates.empty:
        return canvas.say("No address serves a certificate.")
    rows = probe_certificates.assign(name=named(probe_certificates, "url")).sort_values("not_after")
    bars = [_left(row) for row in rows.to_dict("records")]
    canvas.bars(bars, WHOLE, f"share of the lifetime that is left, {asked(rows)}", above=True)
    words = (
        f"{bar.name}: {bar.text}, {_described(row)}" for bar, row in zip(bars, rows.to_dict("records"), strict=True)
    )
    return f"{listed(words)}; from {rows['asked_from'].iloc[0]}, {asked(rows)}."


def _left(row: dict) -> Bar:
    left_s = (row["not_after"] - row["asked_at"]).total_seconds()
    life_s = (row["not_after"] - row["not_before"]).total_seconds()
    ends = f"expires in {SECONDS.words(left_s)}" if left_s > 0 else f"expired {SECONDS.words(-left_s)} ago"
    return Bar(
        row["name"],
        {"": min(1.0, max(0.0, left_s / life_s))},
        f"{ends}, {'accepted' if row['accepted'] else 'refused'}",
    )


def _described(row: dict) -> str:
    objection = "" if row["accepted"] else f"; {row['why_not']}"
    return (
        f"until {moment(row['not_after'])}, for {row['names'] or row['subject']}, leads to {row['issuer']}{objection}"
    )


@table("Certificates of cert-manager", "No certificate is managed by cert-manager.")
def certificates_issued(k8s_certificates) -> pd.DataFrame:
    """Every Certificate, the one that is to be renewed first on top: its names, its dates, and how its last attempts went."""
    rows = k8s_certificates.sort_values("renews_at", na_position="first", kind="stable")
    failed = rows["failed_attempts"].astype("str") + rows["last_failed_at"].dt.strftime(
        ", last at %Y-%m-%d %H:%M UTC"
    ).fillna("")
    return pd.DataFrame(
        {
            "certificate": named(rows, "namespace", "name"),
            "for": rows["names"],
            "issuer": rows["issuer"],
            "ready": rows["ready"].map({True: "yes", False: "no"}).fillna("not known"),
            "expires, UTC": rows["not_after"].dt.strftime("%Y-%m-%d %H:%M").fillna("never issued"),
            "renewal, UTC": rows["renews_at"].dt.strftime("%Y-%m-%d %H:%M").fillna("not known"),
            "failed attempts": failed,
            "why": [cut(words, LONGEST_LINE) for words in rows["issuing_message"]],
        }
    )

"""Pods: which are not ready, and whether there is room for more."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, named
from nl_forensics.charts.units import NUMBER, PERCENT
from nl_forensics.facts.kubernetes.pending import not_ready
from nl_forensics.units import amount

MAX_ROWS, MAX_NAMES = 12, 2
READY, NOT_READY = "ready", "not ready"


@chart("Unready pods and the reason")
def pods_not_ready(canvas: Canvas, k8s_pods, k8s_containers, *, k8s_events):
    """Pods that are not ready, by the reason, most frequent first. Completed pods are left out."""
    rows = not_ready(k8s_pods, k8s_containers, k8s_events)
    if rows.empty:
        return canvas.say(f"All {len(k8s_pods)} pods are ready, or have done their work, {asked(k8s_pods)}.")
    rows = rows.assign(name=named(rows, "namespace", "pod"))
    causes = sorted(rows.groupby("why"), key=lambda group: (-len(group[1]), group[0]))
    bars = [Bar(f"{why}: {_names(part)}", {NOT_READY: float(len(part))}, _since(part)) for why, part in causes]
    ready = len(k8s_pods) - len(rows)
    rest = Bar("ready or completed", {READY: float(ready)}, str(ready))
    canvas.bars([*bars[:MAX_ROWS], rest], NUMBER, f"pods, {asked(rows)}", kinds=(READY, NOT_READY), above=True)
    words = listed((f"{bar.name}: {bar.text}" for bar in bars), 6)
    return f"{len(rows)} of {len(k8s_pods)} pods are not ready. {words}; {asked(rows)}."


def _names(rows: pd.DataFrame) -> str:
    return listed(rows.sort_values("since_at", kind="stable")["name"], MAX_NAMES)


def _since(rows: pd.DataFrame) -> str:
    return f"{len(rows)}, since {rows['since_at'].min():%m-%d %H:%M:%S}"


@chart("Quota usage")
def quota_use(canvas: Canvas, k8s_quotas):
    """Use of each quota, as a share of it: at its end no new pod is made. Quotas of 0 forbid on purpose, and are left out."""
    rows = k8s_quotas[(k8s_quotas["hard"] > 0) & k8s_quotas["used"].notna()]
    if rows.empty:
        return canvas.say(f"No quota is set, {asked(k8s_quotas)}.")
    rows = rows.assign(ratio=rows["used"] / rows["hard"], label=named(rows, "namespace", "name", "resource"))
    rows = rows.sort_values("ratio", ascending=False, kind="stable")
    bars = [
        Bar(row.label, {"": row.ratio}, f"{PERCENT.words(row.ratio)}: {_used(row)}", 1.0)
        for row in rows.itertuples(index=False)
    ]
    canvas.bars(bars, PERCENT, f"share used, {asked(rows)}", "quota", small=0.5)
    return f"Used of {len(rows)} quotas: {listed(f'{bar.name} {bar.text}' for bar in bars)}; {asked(rows)}."


def _used(row) -> str:
    return f"{amount(row.resource, row.used)} of {amount(row.resource, row.hard)}"

"""What tenants use: of shared resources, and of their quotas."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, named
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import PERCENT, RATE
from nl_forensics.units import amount

MAX_BARS = 12
USED, REQUESTED = "in use", "requested, not in use"
OF_REQUESTS = {"requests.cpu": "cpu_cores", "requests.memory": "memory_bytes"}


@chart("Share of each tenant in shared resources")
def tenant_shares(canvas: Canvas, prom_tenant_use, *, k8s_tenants):
    """The largest shares of CPU, ingestion and database time in the incident; the mark is what the plan of the tenant allows."""
    rows = prom_tenant_use[prom_tenant_use["window"] == "incident"]
    if rows.empty:
        return canvas.say("No tenant used CPU, ingestion or time in the database in the incident.")
    before = prom_tenant_use[prom_tenant_use["window"] == "baseline"]
    usual = before.set_index(["tenant", "resource"])["share_ratio"].to_dict()
    limits = {} if k8s_tenants is None else k8s_tenants.set_index("tenant")["share_ratio"].dropna().to_dict()
    rows = rows.sort_values("share_ratio", ascending=False, kind="stable")
    bars = [_bar(row, usual, limits) for row in rows.head(MAX_BARS).to_dict("records")]
    canvas.bars(bars, PERCENT, "share of what all tenants used", "largest share by plan" if limits else "")
    over = [bar for bar in bars if bar.mark is not None and bar.parts[""] > bar.mark]
    shown = listed((f"{bar.name}: {bar.text}" for bar in over or bars), 4)
    return f"{'Over the share of the plan' if over else 'Largest shares'}: {shown}."


def _bar(row: dict, usual: dict, limits: dict) -> Bar:
    before = usual.get((row["tenant"], row["resource"]))
    words = f"{PERCENT.words(row['share_ratio'])}" + (f", {PERCENT.words(before)} before" if before is not None else "")
    return Bar(f"{row['tenant']}: {row['resource']}", {"": row["share_ratio"]}, words, limits.get(row["tenant"]))


@chart("Quotas of tenants: requested and in use")
def tenant_quotas(canvas: Canvas, k8s_quotas, k8s_tenant_namespaces, *, k8s_pod_metrics):
    """Requests as a share of the quota, the fullest first; of them what the pods really use, by the metrics API."""
    mine = k8s_tenant_namespaces[["instance", "namespace", "tenant"]]
    rows = k8s_quotas[(k8s_quotas["hard"] > 0) & k8s_quotas["used"].notna()].merge(mine, on=["instance", "namespace"])
    if rows.empty:
        return canvas.say(f"No tenant has a quota, {asked(k8s_quotas)}.")
    rows = rows.assign(ratio=rows["used"] / rows["hard"], label=named(rows, "tenant", "resource"))
    rows = rows.sort_values("ratio", ascending=False, kind="stable").head(MAX_BARS)
    real = {} if k8s_pod_metrics is None else _in_use(k8s_pod_metrics)
    bars = [_quota_bar(row, real) for row in rows.to_dict("records")]
    canvas.bars(bars, PERCENT, f"share of the quota, {asked(rows)}", "quota", (USED, REQUESTED))
    return (
        f"Requested of the quotas of tenants: {listed((f'{bar.name} {bar.text}' for bar in bars), 4)}; {asked(rows)}."
    )


def _in_use(metrics: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """By instance, namespace and resource of a quota."""
    sums = metrics.groupby(["instance", "namespace"])[list(OF_REQUESTS.values())].sum()
    return {
        (*place, resource): float(row[column])
        for place, row in sums.iterrows()
        for resource, column in OF_REQUESTS.items()
    }


def _quota_bar(row: dict, real: dict) -> Bar:
    used = real.get((row["instance"], row["namespace"], row["resource"]))
    words = f"{PERCENT.words(row['ratio'])}: {amount(row['resource'], row['used'])} of {amount(row['resource'], row['hard'])}"
    if used is None:
        return Bar(row["label"], {REQUESTED: row["ratio"]}, words, 1.0)
    inside = min(used / row["hard"], row["ratio"])
    return Bar(row["label"], {USED: inside, REQUESTED: row["ratio"] - inside}, words, 1.0)


@chart("Log lines accepted, by tenant")
def tenant_lines(canvas: Canvas, prom_lines_accepted):
    """Log lines a second of the tenants that send most, in the incident and in the baseline."""
    return drawn_lines(canvas, prom_lines_accepted, ("tenant",), "accepted_per_s", RATE, "log lines accepted")

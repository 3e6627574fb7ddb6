"""The cluster itself: API health, and the current usage of nodes and containers."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas, Cell
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import age_s, asked, listed, named
from nl_forensics.charts.style import HEALTHY, UNHEALTHY, UNKNOWN
from nl_forensics.charts.units import BYTES, NUMBER, PERCENT

MAX_ROWS = 15
STATE = "when we asked"
CPU, MEMORY = "CPU", "memory"


@chart("Kubernetes API health")
def api_health(canvas: Canvas, k8s_api_checks, *, k8s_api_services, k8s_leases):
    """What the API server says of itself, which API groups have an available server, and which leases are renewed in time."""
    if k8s_api_checks.empty:
        return canvas.say("The API server reported no health check.")
    passed = k8s_api_checks["passed"].fillna(False)
    rows = {"its own checks": _count(passed, "pass")}
    rows |= {f"check {check}": Cell("fails", UNHEALTHY) for check in k8s_api_checks["check"][~passed]}
    if k8s_api_services is None:
        rows["parts of the API"] = Cell(UNKNOWN, UNKNOWN)
    else:
        served = k8s_api_services["available"].fillna(True)
        rows["parts of the API"] = _count(served, "served")
        rows |= {name: Cell("not served", UNHEALTHY) for name in k8s_api_services["name"][~served]}
    if k8s_leases is None:
        rows["leases"] = Cell(UNKNOWN, UNKNOWN)
    else:
        held = k8s_leases[(k8s_leases["holder"] != "") & k8s_leases["renewed_at"].notna()]
        late = age_s(held, "renewed_at") > 2 * held["duration_s"].astype("float64")
        rows["leases of nodes and control plane"] = _count(~late, "renewed in time")
        rows |= {name: Cell("not renewed", UNHEALTHY) for name in named(held, "namespace", "name")[late]}
    canvas.grid({name: {STATE: cell} for name, cell in rows.items()}, [STATE])
    return f"{listed((f'{name}: {cell.text}' for name, cell in rows.items()), 8)}; {asked(k8s_api_checks)}."


def _count(healthy: pd.Series, what: str) -> Cell:
    return Cell(f"{int(healthy.sum())} of {len(healthy)} {what}", HEALTHY if healthy.all() else UNHEALTHY)


@chart("Node CPU and memory usage")
def node_usage(canvas: Canvas, k8s_node_metrics, k8s_nodes):
    """CPU and memory in use at the last measurement, of what pods may have; the mark is all of it."""
    rows = k8s_node_metrics.merge(k8s_nodes.drop(columns="asked_at"), on=["instance", "name"])
    if rows.empty:
        return canvas.say(f"No node was measured, {asked(k8s_node_metrics)}.")
    shares = (
        rows.assign(what=CPU, used=rows["cpu_cores"], whole=rows["allocatable_cpu_cores"]),
        rows.assign(what=MEMORY, used=rows["memory_bytes"], whole=rows["allocatable_memory_bytes"]),
    )
    return _shares(canvas, pd.concat(shares), ("what", "name"))


@chart("Container usage vs. limits")
def container_usage(canvas: Canvas, k8s_pod_metrics, k8s_containers):
    """CPU and memory in use at the last measurement, of the limit of each container, the nearest to it on top."""
    key = ["instance", "namespace", "pod", "container"]
    limits = k8s_containers[[*key, "cpu_limit_cores", "memory_limit_bytes"]]
    rows = k8s_pod_metrics.merge(limits, on=key)
    if rows.empty:
        return canvas.say(f"No container was measured, {asked(k8s_pod_metrics)}.")
    named_alike = [pod.startswith(name) for pod, name in zip(rows["pod"], rows["container"], strict=True)]
    rows = rows.assign(container=rows["container"].mask(named_alike, ""))
    limited = pd.concat(
        (
            rows.assign(what=MEMORY, used=rows["memory_bytes"], whole=rows["memory_limit_bytes"]),
            rows.assign(what=CPU, used=rows["cpu_cores"], whole=rows["cpu_limit_cores"]),
        )
    ).dropna(subset="whole")
    free = f"{NUMBER.words(rows['memory_limit_bytes'].isna().sum())} of {len(rows)} containers have no memory limit."
    if limited.empty:
        return canvas.say(free)
    return f"{_shares(canvas, limited, ('what', 'namespace', 'pod', 'container'))} {free}"


def _shares(canvas: Canvas, rows: pd.DataFrame, names: tuple[str, ...]) -> str:
    """One bar per resource: used of available."""
    rows = rows.assign(share=(rows["used"] / rows["whole"]).astype("float64"), name=named(rows, *names))
    rows = rows.sort_values("share", ascending=False, kind="stable")
    bars = [Bar(row.name, {"": row.share}, _used(row), 1.0) for row in rows.itertuples(index=False)]
    canvas.bars(bars[:MAX_ROWS], PERCENT, f"in use, {asked(rows)}", "all that it may have")
    return f"{listed(f'{bar.name} {bar.text}' for bar in bars)}; {asked(rows)}."


def _used(row) -> str:
    used, whole = (
        (BYTES.words(row.used), BYTES.words(row.whole))
        if row.what == MEMORY
        else (f"{row.used:.2f}", f"{row.whole:.2g} cores")
    )
    return f"{PERCENT.words(row.share)}: {used} of {whole}"

"""CPU and memory of nodes and containers: in use now, and over the windows against the limits."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, named, without_repetition
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import BYTES, NUMBER, PERCENT
from nl_forensics.sources.prometheus import cpu

CONTAINER = ("pod", "namespace", "container")
HELD_BACK, MAX_CPU = 0.25, 0.9  # as in the rules about them
CPU, MEMORY = "CPU", "memory"


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
    return _shares(canvas, pd.concat(shares), ("what", "name"), "allocatable")


@chart("Container usage vs. limits")
def container_usage(canvas: Canvas, k8s_pod_metrics, k8s_containers):
    """CPU and memory in use at the last measurement, of the limit of each container, the nearest to it on top."""
    key = ["instance", "namespace", "pod", "container"]
    limits = k8s_containers[[*key, "cpu_limit_cores", "memory_limit_bytes"]]
    rows = k8s_pod_metrics.merge(limits, on=key)
    if rows.empty:
        return canvas.say(f"No container was measured, {asked(k8s_pod_metrics)}.")
    rows = without_repetition(rows)
    limited = pd.concat(
        (
            rows.assign(what=MEMORY, used=rows["memory_bytes"], whole=rows["memory_limit_bytes"]),
            rows.assign(what=CPU, used=rows["cpu_cores"], whole=rows["cpu_limit_cores"]),
        )
    ).dropna(subset="whole")
    free = f"{NUMBER.words(rows['memory_limit_bytes'].isna().sum())} of {len(rows)} containers have no memory limit."
    if limited.empty:
        return canvas.say(free)
    return f"{_shares(canvas, limited, ('what', 'namespace', 'pod', 'container'), 'limit')} {free}"


def _shares(canvas: Canvas, rows: pd.DataFrame, names: tuple[str, ...], mark: str) -> str:
    """One bar per resource: used of available, which is the `mark`."""
    rows = rows.assign(share=(rows["used"] / rows["whole"]).astype("float64"), name=named(rows, *names))
    rows = rows.sort_values("share", ascending=False, kind="stable")
    bars = [Bar(row.name, {"": row.share}, _used(row), 1.0) for row in rows.itertuples(index=False)]
    canvas.bars(bars, PERCENT, f"share in use, {asked(rows)}", mark, small=0.5)
    return f"{listed(f'{bar.name} {bar.text}' for bar in bars)}; {asked(rows)}."


def _used(row) -> str:
    used, whole = (
        (BYTES.words(row.used), BYTES.words(row.whole))
        if row.what == MEMORY
        else (f"{row.used:.2f}", f"{row.whole:.2g} cores")
    )
    return f"{PERCENT.words(row.share)}: {used} of {whole}"


@chart("Container memory vs. limit")
def container_memory(canvas: Canvas, prom_container_memory, prom_container_memory_limit):
    """Memory of the containers that came nearest to their limit, as a share of it. The kernel may kill between two points."""
    steps = ["instance", "window", "at", "target", "namespace", "pod", "container"]
    rows = prom_container_memory.merge(prom_container_memory_limit[[*steps, "limit_bytes"]], on=steps)
    if rows.empty:
        return canvas.say("No container was measured.")
    rows = rows[rows["limit_bytes"] > 0]
    if rows.empty:
        return canvas.say(
            "None of the containers that were measured has a memory limit: what they use is only bounded by their node."
        )
    rows = rows.assign(used=rows["used_bytes"] / rows["limit_bytes"])
    label, limits = "share of the limit (%)", {"killed at": 1.0}
    return drawn_lines(canvas, without_repetition(rows), CONTAINER, "used", PERCENT, label, limits)


@chart("Container CPU usage vs. limit")
def cpu_of_limit(canvas: Canvas, prom_cpu_used, prom_cpu_limit):
    """The mean of 5 minutes: in bursts, a container is throttled at its limit long before this reaches 100 %."""
    if prom_cpu_used.empty:
        return canvas.say("No container was measured.")
    rows = cpu.of_limit(prom_cpu_used, prom_cpu_limit)
    if rows.empty:
        return canvas.say(
            "None of the containers that were measured has a CPU limit: what they use is only bounded by their node."
        )
    label, limits = "share of the limit (%)", {"limit": MAX_CPU}
    return drawn_lines(canvas, without_repetition(rows), CONTAINER, "used_ratio", PERCENT, label, limits)


@chart("CPU throttling")
def cpu_throttling(canvas: Canvas, prom_cpu_throttled):
    """Share of the periods of 100 ms in which a container was throttled until the next one. Without a CPU limit there is no throttling."""
    rows, label, limits = without_repetition(prom_cpu_throttled), "throttled periods (%)", {"limit": HELD_BACK}
    return drawn_lines(canvas, rows, CONTAINER, "throttled_ratio", PERCENT, label, limits)

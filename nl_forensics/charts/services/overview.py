"""Every service on one line: what Kubernetes and Prometheus say of it."""

from collections.abc import Callable, Iterator

import pandas as pd

from nl_forensics.charts.canvas import Canvas, Cell
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, named
from nl_forensics.charts.services.requests import MAX_ERRORS
from nl_forensics.charts.style import HEALTHY, UNHEALTHY, UNKNOWN
from nl_forensics.charts.units import PERCENT
from nl_forensics.sources.prometheus.services import errors_by_service

PODS, ENDPOINTS, RESTARTS, ERRORS, SCRAPED = "pods", "endpoints", "restarts", "errors", "Prometheus"
Fields = Iterator[tuple[str, Cell]]


@chart("Service overview")
def service_overview(
    canvas: Canvas,
    *,
    k8s_deployments,
    k8s_stateful_sets,
    k8s_daemon_sets,
    k8s_services,
    k8s_containers,
    prom_service_requests,
    prom_service_up,
):
    """One line per service, the worst on top. Pods, endpoints and restarts are of the moment of asking, the others of the incident."""
    start = canvas.incident.start
    columns: dict[str, tuple[list, Callable]] = {
        PODS: ([k8s_deployments, k8s_stateful_sets, k8s_daemon_sets], _pods),
        ENDPOINTS: ([k8s_services], _endpoints),
        RESTARTS: ([k8s_containers], lambda rows: _restarts(rows, start)),
        ERRORS: ([prom_service_requests], _errors),
        SCRAPED: ([prom_service_up], _scraped),
    }
    found: dict[str, dict[str, Cell]] = {}
    for column, (tables, fields) in columns.items():
        for table in (table for table in tables if table is not None and len(table)):
            for name, cell in fields(table):
                found.setdefault(name, {})[column] = cell
    seen = [column for column, (tables, _) in columns.items() if any(table is not None for table in tables)]
    if not seen:
        return canvas.say("No data available.")
    if not found:
        return canvas.say("No service was found.")
    missing = {column: Cell("–") if column in seen else Cell(UNKNOWN, UNKNOWN) for column in columns}
    rows = {
        name: missing | cells for name, cells in sorted(found.items(), key=lambda row: (-len(_faults(row[1])), row[0]))
    }
    canvas.grid(rows, list(columns), "no fault")
    return _describe(rows, [column for column in columns if column not in seen])


def _faults(cells: dict[str, Cell]) -> list[str]:
    return [f"{column} {cell.text}" for column, cell in cells.items() if cell.state == UNHEALTHY]


def _describe(rows: dict[str, dict[str, Cell]], unseen: list[str]) -> str:
    faulty = {name: ", ".join(_faults(cells)) for name, cells in rows.items() if _faults(cells)}
    blind = f" No data for: {', '.join(unseen)}." if unseen else ""
    if not faulty:
        return f"{len(rows)} services, no fault in the data available.{blind}"
    return f"{len(faulty)} of {len(rows)} services have a fault: {listed((f'{name} ({why})' for name, why in faulty.items()), 6)}.{blind}"


def _pods(rows: pd.DataFrame) -> Fields:
    """Of a deployment, a stateful set or a daemon set."""
    rows = rows.rename(columns={"wanted": "replicas", "available": "available_replicas"} if "wanted" in rows else {})
    for name, wanted, ready in zip(
        named(rows, "namespace", "name"), rows.replicas, rows.available_replicas, strict=True
    ):
        if wanted:
            yield name, Cell(f"{ready} of {wanted} ready", HEALTHY if ready >= wanted else UNHEALTHY)
        else:
            yield name, Cell("none wanted")


def _endpoints(rows: pd.DataFrame) -> Fields:
    selecting = (rows["selector"] != "") & (rows["type"] != "ExternalName")
    for name, ready, selects in zip(named(rows, "namespace", "name"), rows.endpoints_ready, selecting, strict=True):
        if selects:
            yield name, Cell(f"{ready} ready", HEALTHY if ready else UNHEALTHY)
        else:
            yield name, Cell("no selector")


def _restarts(rows: pd.DataFrame, start) -> Fields:
    """Of all containers of a workload; those within the incident count against it."""
    for name, pods in rows[rows["workload"] != ""].groupby(named(rows, "namespace", "workload")):
        restarts, last = int(pods["restarts"].sum()), pods["last_finished_at"].max()
        if restarts and last >= start:
            yield str(name), Cell(f"{restarts}, at {last:%H:%M}", UNHEALTHY)
        else:
            yield str(name), Cell(f"{restarts}, before it" if restarts else "none", HEALTHY)


def _errors(rows: pd.DataFrame) -> Fields:
    """The worst share of the incident."""
    ratios = errors_by_service(rows[rows["window"] == "incident"])
    for name, part in ratios.groupby(named(ratios, "namespace", "service")):
        if part["error_ratio"].isna().all():
            yield str(name), Cell("no requests")
        else:
            worst = part.loc[part["error_ratio"].idxmax()]
            at = f" at {worst['at']:%H:%M}" if worst["error_ratio"] else ""
            text = f"{PERCENT.words(worst['error_ratio'])}{at}"
            yield str(name), Cell(text, UNHEALTHY if worst["error_ratio"] > MAX_ERRORS else HEALTHY)


def _scraped(rows: pd.DataFrame) -> Fields:
    """The moment at which fewest pods answered Prometheus."""
    during = rows[rows["window"] == "incident"]
    for name, part in during.groupby(named(during, "namespace", "service")):
        worst = part.loc[part["up_ratio"].idxmin()]
        if worst["up_ratio"] < 1:
            yield str(name), Cell(f"{PERCENT.words(worst['up_ratio'])} up at {worst['at']:%H:%M}", UNHEALTHY)
        else:
            yield str(name), Cell("always up", HEALTHY)

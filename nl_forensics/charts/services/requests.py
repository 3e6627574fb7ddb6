"""Services: their requests, how many failed, and whether they answered."""

import pandas as pd

from nl_forensics.charts.availability import DOWN, SOME, UP, availability, episodes
from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import named, split
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.table import table
from nl_forensics.charts.units import PERCENT, RATE
from nl_forensics.checks.services.requests import by_route, requests_in_logs
from nl_forensics.sources.prometheus.services import SERVICE, errors_by_service
from nl_forensics.units import in_percent, in_seconds

MAX_ROUTES = 20
MAX_ERRORS = 0.05  # of the requests of a service, as in the rule about them


@chart("Request rate by service")
def service_requests(canvas: Canvas, prom_service_requests):
    """Requests a second, whatever the status: a drop to zero means that no request reaches the service."""
    rows = errors_by_service(prom_service_requests)
    return drawn_lines(canvas, rows, ("namespace", "service"), "requests_per_s", RATE, "requests per second")


@chart("Error ratio by service")
def service_errors(canvas: Canvas, prom_service_requests):
    """Share of the requests that each service answered with 5xx: the one furthest from the customer with errors is nearest to the cause."""
    rows = errors_by_service(prom_service_requests).dropna(subset="error_ratio")
    limits = {"limit": MAX_ERRORS}
    return drawn_lines(canvas, rows, ("namespace", "service"), "error_ratio", PERCENT, "error ratio", limits)


@chart("Service availability by scrape")
def services_answered(canvas: Canvas, prom_service_up):
    """Whether all, some or none of the pods of each service answered the scrape; periods without a sample stay empty."""
    if prom_service_up.empty:
        return canvas.say("No service is known to Prometheus.")
    tracks = {}
    for name, part in split(prom_service_up, ("namespace", "service"), "up_ratio", lowest=True).items():
        state = part["up_ratio"].map(lambda ratio: DOWN if ratio == 0 else UP if ratio == 1 else SOME)
        tracks[name] = episodes(part, state)
    return f"{availability(canvas, tracks)}."


@table("Services that returned errors", "No service counted a request in the incident.")
def failed_requests(prom_service_requests) -> pd.DataFrame:
    """Every service that was asked in the incident, by how many requests it answered with an error of its own (5xx).

    Counts are rates times their steps, so approximate: requests that never reached a service are not counted.
    """
    steps = errors_by_service(prom_service_requests)
    incident, baseline = (steps[steps["window"] == window] for window in ("incident", "baseline"))
    step_s = incident["at"].drop_duplicates().sort_values().diff().dt.total_seconds().median()
    key = ["instance", *SERVICE]
    rows = _failed(incident).join(_failed(baseline)["share"].rename("before")).reset_index()
    rows = rows[rows["requests_per_s"] > 0].sort_values(["errors_per_s", *key], ascending=[False, *[True] * len(key)])
    failing = rows["first_at"].dt.strftime("%H:%M:%S to ") + rows["last_at"].dt.strftime("%H:%M:%S")
    return pd.DataFrame(
        {
            "service": named(rows, *SERVICE),
            "requests (approx.)": (rows["requests_per_s"] * step_s).round().astype("Int64"),
            "failed (approx.)": (rows["errors_per_s"] * step_s).round().astype("Int64"),
            "share": rows["share"].map(in_percent),
            "share in the baseline": ["unknown" if pd.isna(share) else in_percent(share) for share in rows["before"]],
            "failing, UTC": failing.fillna(""),
        }
    )


def _failed(steps: pd.DataFrame) -> pd.DataFrame:
    """By service: the sums of its steps, the `share` of its requests that failed, and between which two steps some did."""
    failing_at = steps["at"].where(steps["errors_per_s"] > 0)
    found = steps.assign(failing_at=failing_at).groupby(["instance", *SERVICE])
    sums = found[["requests_per_s", "errors_per_s"]].sum()
    share = sums["errors_per_s"] / sums["requests_per_s"].where(sums["requests_per_s"] > 0)
    return sums.assign(share=share, first_at=found["failing_at"].min(), last_at=found["failing_at"].max())


@table("Routes by share of request time, from the logs", "No log line has a request duration.")
def routes_in_logs(k8s_unhealthy_logs, k8s_logs) -> pd.DataFrame:
    """Every route by its share of the time of all requests of its service, counted in the log lines; the largest first."""
    rows = by_route(requests_in_logs(k8s_unhealthy_logs, k8s_logs))
    rows = rows.sort_values("total_ms", ascending=False, kind="stable").head(MAX_ROUTES)
    waited_ms = rows["upstream_ms"] / rows["requests"].where(rows["upstream_ratio"].notna())
    return pd.DataFrame(
        {
            "service": named(rows, "namespace", "workload"),
            "route": rows["request"],
            "requests": rows["requests"],
            "share of request time": rows["share"].map(in_percent),
            "p50": (rows["p50_ms"] / 1000).map(in_seconds),
            "p95": (rows["p95_ms"] / 1000).map(in_seconds),
            "time in upstream": [
                "unknown" if pd.isna(ratio) else f"{in_percent(ratio)}, {in_seconds(ms / 1000)} of each"
                for ratio, ms in zip(rows["upstream_ratio"], waited_ms, strict=True)
            ],
        }
    )

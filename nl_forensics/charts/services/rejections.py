"""Rejected credentials: by reason, by client, and as a share of all requests."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, moment, named
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.table import table
from nl_forensics.charts.units import NUMBER, PERCENT
from nl_forensics.facts.rejections import rejections
from nl_forensics.sources.prometheus.services import rejected_by_service

MAX_CLIENTS = 20
LABEL = "rejections a minute"
NO_CLIENT = "not named in the log"


@chart("Rejected credentials in the logs")
def rejections_over_time(canvas: Canvas, k8s_unhealthy_logs, k8s_logs):
    """Log lines a minute that reject a credential, by reason. A service and its callers report the same request: the one with most counts.

    Only the newest lines of one pod of each workload are read.
    """
    rows = rejections(k8s_unhealthy_logs, k8s_logs)
    if rows.empty:
        lines = len(k8s_unhealthy_logs) + len(k8s_logs)
        return canvas.say(f"No line of a log rejects a credential: {NUMBER.words(lines)} lines were read.")
    rows = rows.assign(service=named(rows, "namespace", "workload"), at=rows["at"].dt.floor("min"))
    by_service = rows.groupby(["reason", "service", "at"], as_index=False).agg(rejections=("line", "size"))
    minutes = by_service.groupby(["reason", "at"], as_index=False).agg(rejections=("rejections", "max"))
    most = minutes.groupby("reason")["rejections"].sum().sort_values(ascending=False, kind="stable")
    canvas.dots({str(name): minutes[minutes["reason"] == name] for name in most.index}, "rejections", NUMBER, LABEL)
    totals = by_service.groupby(["reason", "service"])["rejections"].sum().sort_values(ascending=False, kind="stable")
    words = listed(f"{reason} by {service} {NUMBER.words(lines)}" for (reason, service), lines in totals.items())
    worst = minutes.loc[minutes["rejections"].idxmax()]
    return (
        f"Rejections: {words}. Most in one minute: {worst['reason']}, {worst['rejections']} at {moment(worst['at'])}."
    )


@chart("Requests answered with 401 or 403")
def rejected_requests(canvas: Canvas, prom_service_requests):
    """Share of the requests that each service rejected: the service that checks credentials, and each caller before it."""
    rows = rejected_by_service(prom_service_requests).dropna(subset="rejected_ratio")
    return drawn_lines(canvas, rows, ("namespace", "service"), "rejected_ratio", PERCENT, "requests rejected")


@table("Rejected credentials by client", "No line of a log rejects a credential.")
def rejected_clients(k8s_unhealthy_logs, k8s_logs) -> pd.DataFrame:
    """Every service, reason and client address, those with most rejections first. Public addresses are pseudonyms."""
    rows = rejections(k8s_unhealthy_logs, k8s_logs)
    rows = rows.assign(client=rows["client"].fillna(NO_CLIENT))
    found = rows.groupby(["instance", "namespace", "workload", "reason", "client"], as_index=False).agg(
        rejections=("line", "size"), first_at=("at", "min"), last_at=("at", "max")
    )
    found = found.sort_values(["rejections", "client"], ascending=[False, True], kind="stable").head(MAX_CLIENTS)
    return pd.DataFrame(
        {
            "service": named(found, "namespace", "workload"),
            "reason": found["reason"],
            "client": found["client"],
            "rejections": found["rejections"],
            "from, UTC": found["first_at"].dt.strftime("%H:%M:%S"),
            "to, UTC": found["last_at"].dt.strftime("%H:%M:%S"),
        }
    )

"""Services: log lines that were accepted and stored."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import named
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import NUMBER, RATE
from nl_forensics.sources.prometheus.services import lines_by_tenant


@chart("Log lines accepted and stored")
def lines_taken_and_stored(canvas: Canvas, prom_lines_accepted, prom_lines_stored):
    """Log lines a second, of all tenants: what was taken in, and what was stored."""
    kinds = (("accepted", prom_lines_accepted, "accepted_per_s"), ("stored", prom_lines_stored, "stored_per_s"))
    rows = [_of_all_tenants(table, value).assign(what=what) for what, table, value in kinds]
    return drawn_lines(canvas, pd.concat(rows), ("what",), "lines_per_s", RATE, "log lines per second")


def _of_all_tenants(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Only steps with a value of every tenant of that window: without one, the sum would show a drop."""
    keys = ["window", "at", "instance"]
    rows = table.groupby(keys, as_index=False).agg(lines_per_s=(value, "sum"), tenants=("tenant", "size"))
    return rows[rows["tenants"] == rows.groupby(["window", "instance"])["tenants"].transform("max")]


@chart("Log lines accepted and not yet stored")
def lines_not_stored(canvas: Canvas, prom_lines_accepted, prom_lines_stored, *, prom_redis_queue_depth):
    """Taken in less stored, summed up since each window began, by tenant; and the backlog of the queues. What is missing and is not in a
    backlog is lost. A step looks back 5 minutes, so that the sums follow the queues late.
    """
    rows = lines_by_tenant(prom_lines_accepted, prom_lines_stored).dropna(subset="stored_per_s").sort_values("at")
    series = rows.groupby(["window", "instance", "tenant"])
    step_s = series["at"].diff().dt.total_seconds().fillna(0)
    behind = (rows["accepted_per_s"] - rows["stored_per_s"]) * step_s
    behind = behind.groupby([rows["window"], rows["instance"], rows["tenant"]]).cumsum().clip(lower=0)
    tenants = rows.assign(lines=behind, what=named(rows, "tenant").replace("", "all tenants"))
    if prom_redis_queue_depth is None:
        return drawn_lines(canvas, tenants, ("what",), "lines", NUMBER, "log lines")
    queues = prom_redis_queue_depth.assign(
        lines=prom_redis_queue_depth["items"], what="backlog of " + prom_redis_queue_depth["key"]
    )
    return drawn_lines(canvas, pd.concat([tenants, queues]), ("what",), "lines", NUMBER, "log lines")

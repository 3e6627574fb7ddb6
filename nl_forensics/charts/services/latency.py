"""How long answers take, and on which routes the time is spent."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, named
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import MEAN, PERCENT, RATE, SECONDS

SLOW_S, ENOUGH_FOR_99, RANGE_S = 3, 100, 300  # as in the rule about slow services


@chart("p99 latency by service")
def slowest_answers(canvas: Canvas, prom_latency_p99, prom_route_requests):
    """Time within which 99 % of the requests are answered. Of fewer than 100 requests, 99 % are all of them: such points are left out."""
    steps = ["window", "at", "instance", "namespace", "service"]
    per_s = prom_route_requests.groupby(steps, as_index=False)["requests_per_s"].sum()
    rows = prom_latency_p99.merge(per_s, on=steps)
    few = rows["requests_per_s"] * RANGE_S < ENOUGH_FOR_99
    few_words = (
        f" Left out, of fewer than {ENOUGH_FOR_99} requests: {few.sum()} of {len(few)} points." if few.any() else ""
    )
    if len(rows) and few.all():
        return canvas.say(f"At no time were there {ENOUGH_FOR_99} requests within 5 minutes: too few for p99.")
    rows = rows[~few]
    return (
        drawn_lines(canvas, rows, ("namespace", "service"), "p99_s", SECONDS, "p99 latency", {"limit": SLOW_S})
        + few_words
    )


@chart("p50 and p95 latency by service")
def usual_answers(canvas: Canvas, prom_latency_p50, prom_latency_p95):
    """Latency of each service: only p95 rises where a few requests are slow, both rise where all are."""
    half = prom_latency_p50.rename(columns={"p50_s": "took_s"}).assign(share="p50")
    most = prom_latency_p95.rename(columns={"p95_s": "took_s"}).assign(share="p95")
    labels = ("namespace", "service", "share")
    return drawn_lines(canvas, pd.concat([most, half], ignore_index=True), labels, "took_s", SECONDS, "latency")


@chart("Routes by share of request time")
def routes_by_time(canvas: Canvas, prom_route_time, prom_route_requests, *, prom_route_latency_p95):
    """Concurrent requests by route, mean over the incident: their rate times their latency. The mark is the baseline."""
    route = ["instance", "namespace", "service", "route"]
    means = [_mean(prom_route_time, route, "busy_per_s"), _mean(prom_route_requests, route, "requests_per_s")]
    rows = means[0].join(means[1])
    if prom_route_latency_p95 is not None:
        during = prom_route_latency_p95[prom_route_latency_p95["window"] == "incident"]
        rows = rows.join(during.groupby(route)["p95_s"].max())
    rows = rows[rows["busy_per_s"] > 0].reset_index().sort_values("busy_per_s", ascending=False, kind="stable")
    if rows.empty:
        return canvas.say("No request was answered in the incident.")
    rows = rows.assign(
        name=named(rows.assign(namespace=_where_needed(rows)), "namespace", "service", "route"),
        share=rows["busy_per_s"] / rows.groupby(route[:3])["busy_per_s"].transform("sum"),
    )
    bars = [
        Bar(
            row.name,
            {"": row.busy_per_s},
            _of_route(row),
            None if pd.isna(row.busy_per_s_before) else row.busy_per_s_before,
        )
        for row in rows.itertuples()
    ]
    canvas.bars(bars, MEAN, "concurrent requests (mean)", "baseline")
    return f"{listed((f'{bar.name}: {bar.text}' for bar in bars), 5)}."


def _mean(rows: pd.DataFrame, key: list[str], value: str) -> pd.DataFrame:
    """The mean over the incident and, as `<value>_before`, over the baseline, null where there is none."""
    means = rows.groupby(["window", *key])[value].mean()
    incident, before = (
        means[means.index.get_level_values("window") == name].droplevel(0) for name in ("incident", "baseline")
    )
    return pd.DataFrame({value: incident}).join(before.rename(f"{value}_before"))


def _where_needed(rows: pd.DataFrame) -> pd.Series:
    """The namespace of a service, where another one has a service of that name."""
    several = rows.groupby("service")["namespace"].transform("nunique") > 1
    return rows["namespace"].where(several, "")


def _of_route(row) -> str:
    slowest = getattr(row, "p95_s", None)
    within = "" if slowest is None or pd.isna(slowest) else f", p95 up to {SECONDS.words(slowest)}"
    return f"{PERCENT.words(row.share)} of its service, {RATE.words(row.requests_per_s)}{within}"

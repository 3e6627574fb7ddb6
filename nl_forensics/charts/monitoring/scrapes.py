"""What watches the platform: whether targets and servers answered its scrapes."""

import pandas as pd

from nl_forensics.charts.availability import DOWN, UP, availability, episodes
from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import listed, split
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import SECONDS


@chart("Scrape target availability")
def targets_up(canvas: Canvas, prom_up):
    """Whether each target could be scraped, those that could not first; nothing is drawn where it was not tried."""
    if prom_up.empty:
        return canvas.say("No target was recorded.")
    series = split(prom_up, ("job", "target"), "up", lowest=True)
    tracks = {name: episodes(part, part["up"].map(lambda up: UP if up else DOWN)) for name, part in series.items()}
    return f"{availability(canvas, tracks)}."


@chart("Age of the newest scrape by target")
def scrape_age(canvas: Canvas, prom_scrape_age):
    """Seconds since the newest scrape of each target: as high as its interval at most, and a ramp where scrapes are missing."""
    return drawn_lines(canvas, prom_scrape_age, ("job", "target"), "age_s", SECONDS, "age")


@chart("Database availability")
def reachability(canvas: Canvas, systems_reached, *, prom_postgres_up, prom_redis_up):
    """Whether each exporter could reach its server, over the windows; periods without a sample stay empty."""
    rows = [part for part in (prom_postgres_up, prom_redis_up) if part is not None and len(part)]
    now = listed((_ours(row) for row in systems_reached.itertuples(index=False)), 8)
    if not rows:
        return canvas.say(f"Prometheus shows no past of the servers. When asked: {now}.")
    series = split(pd.concat(rows), ("target",), "up", lowest=True)
    tracks = {name: episodes(part, part["up"].map(lambda up: UP if up else DOWN)) for name, part in series.items()}
    return f"By their exporters: {availability(canvas, tracks)}. When asked: {now}."


def _ours(row) -> str:
    return f"{row.instance} {'answered' if row.answered else 'did not answer'}" + (f" ({row.why})" if row.why else "")

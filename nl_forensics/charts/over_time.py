"""Series of Prometheus over the incident and its baseline."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import extreme, listed, moment, named, split
from nl_forensics.charts.units import BYTES, MILLISECONDS, NUMBER, PERCENT, RATE, SECONDS, Unit
from nl_forensics.runs import runs
from nl_forensics.sources.prometheus.services import errors_by_service, lines_by_tenant

UP, SOME, DOWN = "answered", "some pods gave no answer", "gave no answer"
STATES = {UP: ("#7fbf9b", ""), DOWN: ("#a3140f", "xxx")}
MAX_TRACKS = 20
MAX_ERRORS = 0.05  # of the requests of a service, as in the rule about them


def drawn_lines(
    canvas: Canvas,
    rows: pd.DataFrame,
    labels: tuple[str, ...],
    value: str,
    unit: Unit,
    label: str,
    limits: dict[str, float] | None = None,
    lowest: bool = False,
) -> str:
    """Draw one line per series, the worst first, and name the worst values and their times."""
    if rows.empty:
        return canvas.say("No value was recorded.")
    series = split(rows, labels, value, lowest)
    canvas.lines(series, value, unit, label, limits or {})
    words = listed((f"{name}: {extreme(part, value, unit, lowest)}" for name, part in series.items()), 4)
    limit = "".join(f"; {name} {unit.words(level)}" for name, level in (limits or {}).items())
    return f"{words}{limit}."


@chart("PostgreSQL connections vs. usable max_connections")
def connections_over_time(canvas: Canvas, prom_postgres_connections, *, prom_postgres_slots):
    """Connections by state over time; the level line is what anyone may open."""
    labels = ("target", "state")
    return drawn_lines(
        canvas,
        prom_postgres_connections,
        labels,
        "connections",
        NUMBER,
        "connections",
        _level("usable slots", prom_postgres_slots, "slots"),
    )


def _level(name: str, rows: pd.DataFrame | None, value: str) -> dict[str, float]:
    """The lowest limit of all targets within the incident; none where it is unknown, or not set (0)."""
    if rows is None:
        return {}
    levels = rows[(rows["window"] == "incident") & (rows[value] > 0)][value]
    return {name: float(levels.min())} if len(levels) else {}


@chart("PostgreSQL cache hit ratio")
def cache_hit(canvas: Canvas, prom_postgres_cache_hit):
    """Share of the blocks found in shared_buffers, over time: a fall means that something new reads much."""
    return drawn_lines(canvas, prom_postgres_cache_hit, ("target",), "hit_ratio", PERCENT, "blocks found", lowest=True)


@chart("Volume usage and projected time until full")
def disk_filling(canvas: Canvas, prom_volume_available, prom_volume_size, *, prom_volume_growth):
    """Used share of each volume at the end of the incident, the one that is full soonest first, by the trend of the last hours."""
    volume = ["instance", "target", "namespace", "volume"]
    last = [_last(rows, volume) for rows in (prom_volume_available, prom_volume_size, prom_volume_growth)]
    rows = last[0].join(last[1]["size_bytes"]).assign(growth_bytes_per_s=last[2].get("growth_bytes_per_s"))
    rows = rows[rows["size_bytes"] > 0].reset_index()
    if rows.empty:
        return canvas.say("No volume is known to Prometheus in the incident.")
    rows = rows.assign(
        used=1 - rows["available_bytes"] / rows["size_bytes"],
        left_s=(rows["available_bytes"] / rows["growth_bytes_per_s"]).where(rows["growth_bytes_per_s"] > 0),
        name=named(rows, "target", "namespace", "volume"),
    ).sort_values(["left_s", "used"], ascending=[True, False], kind="stable")
    bars = [Bar(row.name, {"": row.used}, _forecast(row), 1.0) for row in rows.itertuples(index=False)]
    canvas.bars(bars, PERCENT, f"used, at {moment(rows['at'].max())}", "full")
    return f"{listed(f'{bar.name}: {bar.text}' for bar in bars)}; at {moment(rows['at'].max())}."


def _last(rows: pd.DataFrame | None, key: list[str]) -> pd.DataFrame:
    """The newest row of the incident for each key."""
    if rows is None:
        return pd.DataFrame()
    return rows[rows["window"] == "incident"].sort_values("at").groupby(key).last()


def _forecast(row) -> str:
    used = f"{PERCENT.words(row.used)} of {BYTES.words(row.size_bytes)}"
    if pd.isna(row.growth_bytes_per_s):
        return f"{used}, trend not known"
    return f"{used}, " + (f"full in {SECONDS.words(row.left_s)}" if row.growth_bytes_per_s > 0 else "not filling")


@chart("Replication lag")
def replication_lag(canvas: Canvas, prom_postgres_replication_lag, *, pg_replication):
    """Age of the newest transaction that a replica replayed. While the primary writes nothing it grows, too."""
    words = drawn_lines(canvas, prom_postgres_replication_lag, ("target",), "lag_s", SECONDS, "lag")
    if pg_replication is None:
        return words
    behind = (
        f"{row.replica} {'unknown' if pd.isna(row.behind_bytes) else BYTES.words(row.behind_bytes)}"
        for row in pg_replication.itertuples(index=False)
    )
    return f"{words} WAL not replayed when asked: {listed(behind) or 'no replica was connected'}."


@chart("Redis memory over time")
def redis_memory(canvas: Canvas, prom_redis_memory, *, prom_redis_memory_limit):
    """Memory that Redis asked for, over time; the level line is maxmemory, if there is one."""
    limits = _level("maxmemory", prom_redis_memory_limit, "limit_bytes")
    return drawn_lines(canvas, prom_redis_memory, ("target",), "used_bytes", BYTES, "memory", limits)


@chart("Redis evictions")
def evictions(canvas: Canvas, prom_redis_evictions):
    """Keys that were evicted for lack of memory in the minutes before each point."""
    return drawn_lines(canvas, prom_redis_evictions, ("target",), "evicted_keys", NUMBER, "keys evicted")


@chart("Redis command time")
def redis_busy(canvas: Canvas, prom_redis_command_time):
    """Share of the time of Redis' one thread, by command: all together near 100 % means that it can do no more."""
    return drawn_lines(canvas, prom_redis_command_time, ("target", "command"), "busy_ratio", PERCENT, "of one thread")


@chart("Queue length over time")
def queue_depth_over_time(canvas: Canvas, prom_redis_queue_depth):
    """Items in each queue over time; there is no point where a queue was empty."""
    return drawn_lines(canvas, prom_redis_queue_depth, ("target", "key"), "items", NUMBER, "items that wait")


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
    return drawn_lines(
        canvas, rows, ("pod", "namespace", "container"), "used", PERCENT, "share of the limit (%)", {"killed at": 1.0}
    )


@chart("Database availability")
def reachability(canvas: Canvas, systems_reached, *, prom_postgres_up, prom_redis_up):
    """Whether each exporter could reach its server, over the windows; periods without a sample stay empty."""
    rows = [part for part in (prom_postgres_up, prom_redis_up) if part is not None and len(part)]
    now = listed((_ours(row) for row in systems_reached.itertuples(index=False)), 8)
    if not rows:
        return canvas.say(f"Prometheus shows no past of the servers. When asked: {now}.")
    series = split(pd.concat(rows), ("target",), "up", lowest=True)
    tracks = {name: _episodes(part, part["up"].map(lambda up: UP if up else DOWN)) for name, part in series.items()}
    canvas.bands(tracks, STATES)
    words = listed((f"{name}: {_down(part)}" for name, part in tracks.items()), 8)
    return f"By their exporters: {words}. When asked: {now}."


def _ours(row) -> str:
    return f"{row.instance} {'answered' if row.answered else 'gave no answer'}" + (f" ({row.why})" if row.why else "")


def _episodes(rows: pd.DataFrame, state: pd.Series) -> pd.DataFrame:
    """Consecutive steps in the same state, as one episode each. `rows`: oldest first."""
    step = rows["at"].diff().median()
    episodes = (
        rows.assign(state=state)
        .groupby(runs(rows, ["window"], state))
        .agg(begin=("at", "min"), end=("at", "max"), state=("state", "first"), window=("window", "first"))
    )
    return episodes.assign(end=episodes["end"] + (step if pd.notna(step) else pd.Timedelta(0)))


@chart("Service availability by scrape")
def services_answered(canvas: Canvas, prom_service_up):
    """Whether all, some or none of the pods of each service answered the scrape; periods without a sample stay empty."""
    if prom_service_up.empty:
        return canvas.say("No service is known to Prometheus.")
    tracks = {}
    for name, part in split(prom_service_up, ("namespace", "service"), "up_ratio", lowest=True).items():
        state = part["up_ratio"].map(lambda ratio: DOWN if ratio == 0 else UP if ratio == 1 else SOME)
        tracks[name] = _episodes(part, state)
    canvas.bands(dict(list(tracks.items())[:MAX_TRACKS]), STATES | {SOME: ("#e8c35a", "///")})
    more = f" {len(tracks) - MAX_TRACKS} more services are not drawn." if len(tracks) > MAX_TRACKS else ""
    return f"{listed((f'{name}: {_down(part)}' for name, part in tracks.items()), 8)}.{more}"


def _down(episodes: pd.DataFrame) -> str:
    down = episodes[episodes["state"].isin((DOWN, SOME)) & (episodes["window"] == "incident")]
    if down.empty:
        seen = episodes[episodes["window"] == "incident"]
        return "answered every scrape in the incident" if len(seen) else "no data in the incident"
    gone = (down["end"] - down["begin"]).dt.total_seconds().sum()
    pods = "some pods gave" if (down["state"] == SOME).all() else "gave"
    return f"{pods} no answer for {SECONDS.words(gone)}, first at {down['begin'].min():%H:%M:%S} UTC"


@chart("Error ratio by service")
def service_errors(canvas: Canvas, prom_service_requests):
    """Share of the requests that each service answered with 5xx: the one furthest from the customer with errors is nearest to the cause."""
    rows = errors_by_service(prom_service_requests).dropna(subset="error_ratio")
    limits = {"limit": MAX_ERRORS}
    return drawn_lines(canvas, rows, ("namespace", "service"), "error_ratio", PERCENT, "of the requests failed", limits)


@chart("Request rate by service")
def service_requests(canvas: Canvas, prom_service_requests):
    """Requests a second, whatever the status: a drop to zero means that no request reaches the service."""
    rows = errors_by_service(prom_service_requests)
    return drawn_lines(canvas, rows, ("namespace", "service"), "requests_per_s", RATE, "requests answered")


@chart("Log lines accepted and stored")
def lines_taken_and_stored(canvas: Canvas, prom_lines_accepted, prom_lines_stored):
    """Log lines a second, of all tenants: what was taken in, and what was stored."""
    kinds = (("accepted", prom_lines_accepted, "accepted_per_s"), ("stored", prom_lines_stored, "stored_per_s"))
    rows = [_of_all_tenants(table, value).assign(what=what) for what, table, value in kinds]
    return drawn_lines(canvas, pd.concat(rows), ("what",), "lines_per_s", RATE, "log lines")


def _of_all_tenants(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Only steps with a value of every tenant of that window: without one, the sum would show a drop."""
    keys = ["window", "at", "instance"]
    rows = table.groupby(keys, as_index=False).agg(lines_per_s=(value, "sum"), tenants=("tenant", "size"))
    return rows[rows["tenants"] == rows.groupby(["window", "instance"])["tenants"].transform("max")]


@chart("Log lines accepted and not yet stored")
def lines_not_stored(canvas: Canvas, prom_lines_accepted, prom_lines_stored, *, prom_redis_queue_depth):
    """Taken in less stored, summed up since each window began, by tenant; and what waits in the queues. What is missing and does not wait
    there is lost. A step looks back 5 minutes, so that the sums follow the queues late.
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
        lines=prom_redis_queue_depth["items"], what="waits in " + prom_redis_queue_depth["key"]
    )
    return drawn_lines(canvas, pd.concat([tenants, queues]), ("what",), "lines", NUMBER, "log lines")


@chart("Cluster DNS responses")
def dns_answers(canvas: Canvas, prom_dns_answers):
    """Answers of CoreDNS a second, by code. NXDOMAIN is usual: clients try each search domain in turn."""
    return drawn_lines(canvas, prom_dns_answers, ("rcode",), "answers_per_s", RATE, "answers")


@chart("Cluster DNS latency")
def dns_slowest(canvas: Canvas, prom_dns_slowest):
    """Time within which CoreDNS answered 99 % of the requests."""
    return drawn_lines(canvas, prom_dns_slowest, ("instance",), "p99_ms", MILLISECONDS, "p99 latency")


@chart("Scrape target availability")
def targets_up(canvas: Canvas, prom_up):
    """Whether each target could be scraped, those that could not first; nothing is drawn where it was not tried."""
    if prom_up.empty:
        return canvas.say("No target was recorded.")
    series = split(prom_up, ("job", "target"), "up", lowest=True)
    tracks = {
        name: _episodes(part, part["up"].map(lambda up: UP if up else DOWN))
        for name, part in list(series.items())[:MAX_TRACKS]
    }
    canvas.bands(tracks, STATES)
    words = listed((f"{name}: {_down(part)}" for name, part in tracks.items()), 8)
    more = f" {len(series) - len(tracks)} targets more are not drawn." if len(series) > len(tracks) else ""
    return f"{words}.{more}"


@chart("Age of the newest scrape by target")
def scrape_age(canvas: Canvas, prom_scrape_age):
    """Seconds since the newest scrape of each target: as high as its interval at most, and a ramp where scrapes are missing."""
    return drawn_lines(canvas, prom_scrape_age, ("job", "target"), "age_s", SECONDS, "since the last scrape")


@chart("Failed rule evaluations")
def rule_failures(canvas: Canvas, prom_rule_failures):
    """Evaluations of rules that failed in the minutes before each point, by group of rules."""
    return drawn_lines(canvas, prom_rule_failures, ("target", "group"), "failures", NUMBER, "evaluations that failed")


@chart("Series in memory of Prometheus")
def series_in_memory(canvas: Canvas, prom_head_series):
    """Time series in the memory of Prometheus: a steep rise is a label with too many values, a fall to little is a restart."""
    return drawn_lines(canvas, prom_head_series, ("target",), "series", NUMBER, "series in memory")


@chart("Failed alert notifications")
def notification_failures(canvas: Canvas, prom_notification_failures):
    """Messages of Alertmanager that failed in the minutes before each point, by kind of receiver."""
    labels = ("target", "integration")
    return drawn_lines(canvas, prom_notification_failures, labels, "failures", NUMBER, "messages that failed")

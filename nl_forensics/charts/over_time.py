"""What Prometheus has seen over the incident and its baseline: the only past that counters have."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Face
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import extreme, listed, moment, named, split
from nl_forensics.charts.units import BYTES, MILLISECONDS, NUMBER, PERCENT, RATE, SECONDS, Unit
from nl_forensics.runs import runs
from nl_forensics.sources.prometheus.services import errors_by_service, lines_by_tenant

UP, SOME, DOWN = "answered", "some pods gave no answer", "gave no answer"
STATES = {UP: ("#7fbf9b", ""), DOWN: ("#a3140f", "xxx")}
MOST_TRACKS = 20
MOST_ERRORS = 0.05  # of the requests of a service, as in the rule about them


def drawn_lines(
    face: Face,
    rows: pd.DataFrame,
    labels: tuple[str, ...],
    value: str,
    unit: Unit,
    label: str,
    limits: dict[str, float] | None = None,
    lowest: bool = False,
) -> str:
    """Draw one line per series, the worst first, and tell the worst value of the first few and when it was."""
    if rows.empty:
        return face.say("No value was recorded.")
    series = split(rows, labels, value, lowest)
    face.lines(series, value, unit, label, limits or {})
    told = listed((f"{name}: {extreme(part, value, unit, lowest)}" for name, part in series.items()), 4)
    limit = "".join(f"; {name} {unit.words(level)}" for name, level in (limits or {}).items())
    return f"{told}{limit}."


@chart("How did the connections go, against the slots?")
def connections_over_time(face: Face, prom_postgres_connections, *, prom_postgres_slots):
    """Connections by state over time; the level line is what anyone may open."""
    labels = ("target", "state")
    return drawn_lines(
        face,
        prom_postgres_connections,
        labels,
        "connections",
        NUMBER,
        "connections",
        _level("usable slots", prom_postgres_slots, "slots"),
    )


def _level(name: str, rows: pd.DataFrame | None, value: str) -> dict[str, float]:
    """The lowest limit of all targets within the incident; none where it was not seen, or is not set (0)."""
    if rows is None:
        return {}
    levels = rows[(rows["window"] == "incident") & (rows[value] > 0)][value]
    return {name: float(levels.min())} if len(levels) else {}


@chart("How much of what was read was in PostgreSQL's memory?")
def cache_hit(face: Face, prom_postgres_cache_hit):
    """Share of the blocks found in shared_buffers, over time: a fall means that something new reads much."""
    return drawn_lines(face, prom_postgres_cache_hit, ("target",), "hit_ratio", PERCENT, "blocks found", lowest=True)


@chart("How full are the volumes, and when are they full?")
def disk_filling(face: Face, prom_volume_available, prom_volume_size, *, prom_volume_growth):
    """Used share of each volume at the end of the incident, the one that is full soonest first, by the trend of the last hours."""
    volume = ["instance", "target", "namespace", "volume"]
    last = [_last(rows, volume) for rows in (prom_volume_available, prom_volume_size, prom_volume_growth)]
    rows = last[0].join(last[1]["size_bytes"]).assign(growth_bytes_per_s=last[2].get("growth_bytes_per_s"))
    rows = rows[rows["size_bytes"] > 0].reset_index()
    if rows.empty:
        return face.say("No volume is known to Prometheus in the incident.")
    rows = rows.assign(
        used=1 - rows["available_bytes"] / rows["size_bytes"],
        left_s=(rows["available_bytes"] / rows["growth_bytes_per_s"]).where(rows["growth_bytes_per_s"] > 0),
        name=named(rows, "target", "namespace", "volume"),
    ).sort_values(["left_s", "used"], ascending=[True, False], kind="stable")
    bars = [Bar(row.name, {"": row.used}, _forecast(row), 1.0) for row in rows.itertuples(index=False)]
    face.bars(bars, PERCENT, f"used, at {moment(rows['at'].max())}", "full")
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


@chart("How far behind are the replicas?")
def replication_lag(face: Face, prom_postgres_replication_lag, *, pg_replication):
    """Age of the newest transaction that a replica replayed. While the primary writes nothing it grows, too."""
    told = drawn_lines(face, prom_postgres_replication_lag, ("target",), "lag_s", SECONDS, "lag")
    if pg_replication is None:
        return told
    behind = (
        f"{row.replica} {'unknown' if pd.isna(row.behind_bytes) else BYTES.words(row.behind_bytes)}"
        for row in pg_replication.itertuples(index=False)
    )
    return f"{told} WAL not replayed when we asked: {listed(behind) or 'no replica was connected'}."


@chart("How full was the memory of Redis?")
def redis_memory(face: Face, prom_redis_memory, *, prom_redis_memory_limit):
    """Memory that Redis asked for, over time; the level line is maxmemory, if there is one."""
    limits = _level("maxmemory", prom_redis_memory_limit, "limit_bytes")
    return drawn_lines(face, prom_redis_memory, ("target",), "used_bytes", BYTES, "memory", limits)


@chart("When did Redis throw keys out?")
def evictions(face: Face, prom_redis_evictions):
    """Keys that were evicted for lack of memory in the minutes before each point."""
    return drawn_lines(face, prom_redis_evictions, ("target",), "evicted_keys", NUMBER, "keys evicted")


@chart("Which commands kept Redis busy, and when?")
def redis_busy(face: Face, prom_redis_command_time):
    """Share of the time of Redis' one thread, by command: all together near 100 % means that it can do no more."""
    return drawn_lines(face, prom_redis_command_time, ("target", "command"), "busy_ratio", PERCENT, "of one thread")


@chart("Did the queues grow?")
def queue_depth_over_time(face: Face, prom_redis_queue_depth):
    """Items in each queue over time; there is no point where a queue was empty."""
    return drawn_lines(face, prom_redis_queue_depth, ("target", "key"), "items", NUMBER, "items that wait")


@chart("How much of their memory limit did the containers use?")
def container_memory(face: Face, prom_container_memory, prom_container_memory_limit):
    """Memory of the containers that came nearest to their limit, as a share of it. The kernel may kill between two points."""
    steps = ["instance", "window", "at", "target", "namespace", "pod", "container"]
    rows = prom_container_memory.merge(prom_container_memory_limit[[*steps, "limit_bytes"]], on=steps)
    if rows.empty:
        return face.say("No container was measured.")
    rows = rows[rows["limit_bytes"] > 0]
    if rows.empty:
        return face.say(
            "None of the containers that were measured has a memory limit: what they use is only bounded by their node."
        )
    rows = rows.assign(used=rows["used_bytes"] / rows["limit_bytes"])
    return drawn_lines(
        face, rows, ("pod", "namespace", "container"), "used", PERCENT, "of its limit", {"killed at": 1.0}
    )


@chart("Did the databases answer?")
def reachability(face: Face, systems_reached, *, prom_postgres_up, prom_redis_up):
    """Whether each exporter could reach its server, over the windows; nothing is drawn where nobody looked. In words: whether we could."""
    rows = [part for part in (prom_postgres_up, prom_redis_up) if part is not None and len(part)]
    now = listed((_ours(row) for row in systems_reached.itertuples(index=False)), 8)
    if not rows:
        return face.say(f"Prometheus shows no past of the servers. When we asked: {now}.")
    series = split(pd.concat(rows), ("target",), "up", lowest=True)
    tracks = {name: _episodes(part, part["up"].map(lambda up: UP if up else DOWN)) for name, part in series.items()}
    face.bands(tracks, STATES)
    told = listed((f"{name}: {_down(part)}" for name, part in tracks.items()), 8)
    return f"By their exporters: {told}. When we asked: {now}."


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


@chart("Did every service answer Prometheus?")
def services_answered(face: Face, prom_service_up):
    """Whether all, some or none of the pods of each service gave their metrics; nothing is drawn where nobody looked."""
    if prom_service_up.empty:
        return face.say("No service is known to Prometheus.")
    tracks = {}
    for name, part in split(prom_service_up, ("namespace", "service"), "up_ratio", lowest=True).items():
        state = part["up_ratio"].map(lambda ratio: DOWN if ratio == 0 else UP if ratio == 1 else SOME)
        tracks[name] = _episodes(part, state)
    face.bands(dict(list(tracks.items())[:MOST_TRACKS]), STATES | {SOME: ("#e8c35a", "///")})
    more = f" {len(tracks) - MOST_TRACKS} more services are not drawn." if len(tracks) > MOST_TRACKS else ""
    return f"{listed((f'{name}: {_down(part)}' for name, part in tracks.items()), 8)}.{more}"


def _down(episodes: pd.DataFrame) -> str:
    down = episodes[episodes["state"].isin((DOWN, SOME)) & (episodes["window"] == "incident")]
    if down.empty:
        seen = episodes[episodes["window"] == "incident"]
        return "answered whenever it was asked in the incident" if len(seen) else "not seen in the incident"
    gone = (down["end"] - down["begin"]).dt.total_seconds().sum()
    who = "some pods gave" if (down["state"] == SOME).all() else "gave"
    return f"{who} no answer for {SECONDS.words(gone)}, first at {down['begin'].min():%H:%M:%S} UTC"


@chart("Which services answered with errors?")
def service_errors(face: Face, prom_service_requests):
    """Share of the requests that each service answered with 5xx: the one furthest from the customer with errors is nearest to the cause."""
    rows = errors_by_service(prom_service_requests).dropna(subset="error_ratio")
    limits = {"limit": MOST_ERRORS}
    return drawn_lines(face, rows, ("namespace", "service"), "error_ratio", PERCENT, "of the requests failed", limits)


@chart("How many requests did the services answer?")
def service_requests(face: Face, prom_service_requests):
    """Requests a second, whatever came out: a fall to nothing means that nobody gets through to it."""
    rows = errors_by_service(prom_service_requests)
    return drawn_lines(face, rows, ("namespace", "service"), "requests_per_s", RATE, "requests answered")


@chart("Did log lines come, and were they stored?")
def lines_taken_and_stored(face: Face, prom_lines_accepted, prom_lines_stored):
    """Log lines a second, of all tenants: what was taken in, and what was stored."""
    told = (("taken in", prom_lines_accepted, "accepted_per_s"), ("stored", prom_lines_stored, "stored_per_s"))
    rows = [_of_all_tenants(table, value).assign(what=what) for what, table, value in told]
    return drawn_lines(face, pd.concat(rows), ("what",), "lines_per_s", RATE, "log lines")


def _of_all_tenants(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Only steps of which every tenant of that window is known: without one, the sum would look like a fall."""
    keys = ["window", "at", "instance"]
    rows = table.groupby(keys, as_index=False).agg(lines_per_s=(value, "sum"), tenants=("tenant", "size"))
    return rows[rows["tenants"] == rows.groupby(["window", "instance"])["tenants"].transform("max")]


@chart("How many log lines that were taken in are not stored?")
def lines_not_stored(face: Face, prom_lines_accepted, prom_lines_stored, *, prom_redis_queue_depth):
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
        return drawn_lines(face, tenants, ("what",), "lines", NUMBER, "log lines")
    queues = prom_redis_queue_depth.assign(
        lines=prom_redis_queue_depth["items"], what="waits in " + prom_redis_queue_depth["key"]
    )
    return drawn_lines(face, pd.concat([tenants, queues]), ("what",), "lines", NUMBER, "log lines")


@chart("What did the cluster's DNS answer?")
def dns_answers(face: Face, prom_dns_answers):
    """Answers of CoreDNS a second, by code. NXDOMAIN is usual: clients try each search domain in turn."""
    return drawn_lines(face, prom_dns_answers, ("rcode",), "answers_per_s", RATE, "answers")


@chart("How slow was the cluster's DNS?")
def dns_slowest(face: Face, prom_dns_slowest):
    """Time within which CoreDNS answered 99 % of the requests."""
    return drawn_lines(face, prom_dns_slowest, ("instance",), "p99_ms", MILLISECONDS, "99 % are faster")


@chart("Could Prometheus look at its targets?")
def targets_up(face: Face, prom_up):
    """Whether each target could be scraped, those that could not first; nothing is drawn where it was not tried."""
    if prom_up.empty:
        return face.say("No target was recorded.")
    series = split(prom_up, ("job", "target"), "up", lowest=True)
    tracks = {
        name: _episodes(part, part["up"].map(lambda up: UP if up else DOWN))
        for name, part in list(series.items())[:MOST_TRACKS]
    }
    face.bands(tracks, STATES)
    told = listed((f"{name}: {_down(part)}" for name, part in tracks.items()), 8)
    more = f" {len(series) - len(tracks)} targets more are not drawn." if len(series) > len(tracks) else ""
    return f"{told}.{more}"


@chart("How old was what Prometheus knew of each target?")
def scrape_age(face: Face, prom_scrape_age):
    """Seconds since the newest scrape of each target: as high as its interval at most, and a ramp where nobody looked."""
    return drawn_lines(face, prom_scrape_age, ("job", "target"), "age_s", SECONDS, "since the last scrape")


@chart("Which rules failed, and when?")
def rule_failures(face: Face, prom_rule_failures):
    """Evaluations of rules that failed in the minutes before each point, by group of rules."""
    return drawn_lines(face, prom_rule_failures, ("target", "group"), "failures", NUMBER, "evaluations that failed")


@chart("How many series did Prometheus hold?")
def series_in_memory(face: Face, prom_head_series):
    """Time series in the memory of Prometheus: a steep rise is a label with too many values, a fall to little is a restart."""
    return drawn_lines(face, prom_head_series, ("target",), "series", NUMBER, "series in memory")


@chart("Which messages could not be sent?")
def notification_failures(face: Face, prom_notification_failures):
    """Messages of Alertmanager that failed in the minutes before each point, by kind of receiver."""
    labels = ("target", "integration")
    return drawn_lines(face, prom_notification_failures, labels, "failures", NUMBER, "messages that failed")

"""Rules over the whole incident window, by the series of exporters: the past that PostgreSQL and Redis themselves do not keep."""

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each
from nl_forensics.units import in_seconds

TARGET = ["instance", "target"]
VOLUME = ["instance", "target", "namespace", "volume"]
DAY_S = 86_400
GB = 1024**3


@check(
    section="05",
    severity="critical",
    subject="{target}",
    because="could not be reached by its exporter {span}",
    at="at",
    guide=("C020",),
)
def postgres_was_up(prom_postgres_up):
    """PostgreSQL could be reached by its exporter during the whole incident.

    The exporter is a client like any other: where it got no connection, services got none either.
    """
    table = during(prom_postgres_up)
    return worst_of_each(table[table.up < 1], TARGET, "up", highest=False)


@check(
    section="05",
    severity="high",
    subject="{target}",
    because="{connections:.0f} of {slots:.0f} usable connections were taken at {worst_at:%H:%M:%S} UTC ({used_ratio:percent}, limit"
    " {max_ratio:percent}); above the limit {span}",
    at="at",
    guide=("C066", "C067"),
)
def connections_stayed_below_the_limit(
    prom_postgres_connections, prom_postgres_slots, *, max_ratio=0.75, critical_ratio=0.9
):
    """Never during the incident were {max_ratio:percent} of the usable connections taken.

    75 and 90 %: Crunchy's pgmonitor and pg-healthcheck. Usable: without what is reserved for superusers.
    """
    steps = ["window", "at", *TARGET]
    taken = during(prom_postgres_connections).groupby([*steps, "asked_at"], as_index=False).connections.sum()
    table = taken.merge(prom_postgres_slots[[*steps, "slots"]], on=steps)
    table = table.assign(used_ratio=table.connections / table.slots)
    rows = worst_of_each(table[table.used_ratio >= max_ratio], TARGET, "used_ratio")
    return rows.assign(severity=(rows.used_ratio >= critical_ratio).map({True: "critical", False: "high"}))


@check(
    section="05",
    severity="note",
    subject="{target}: {database}",
    because="{deadlocks:number} deadlocks in the minutes before {worst_at:%H:%M:%S} UTC, {per_min:.1f} a minute",
    at="at",
)
def postgres_had_no_deadlocks(prom_postgres_deadlocks, *, max_per_min=5, range_min=5):
    """PostgreSQL had no deadlock during the incident.

    Any is a note; more than 5 a minute (awesome-prometheus-alerts, mixin of postgres_exporter) is of medium severity.
    """
    table = during(prom_postgres_deadlocks)
    table = table.assign(per_min=table.deadlocks / range_min)
    rows = worst_of_each(table[table.deadlocks >= 0.5], [*TARGET, "database"], "deadlocks")
    return rows.assign(severity=(rows.per_min > max_per_min).map({True: "medium", False: "note"}))


@check(
    section="05",
    severity="medium",
    subject="{target}",
    because="a transaction was {state} for {longest_s:seconds} at {worst_at:%H:%M:%S} UTC (limit {limit_s:seconds}), above it since"
    " {at:%H:%M:%S} UTC",
    at="at",
    guide=("C068",),
)
def no_transaction_lasted_long(prom_postgres_longest_transaction, *, max_s=3600, max_idle_s=300, high_idle_s=900):
    """No transaction lasted {max_s:seconds}, or was idle for {max_idle_s:seconds}, during the incident.

    1 h: postgres-checkup; idle in transaction 300 and 900 s: Crunchy's pgmonitor. A backup may take its hour in peace: active ones are of
    medium severity only.
    """
    table = during(prom_postgres_longest_transaction)
    idle = table.state.str.startswith("idle in transaction")
    table = table.assign(limit_s=idle.map({True: max_idle_s, False: max_s}))
    rows = worst_of_each(table[table.longest_s > table.limit_s], [*TARGET, "state"], "longest_s")
    bad = rows.state.str.startswith("idle in transaction") & (rows.longest_s > high_idle_s)
    return rows.assign(severity=bad.map({True: "high", False: "medium"}))


@check(
    section="05",
    severity="medium",
    subject="{target}",
    because="was {lag_s:seconds} behind at {worst_at:%H:%M:%S} UTC (limit {max_s:seconds}); above the limit {span}",
    at="at",
)
def replicas_kept_up(prom_postgres_replication_lag, *, max_s=5, critical_s=300, min_steps=3):
    """No replica was more than {max_s:seconds} behind for longer than a moment.

    5 s for 30 s: awesome-prometheus-alerts; 300 s: CloudNativePG. At least three steps, because a primary that writes nothing for a few
    seconds makes its replica look late.
    """
    table = during(prom_postgres_replication_lag)
    rows = worst_of_each(table[table.lag_s > max_s], TARGET, "lag_s")
    rows = rows[rows.steps >= min_steps]
    return rows.assign(severity=(rows.lag_s > critical_s).map({True: "critical", False: "medium"}))


@check(
    section="05",
    severity="medium",
    subject="{target}: {database}",
    because="wrote {written_bytes:bytes} of temporary files during the incident, {per_day_bytes:bytes} a day at this pace (limit"
    " {max_per_day_bytes:bytes})",
    at="at",
)
def queries_fit_into_work_mem(prom_postgres_temp, *, max_per_day_bytes=50 * GB):
    """No database wrote temporary files at a pace of {max_per_day_bytes:bytes} a day.

    Sorts and hashes that do not fit into work_mem go to disk. 50 GB a day: pg_gather.
    """
    table = during(prom_postgres_temp)
    by = [*TARGET, "database"]
    mean = table.groupby(by).temp_bytes_per_s.transform("mean")
    length_s = (table["at"].max() - table["at"].min()).total_seconds()
    table = table.assign(per_day_bytes=mean * DAY_S, written_bytes=mean * length_s)
    broken = table[(table.per_day_bytes > max_per_day_bytes) & (table.temp_bytes_per_s > 0)]
    return worst_of_each(broken, by, "temp_bytes_per_s").sort_values("per_day_bytes", ascending=False)


@check(
    section="05",
    severity="critical",
    subject="{target}",
    because="could not be reached by its exporter {span}",
    at="at",
    guide=("C021",),
)
def redis_was_up(prom_redis_up):
    """Redis could be reached by its exporter during the whole incident.

    The exporter is a client like any other: where it got no answer, services got none either.
    """
    table = during(prom_redis_up)
    return worst_of_each(table[table.up < 1], TARGET, "up", highest=False)


@check(
    section="05",
    severity="high",
    subject="{target}",
    because="used {used_ratio:percent} of maxmemory, {used_bytes:bytes} of {limit_bytes:bytes}, at {worst_at:%H:%M:%S} UTC (limit"
    " {max_ratio:percent}); above it since {at:%H:%M:%S} UTC",
    at="at",
    guide=("C074",),
)
def redis_memory_stayed_below_its_limit(
    prom_redis_memory, prom_redis_memory_limit, *, max_ratio=0.9, critical_ratio=0.95
):
    """Redis used less than {max_ratio:percent} of its maxmemory during the whole incident.

    90 %: awesome-prometheus-alerts; 95 %: our own. An instance without maxmemory has no such limit.
    """
    steps = ["window", "at", *TARGET]
    table = during(prom_redis_memory).merge(prom_redis_memory_limit[[*steps, "limit_bytes"]], on=steps)
    table = table[table.limit_bytes > 0]
    table = table.assign(used_ratio=table.used_bytes / table.limit_bytes)
    rows = worst_of_each(table[table.used_ratio > max_ratio], TARGET, "used_ratio")
    return rows.assign(severity=(rows.used_ratio > critical_ratio).map({True: "critical", False: "high"}))


@check(
    section="05",
    severity="high",
    subject="{target}",
    because="threw out {evicted_keys:number} keys for lack of memory in the minutes before {worst_at:%H:%M:%S} UTC; evictions {span}",
    at="at",
    guide=("C074",),
)
def redis_evicted_nothing(prom_redis_evictions):
    """Redis evicted no keys during the incident.

    Evicted cache sends its load to the database; an evicted queue or usage counter is lost.
    """
    table = during(prom_redis_evictions)
    return worst_of_each(table[table.evicted_keys >= 0.5], TARGET, "evicted_keys")


@check(
    section="05",
    severity="high",
    subject="{target}",
    because="turned away {rejected_connections:number} connections in the minutes before {worst_at:%H:%M:%S} UTC (limit {max_per_min:.0f} a"
    " minute); above the limit {span}",
    at="at",
)
def redis_turned_nobody_away(prom_redis_rejected_connections, *, max_per_min=5, range_min=5):
    """Redis turned away no more than {max_per_min:.0f} connections a minute during the incident.

    They are refused at maxclients. 5 a minute: awesome-prometheus-alerts.
    """
    table = during(prom_redis_rejected_connections)
    broken = table[table.rejected_connections / range_min > max_per_min]
    return worst_of_each(broken, TARGET, "rejected_connections")


@check(
    section="05",
    severity="high",
    subject="{target}",
    because="was busy for {busy_ratio:percent} of the time at {worst_at:%H:%M:%S} UTC (limit {max_ratio:percent}), most of all with"
    " {command} ({command_ratio:percent})",
    at="at",
    guide=("C076",),
)
def redis_had_time_to_spare(prom_redis_command_time, *, max_ratio=0.8):
    """Redis was busy for less than {max_ratio:percent} of the time during the incident.

    It runs commands on one thread: near 100 % every command waits. 80 %: our own.
    """
    table = during(prom_redis_command_time).sort_values("busy_ratio", ascending=False)
    steps = ["at", *TARGET]
    total = table.groupby(steps).busy_ratio.transform("sum")
    busiest = table.assign(command_ratio=table.busy_ratio, busy_ratio=total).drop_duplicates(steps)
    return worst_of_each(busiest[busiest.busy_ratio > max_ratio], TARGET, "busy_ratio")


@check(
    section="05",
    severity="high",
    subject="{target}: {key}",
    because="grew by {grown_items:number} to {items:number} items between {at:%H:%M:%S} and {until:%H:%M:%S} UTC",
    at="at",
    guide=("C031",),
)
def queues_drained(prom_redis_queue_depth, prom_redis_up, *, min_items=1000, max_growth=10):
    """No queue grew to more than {max_growth:.0f} times its length during the incident.

    From its lowest point to its end; a queue below 1,000 items is short. Both values are our own. Where the exporter did not reach Redis,
    nothing is known of its queues.
    """
    table = during(prom_redis_queue_depth).sort_values("at")
    queues = table.groupby([*TARGET, "key"])
    table = table.assign(lowest=queues["items"].transform("min"), until=queues["at"].transform("max"))
    last = table[table["at"] == table.until]
    lowest = table[table["items"] == table.lowest].drop_duplicates([*TARGET, "key"], keep="last")
    rows = last.drop(columns="at").merge(lowest[[*TARGET, "key", "at"]], on=[*TARGET, "key"])
    rows = rows.assign(grown_items=rows["items"] - rows.lowest)
    grew = (rows["items"] >= min_items) & (rows["items"] > rows.lowest * max_growth)
    return rows[grew].sort_values("grown_items", ascending=False)


@check(
    section="05",
    severity="high",
    subject="{volume} on {target}",
    because="{free_ratio:percent} of {size_bytes:bytes} free at {worst_at:%H:%M:%S} UTC{forecast}",
    at="at",
    guide=("C071", "C130"),
)
def disks_do_not_fill(
    prom_volume_available,
    prom_volume_size,
    prom_volume_growth,
    *,
    min_ratio=0.15,
    critical_ratio=0.03,
    full_in_s=4 * DAY_S,
):
    """Every volume has {min_ratio:percent} free, or does not fill within {full_in_s:seconds}; none has less than {critical_ratio:percent}.

    The rules of the mixin of Kubernetes: less than 3 % is critical; less than 15 %, and full within 4 days by the trend of the last 6 h,
    is high.
    """
    steps = ["window", "at", *VOLUME]
    table = during(prom_volume_available).merge(prom_volume_size[[*steps, "size_bytes"]], on=steps)
    table = table.merge(prom_volume_growth[[*steps, "growth_bytes_per_s"]], on=steps, how="left")
    growing = table.growth_bytes_per_s.where(table.growth_bytes_per_s > 0)
    table = table.assign(free_ratio=table.available_bytes / table.size_bytes, left_s=table.available_bytes / growing)
    full, filling = table.free_ratio < critical_ratio, (table.free_ratio < min_ratio) & (table.left_s < full_in_s)
    rows = worst_of_each(table[full | filling], VOLUME, "free_ratio", highest=False)
    forecast = [f", full in {in_seconds(s)} at the pace of the last 6 h" if s < full_in_s else "" for s in rows.left_s]
    severity = (rows.free_ratio < critical_ratio).map({True: "critical", False: "high"})
    return rows.assign(forecast=forecast, severity=severity)

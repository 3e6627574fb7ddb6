"""Rules over the whole incident window by exporter series: PostgreSQL and Redis themselves keep no such history."""

from nl_forensics.checks.limits import DAY_S, MAX_TEMP_BYTES_PER_S
from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each
from nl_forensics.units import in_seconds

TARGET = ["instance", "target"]
VOLUME = ["instance", "target", "namespace", "volume"]
TEMP_PER_DAY_BYTES = MAX_TEMP_BYTES_PER_S * DAY_S


@check(
    section="05",
    severity="critical",
    subject="prometheus/{instance}, {target}",
    because="exporter could not reach PostgreSQL {span}",
    at="at",
    guide=("C020",),
)
def postgres_was_up(prom_postgres_up):
    """The exporter could reach PostgreSQL during the whole incident.

    The exporter is a client like any other: if its connections failed, those of services failed as well.
    """
    table = during(prom_postgres_up)
    return worst_of_each(table[table.up < 1], TARGET, "up", highest=False)


@check(
    section="05",
    severity="high",
    critical="used_ratio >= critical_ratio",
    subject="prometheus/{instance}, {target}",
    because="{connections:.0f} of {slots:.0f} usable PostgreSQL connections in use at {worst_at:%H:%M:%S} UTC ({used_ratio:percent},"
    " limit {max_ratio:percent}); above the limit {span}",
    at="at",
    guide=("C066", "C067"),
)
def connections_stayed_below_the_limit(
    prom_postgres_connections, prom_postgres_slots, *, max_ratio=0.75, critical_ratio=0.9
):
    """Less than {max_ratio:percent} of the usable connections were in use during the incident.

    75 and 90 %: Crunchy's pgmonitor and pg-healthcheck. Usable: without those reserved for superusers.
    """
    steps = ["window", "at", *TARGET]
    taken = during(prom_postgres_connections).groupby([*steps, "asked_at"], as_index=False).connections.sum()
    table = taken.merge(prom_postgres_slots[[*steps, "slots"]], on=steps)
    table = table.assign(used_ratio=table.connections / table.slots)
    return worst_of_each(table[table.used_ratio >= max_ratio], TARGET, "used_ratio")


@check(
    section="05",
    severity="note",
    medium="per_min > max_per_min",
    subject="prometheus/{instance}, {target}: {database}",
    because="{deadlocks:number} deadlocks in the {range_min} min before {worst_at:%H:%M:%S} UTC ({per_min:.1f}/min)",
    at="at",
)
def postgres_had_no_deadlocks(prom_postgres_deadlocks, *, max_per_min=5, range_min=5):
    """PostgreSQL had no deadlock during the incident.

    Any is a note; more than 5/min (awesome-prometheus-alerts, mixin of postgres_exporter) is medium.
    """
    table = during(prom_postgres_deadlocks)
    table = table.assign(per_min=table.deadlocks / range_min)
    return worst_of_each(table[table.deadlocks >= 0.5], [*TARGET, "database"], "deadlocks")


@check(
    section="05",
    severity="medium",
    high="is_idle and longest_s > high_idle_s",
    subject="prometheus/{instance}, {target}",
    because="a PostgreSQL transaction was {state} for {longest_s:seconds} at {worst_at:%H:%M:%S} UTC (limit {limit_s:seconds}); above the"
    " limit since {at:%H:%M:%S} UTC",
    at="at",
    guide=("C068",),
)
def no_transaction_lasted_long(prom_postgres_longest_transaction, *, max_s=3600, max_idle_s=300, high_idle_s=900):
    """No transaction lasted {max_s:seconds}, or was idle for {max_idle_s:seconds}, during the incident.

    1 h: postgres-checkup; idle in transaction 300 s, high above 900 s: Crunchy's pgmonitor. A backup can take an hour, so active
    transactions are medium only.
    """
    table = during(prom_postgres_longest_transaction)
    idle = table.state.str.startswith("idle in transaction")
    table = table.assign(is_idle=idle, limit_s=idle.map({True: max_idle_s, False: max_s}))
    return worst_of_each(table[table.longest_s > table.limit_s], [*TARGET, "state"], "longest_s")


@check(
    section="05",
    severity="medium",
    critical="lag_s > critical_s",
    subject="prometheus/{instance}, {target}",
    because="PostgreSQL replica lagged by {lag_s:seconds} at {worst_at:%H:%M:%S} UTC (limit {max_s:seconds}); above the limit {span}",
    at="at",
)
def replicas_kept_up(prom_postgres_replication_lag, *, max_s=5, critical_s=300, min_steps=3):
    """No replica lagged by more than {max_s:seconds} for {min_steps} steps.

    5 s for 30 s: awesome-prometheus-alerts; critical above 300 s: CloudNativePG. At least three steps, because a primary that writes
    nothing for a few seconds makes its replica appear late.
    """
    table = during(prom_postgres_replication_lag)
    rows = worst_of_each(table[table.lag_s > max_s], TARGET, "lag_s")
    return rows[rows.steps >= min_steps]


@check(
    section="05",
    severity="medium",
    subject="prometheus/{instance}, {target}: {database}",
    because="{written_bytes:bytes} of temporary files written during the incident, a rate of {per_day_bytes:bytes}/day (limit"
    " {max_per_day_bytes:bytes}/day)",
    at="at",
)
def queries_fit_into_work_mem(prom_postgres_temp, *, max_per_day_bytes=TEMP_PER_DAY_BYTES):
    """No database wrote temporary files at a rate of {max_per_day_bytes:bytes}/day.

    Sorts and hashes that exceed work_mem use the disk. 50 GB/day: pg_gather.
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
    subject="prometheus/{instance}, {target}",
    because="exporter could not reach Redis {span}",
    at="at",
    guide=("C021",),
)
def redis_was_up(prom_redis_up):
    """The exporter could reach Redis during the whole incident.

    The exporter is a client like any other: if its connections failed, those of services failed as well.
    """
    table = during(prom_redis_up)
    return worst_of_each(table[table.up < 1], TARGET, "up", highest=False)


@check(
    section="05",
    severity="high",
    critical="used_ratio > critical_ratio",
    subject="prometheus/{instance}, {target}",
    because="Redis used {used_ratio:percent} of maxmemory ({limit_bytes:bytes}) at {worst_at:%H:%M:%S} UTC (limit {max_ratio:percent});"
    " above the limit since {at:%H:%M:%S} UTC",
    at="at",
    guide=("C074",),
)
def redis_memory_stayed_below_its_limit(
    prom_redis_memory, prom_redis_memory_limit, *, max_ratio=0.9, critical_ratio=0.95
):
    """Redis used less than {max_ratio:percent} of its maxmemory during the whole incident.

    90 %: awesome-prometheus-alerts; critical above 95 %: our own. Not for an instance without maxmemory.
    """
    steps = ["window", "at", *TARGET]
    table = during(prom_redis_memory).merge(prom_redis_memory_limit[[*steps, "limit_bytes"]], on=steps)
    table = table[table.limit_bytes > 0]
    table = table.assign(used_ratio=table.used_bytes / table.limit_bytes)
    return worst_of_each(table[table.used_ratio > max_ratio], TARGET, "used_ratio")


@check(
    section="05",
    severity="high",
    subject="prometheus/{instance}, {target}",
    because="Redis evicted {evicted_keys:number} keys in the 5 min before {worst_at:%H:%M:%S} UTC; evictions {span}",
    at="at",
    guide=("C074",),
)
def redis_evicted_nothing(prom_redis_evictions):
    """Redis evicted no keys during the incident.

    Evicted cache keys move load to the database; an evicted queue or usage counter is lost.
    """
    table = during(prom_redis_evictions)
    return worst_of_each(table[table.evicted_keys >= 0.5], TARGET, "evicted_keys")


@check(
    section="05",
    severity="high",
    subject="prometheus/{instance}, {target}",
    because="Redis rejected {rejected_connections:number} connections in the {range_min} min before {worst_at:%H:%M:%S} UTC (limit"
    " {max_per_min:.0f}/min); above the limit {span}",
    at="at",
)
def redis_rejected_no_connection(prom_redis_rejected_connections, *, max_per_min=5, range_min=5):
    """Redis rejected at most {max_per_min:.0f} connections/min during the incident.

    It rejects them at maxclients. 5/min: awesome-prometheus-alerts.
    """
    table = during(prom_redis_rejected_connections)
    broken = table[table.rejected_connections / range_min > max_per_min]
    return worst_of_each(broken, TARGET, "rejected_connections")


@check(
    section="05",
    severity="high",
    subject="prometheus/{instance}, {target}",
    because="Redis was busy {busy_ratio:percent} of the time at {worst_at:%H:%M:%S} UTC (limit {max_ratio:percent}), mostly with {command}"
    " ({command_ratio:percent})",
    at="at",
    guide=("C076",),
)
def redis_had_time_to_spare(prom_redis_command_time, *, max_ratio=0.8):
    """Redis was busy less than {max_ratio:percent} of the time during the incident.

    It runs commands on one thread: near 100 % every command queues. 80 %: our own.
    """
    table = during(prom_redis_command_time).sort_values("busy_ratio", ascending=False)
    steps = ["at", *TARGET]
    total = table.groupby(steps).busy_ratio.transform("sum")
    busiest = table.assign(command_ratio=table.busy_ratio, busy_ratio=total).drop_duplicates(steps)
    return worst_of_each(busiest[busiest.busy_ratio > max_ratio], TARGET, "busy_ratio")


@check(
    section="05",
    severity="high",
    subject="prometheus/{instance}, {target}: {key}",
    because="queue grew by {grown_items:number} to {items:number} items from {at:%H:%M:%S} to {until:%H:%M:%S} UTC",
    at="at",
    guide=("C031",),
)
def queues_drained(prom_redis_queue_depth, prom_redis_up, *, min_items=1000, max_growth=10):
    """No queue grew to more than {max_growth:.0f}× its length during the incident.

    From its minimum to its last value; a queue below 1,000 items is short. Both values are our own. While the exporter does not reach
    Redis, the state of its queues is unknown.
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
    critical="free_ratio < critical_ratio",
    subject="prometheus/{instance}, {volume} on {target}",
    because="{free_ratio:percent} of {size_bytes:bytes} free at {worst_at:%H:%M:%S} UTC (limit {min_ratio:percent}){forecast}",
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
    forecast = [f", full in {in_seconds(s)} at the rate of the last 6 h" if s < full_in_s else "" for s in rows.left_s]
    return rows.assign(forecast=forecast)

"""Rules about saturation over the whole incident: CPU, connection pools, the time of services.

A step of a rate covers 5 minutes (`range_s`), so that an episode covers that much more than lies between its steps. In an incident that
is shorter than the required time, most of the incident suffices.
"""

import pandas as pd

from nl_forensics.checks.rows import usual
from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, sustained, worst_of_each
from nl_forensics.sources.prometheus.cpu import of_limit
from nl_forensics.sources.prometheus.runtime import database_share, pools
from nl_forensics.units import in_percent

CONTAINER = ["instance", "target", "namespace", "pod", "container"]
SERVICE = ["instance", "namespace", "service"]


@check(
    section="03",
    severity="medium",
    subject="{namespace}/{pod}/{container}",
    high="used_ratio >= high_used_ratio",
    because="CPU throttled in {throttled_ratio:percent} of periods at {worst_at:%H:%M:%S} UTC (limit {max_ratio:percent}); it used"
    " {used_ratio:percent} of its CPU limit of {limit_cores:.2g} cores; above the limit {span}",
    at="at",
    guide=("C037", "C044", "C046"),
)
def no_container_is_throttled(
    prom_cpu_throttled, prom_cpu_used, prom_cpu_limit, *, max_ratio=0.25, min_s=900, high_used_ratio=0.8, range_s=300
):
    """No container was CPU-throttled in more than {max_ratio:percent} of its periods for {min_s:seconds}.

    A container that uses up its limit within a period of 100 ms is paused until the next one: requests wait, without any error. 25 % for
    15 minutes: kubernetes-mixin. High where it also used 80 % of its limit: it would use a larger one. Below that it works in bursts,
    and fewer threads help, too.
    """
    table = during(prom_cpu_throttled)
    throttled = sustained(table, table.throttled_ratio > max_ratio, CONTAINER, min_s, range_s)
    steps = ["window", "at", *CONTAINER]
    used = of_limit(prom_cpu_used, prom_cpu_limit)[[*steps, "used_ratio", "limit_cores"]]
    return worst_of_each(throttled.merge(used, on=steps, how="left"), CONTAINER, "throttled_ratio")


@check(
    section="03",
    severity="medium",
    subject="{namespace}/{pod}/{container}",
    because="used {used_ratio:percent} of its CPU limit at {worst_at:%H:%M:%S} UTC ({used_cores:.2g} of {limit_cores:.2g} cores, threshold"
    " {max_ratio:percent}); above the threshold {span}",
    at="at",
    guide=("C037", "C043"),
)
def containers_stayed_below_their_cpu_limit(prom_cpu_used, prom_cpu_limit, *, max_ratio=0.9, min_s=900, range_s=300):
    """No container used more than {max_ratio:percent} of its CPU limit for {min_s:seconds}.

    At its limit, more load makes everything slower. A larger limit does not help what is slow for another reason, such as a lock. 90 %
    for 15 minutes: the guide's review. Containers without a limit are left out.
    """
    table = of_limit(during(prom_cpu_used), prom_cpu_limit)
    full = sustained(table, table.used_ratio > max_ratio, CONTAINER, min_s, range_s)
    return worst_of_each(full, CONTAINER, "used_ratio")


@check(
    section="03",
    severity="medium",
    subject="{namespace}/{service}",
    high="gc_ratio >= high_ratio",
    because="spent {gc_ratio:percent} of its time on garbage collection at {worst_at:%H:%M:%S} UTC (limit {max_ratio:percent}); {usual};"
    " above the limit {span}",
    at="at",
    guide=("C034", "C048"),
)
def services_spend_little_time_on_garbage(prom_gc_time, *, max_ratio=0.1, high_ratio=0.3, min_s=600, range_s=300):
    """No service spent more than {max_ratio:percent} of its time on garbage collection for {min_s:seconds}.

    Meanwhile it serves no request. A high share is a sign of memory that is nearly exhausted, so that the collector runs again and again.
    10 % is medium, 30 % high, for 10 minutes: choices of ours.
    """
    table = during(prom_gc_time)
    rows = worst_of_each(sustained(table, table.gc_ratio > max_ratio, SERVICE, min_s, range_s), SERVICE, "gc_ratio")
    before = prom_gc_time[prom_gc_time.window == "baseline"].groupby(SERVICE).gc_ratio.max().rename("before_ratio")
    rows = rows.join(before, on=SERVICE)
    return rows.assign(usual=usual(rows.before_ratio, lambda ratio: f"at most {in_percent(ratio)}"))


@check(
    section="03",
    severity="high",
    subject="{namespace}/{service}",
    because="connection pool exhausted at {worst_at:%H:%M:%S} UTC: {in_use:.0f} of {size:.0f} in use, {waiting:.0f} waiting; on {target},"
    " {span}",
    at="at",
    guide=("C034", "C036"),
)
def no_connection_pool_is_exhausted(prom_pool_in_use, prom_pool_size, prom_pool_waiting, *, min_s=60):
    """No connection pool was exhausted, with requests waiting for a connection, for {min_s:seconds}.

    A waiting request delays its caller until it times out. A larger pool helps where there are too few connections; where each is held for
    long (a lock, a slow statement, a transaction left open), it moves the queue into the database. A minute, in which one sample may show
    no waiter: a choice of ours; moments are what a pool is for.
    """
    table = pools(during(prom_pool_in_use), prom_pool_size, prom_pool_waiting)
    full = (table.in_use >= table["size"]) & (table.waiting > 0)
    return worst_of_each(sustained(table, full, [*SERVICE, "target"], min_s, moments=True), SERVICE, "waiting")


@check(
    section="03",
    severity="note",
    subject="{namespace}/{service}",
    medium="is_slower",
    because="{database_ratio:percent} of its request time was waiting for the database (limit {max_ratio:percent}, {waited_s:seconds} in"
    " total); {usual}; above the limit {span}",
    at="at",
    guide=("C034", "C036"),
)
def services_wait_little_for_the_database(
    prom_database_time, prom_route_time, *, max_ratio=0.5, min_waited_s=10, min_growth=2.0
):
    """No service spent more than {max_ratio:percent} of its request time waiting for the database.

    Then the cause is there: statements, locks, disks. Some services do little else, so that it is a note; medium where they wait at least
    twice as long as in the baseline for the same amount of other work. Half, twice, and 10 seconds in total (less delays no request
    noticeably): choices of ours.
    """
    table = database_share(prom_database_time, prom_route_time)
    now, before = (_in_all(table[table.window == window]) for window in ("incident", "baseline"))
    rows = worst_of_each(during(table[table.database_ratio > max_ratio]), SERVICE, "database_ratio")
    rows = rows.drop(columns="database_ratio").join(now, on=SERVICE).join(before.add_prefix("before_"), on=SERVICE)
    rows = rows[(rows.database_ratio > max_ratio) & (rows.waited_s >= min_waited_s)]
    slower = (rows.wait_of_rest >= min_growth * rows.before_wait_of_rest) & (rows.wait_per_s > rows.before_wait_per_s)
    rows = rows.assign(is_slower=slower, usual=usual(rows.before_database_ratio, in_percent))
    return rows.sort_values("waited_s", ascending=False)


def _in_all(table: pd.DataFrame) -> pd.DataFrame:
    """By service, over all steps: the database's share; `wait_of_rest`: seconds waited for each second of other work."""
    series = table.groupby(SERVICE)
    step_s = series["at"].diff().dt.total_seconds().fillna(0)
    waited_s = (table.waiting_per_s * step_s).groupby([table[name] for name in SERVICE]).sum()
    wait, busy = series.waiting_per_s.mean(), series.busy_per_s.mean()
    shares = {"database_ratio": wait / busy.where(busy > 0), "wait_of_rest": wait / (busy - wait).where(busy > wait, 0)}
    return pd.DataFrame({**shares, "wait_per_s": wait, "waited_s": waited_s})

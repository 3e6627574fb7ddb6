"""Rules about what was used up over the whole incident: CPU, pools of connections, the time of services.

A step of a rate looks back 5 minutes (`range_s`), so that a run of steps tells of that much more than lies between them. What an incident
was too short for counts where it lasted through most of it.
"""

import pandas as pd

from nl_forensics.checks.rows import usual, worst_first
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
    because="was held back in {throttled_ratio:percent} of its periods at {worst_at:%H:%M:%S} UTC (limit {max_ratio:percent}), when it used"
    " {used_ratio:percent} of its CPU limit of {limit_cores:.2g} cores; above it {span}",
    at="at",
    guide=("C037", "C044", "C046"),
)
def no_container_is_throttled(
    prom_cpu_throttled, prom_cpu_used, prom_cpu_limit, *, max_ratio=0.25, min_s=900, high_used_ratio=0.8, range_s=300
):
    """No container was held back in more than {max_ratio:percent} of its periods for {min_s:seconds}.

    Whoever has used up its limit within a period of 100 ms stands still until the next one: requests wait, and no error tells why. 25 % for
    15 minutes: kubernetes-mixin. High where it used 80 % of its limit, too: a larger one would be used. Below that it works in bursts,
    and fewer threads help as well.
    """
    table = during(prom_cpu_throttled)
    held_back = sustained(table, table.throttled_ratio > max_ratio, CONTAINER, min_s, range_s)
    steps = ["window", "at", *CONTAINER]
    used = of_limit(prom_cpu_used, prom_cpu_limit)[[*steps, "used_ratio", "limit_cores"]]
    rows = worst_of_each(held_back.merge(used, on=steps, how="left"), CONTAINER, "throttled_ratio")
    return rows.assign(severity=(rows.used_ratio >= high_used_ratio).map({True: "high", False: "medium"}))


@check(
    section="03",
    severity="medium",
    subject="{namespace}/{pod}/{container}",
    because="used {used_ratio:percent} of its CPU limit, {used_cores:.2g} of {limit_cores:.2g} cores, at {worst_at:%H:%M:%S} UTC (limit"
    " {max_ratio:percent}); above it {span}",
    at="at",
    guide=("C037", "C043"),
)
def containers_stayed_below_their_cpu_limit(prom_cpu_used, prom_cpu_limit, *, max_ratio=0.9, min_s=900, range_s=300):
    """No container used more than {max_ratio:percent} of its CPU limit for {min_s:seconds}.

    It has no more to give: with more work, everything takes longer. What is slow for another reason, as a lock, is not helped by a larger
    limit. 90 % for 15 minutes: the guide's review. One without a limit has none to stay below.
    """
    table = of_limit(during(prom_cpu_used), prom_cpu_limit)
    full = sustained(table, table.used_ratio > max_ratio, CONTAINER, min_s, range_s)
    return worst_of_each(full, CONTAINER, "used_ratio")


@check(
    section="03",
    severity="medium",
    subject="{namespace}/{service}",
    because="spent {gc_ratio:percent} of its time collecting garbage at {worst_at:%H:%M:%S} UTC (limit {max_ratio:percent}; {usual});"
    " above it {span}",
    at="at",
    guide=("C034", "C048"),
)
def services_spend_little_time_on_garbage(prom_gc_time, *, max_ratio=0.1, high_ratio=0.3, min_s=600, range_s=300):
    """No service spent more than {max_ratio:percent} of its time collecting garbage for {min_s:seconds}.

    Meanwhile it answers nobody. Much of it is a sign of memory that is nearly used up, so that it is searched again and again for what can
    be given back. 10 % is medium, 30 % high, for 10 minutes: choices of ours.
    """
    table = during(prom_gc_time)
    rows = worst_of_each(sustained(table, table.gc_ratio > max_ratio, SERVICE, min_s, range_s), SERVICE, "gc_ratio")
    before = prom_gc_time[prom_gc_time.window == "baseline"].groupby(SERVICE).gc_ratio.max().rename("before_ratio")
    rows = rows.join(before, on=SERVICE)
    severity = (rows.gc_ratio >= high_ratio).map({True: "high", False: "medium"})
    return rows.assign(severity=severity, usual=usual(rows.before_ratio, lambda ratio: f"at most {in_percent(ratio)}"))


@check(
    section="03",
    severity="high",
    subject="{namespace}/{service}",
    because="{target}: all {size:.0f} connections of its pool were in use while {waiting:.0f} waited for one, at {worst_at:%H:%M:%S} UTC;"
    " so it was {span}",
    at="at",
    guide=("C034", "C036"),
)
def nobody_waits_for_a_connection_of_a_full_pool(prom_pool_in_use, prom_pool_size, prom_pool_waiting, *, min_s=60):
    """In no pod did anybody wait for a free connection of a full pool for {min_s:seconds}.

    Whoever waits holds his own caller up, until he is refused. A larger pool helps where connections are short of; where each is held for
    long (a lock, a slow statement, a transaction left open), it moves the queue into the database. A minute, in which one look may see
    nobody: a choice of ours; moments are what a pool is for.
    """
    table = pools(during(prom_pool_in_use), prom_pool_size, prom_pool_waiting)
    full = (table.in_use >= table["size"]) & (table.waiting > 0)
    return worst_of_each(sustained(table, full, [*SERVICE, "target"], min_s, moments=True), SERVICE, "waiting")


@check(
    section="03",
    severity="note",
    subject="{namespace}/{service}",
    because="{database_ratio:percent} of the time of its requests went into waiting for the database (limit {max_ratio:percent}),"
    " {waited_s:seconds} in all; {usual}; above the limit {span}",
    at="at",
    guide=("C034", "C036"),
)
def services_wait_little_for_the_database(
    prom_database_time, prom_route_time, *, max_ratio=0.5, min_waited_s=10, min_growth=2.0
):
    """No service spent more than {max_ratio:percent} of the time of its requests waiting for the database.

    Then what is slow is to be looked for there: statements, locks, the disks below. Some services do little else, so that it is a note;
    medium where they wait at least twice as long for it as in the baseline, for as much of other work. Half, twice, and 10 seconds in
    all (less delays nobody): choices of ours.
    """
    table = database_share(prom_database_time, prom_route_time)
    now, before = (_in_all(table[table.window == window]) for window in ("incident", "baseline"))
    rows = worst_of_each(during(table[table.database_ratio > max_ratio]), SERVICE, "database_ratio")
    rows = rows.drop(columns="database_ratio").join(now, on=SERVICE).join(before.add_prefix("before_"), on=SERVICE)
    rows = rows[(rows.database_ratio > max_ratio) & (rows.waited_s >= min_waited_s)]
    slower = (rows.wait_of_rest >= min_growth * rows.before_wait_of_rest) & (rows.wait_per_s > rows.before_wait_per_s)
    rows = rows.assign(
        severity=slower.map({True: "medium", False: "note"}), usual=usual(rows.before_database_ratio, in_percent)
    )
    return worst_first(rows, "waited_s")


def _in_all(table: pd.DataFrame) -> pd.DataFrame:
    """By service, over all steps: the database's share; `wait_of_rest`: seconds waited for each second of other work."""
    series = table.groupby(SERVICE)
    step_s = series["at"].diff().dt.total_seconds().fillna(0)
    waited_s = (table.waiting_per_s * step_s).groupby([table[name] for name in SERVICE]).sum()
    wait, busy = series.waiting_per_s.mean(), series.busy_per_s.mean()
    shares = {"database_ratio": wait / busy.where(busy > 0), "wait_of_rest": wait / (busy - wait).where(busy > wait, 0)}
    return pd.DataFrame({**shares, "wait_per_s": wait, "waited_s": waited_s})

"""Rules about scraping: a target without samples is not a healthy target."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each

TARGET = ["instance", "job", "target"]


@check(
    section="10",
    severity="high",
    critical="is_whole_job",
    subject="prometheus/{instance}, {job}: {target}",
    because="scrapes failed {span}{still}",
    at="at",
    guide=("C119", "C121"),
)
def every_target_was_up(prom_up, prom_targets, *, min_s=60):
    """Every target could be scraped during the incident, but for less than {min_s:seconds}.

    While a target is down, its series are not quiet, they are absent. 1 min: awesome-prometheus-alerts. Critical if no other target of its
    job was up in all that time.
    """
    table = during(prom_up)
    rows = worst_of_each(table[table.up < 1], TARGET, "up", highest=False)
    rows = rows[(rows.until - rows["at"]).dt.total_seconds() >= min_s]
    best = table.groupby(["instance", "job", "at"]).up.max()
    dark = best[best < 1].groupby(["instance", "job"]).size()
    alone = [dark.get((row.instance, row.job), 0) >= row.steps for row in rows.itertuples()]
    now = prom_targets[prom_targets.health == "down"].drop_duplicates(TARGET).set_index(TARGET).last_error
    errors = [now.get((row.instance, row.job, row.target), "") for row in rows.itertuples()]
    return rows.assign(still=[f", ongoing: {error}" if error else "" for error in errors], is_whole_job=alone)


@check(
    section="10",
    severity="high",
    subject="prometheus/{instance}, {job}: {target}",
    because="target is down: {last_error}",
    guide=("C119",),
)
def every_target_is_up(prom_targets):
    """Prometheus can scrape every target.

    The last error has the reason: connection refused, no such host, a status other than 200, an invalid body, too many samples.
    """
    return prom_targets[prom_targets.health == "down"]


@check(
    section="10",
    severity="high",
    critical="is_every_target",
    subject="prometheus/{instance}, {scope}",
    because="no scrape {span}; there are no data of this period",
    at="at",
    guide=("C119", "C121"),
)
def no_scrape_is_left_out(prom_scrape_age, prom_targets, *, max_intervals=3, min_s=90):
    """Every target was scraped at least every {max_intervals:.0f} intervals, and every {min_s:seconds}, during the incident.

    A failed scrape counts as a scrape: this rule finds those that Prometheus did not try, because it was down, overloaded or paused. If all
    targets have the same gap, the cause is Prometheus itself, which is critical. A restart takes less than 90 s. Both values are our own.
    """
    table = during(prom_scrape_age)
    known = prom_targets.assign(interval_s=pd.to_timedelta(prom_targets.interval.replace("", None)).dt.total_seconds())
    intervals = known.drop_duplicates(TARGET).set_index(TARGET).interval_s
    limit = (
        intervals.reindex(pd.MultiIndex.from_frame(table[TARGET])).mul(max_intervals).clip(lower=min_s).fillna(min_s)
    )
    holes = pd.concat([_late(table[table.age_s > limit.to_numpy()]), _absent(table)])
    rows = worst_of_each(holes, TARGET, "age_s")
    every = rows.groupby("instance").target.transform("size") == rows.instance.map(_counted(table))
    rows = rows.assign(scope=(rows.job + ": " + rows.target).mask(every, "all targets"), is_every_target=every)
    return rows.drop_duplicates(["instance", "scope"])


def _late(table: pd.DataFrame) -> pd.DataFrame:
    """The gap begins with the last scrape before it, and lasts at every step that shows it."""
    return pd.concat([table.assign(at=table["at"] - pd.to_timedelta(table.age_s, unit="s")), table])


def _absent(table: pd.DataFrame) -> pd.DataFrame:
    """Steps without a value between two others of the same target."""
    steps = table[["instance", "at"]].drop_duplicates()
    ends = table.groupby([*TARGET, "asked_at"], as_index=False)["at"].agg(["min", "max"])
    possible = ends.merge(_every_step(steps), on="instance")
    possible = possible[(possible["at"] > possible["min"]) & (possible["at"] < possible["max"])]
    missing = possible.merge(table[[*TARGET, "at"]], on=[*TARGET, "at"], how="left", indicator=True)
    return missing[missing._merge == "left_only"].assign(age_s=float("inf"))[[*TARGET, "asked_at", "at", "age_s"]]


MAX_STEPS = 100_000  # a query returns 11,000 at most


def _every_step(steps: pd.DataFrame) -> pd.DataFrame:
    """All steps between the first and the last, also those at which no target had a value."""
    rows = []
    for instance, moments in steps.groupby("instance")["at"]:
        known = moments.sort_values()
        step = known.diff().min()
        if len(known) > 1 and known.iloc[-1] - known.iloc[0] > MAX_STEPS * step:
            raise OverflowError(f"more than {MAX_STEPS:,} steps between the first and the last scrape")
        grid = pd.date_range(known.iloc[0], known.iloc[-1], freq=step) if len(known) > 1 else known
        rows.append(pd.DataFrame({"instance": instance, "at": grid}))
    return pd.concat(rows) if rows else steps


def _counted(table: pd.DataFrame) -> pd.Series:
    return table[TARGET].drop_duplicates().groupby("instance").size()


@check(
    section="10",
    severity="high",
    subject="prometheus/{instance}, {job}",
    because="job has no target any more; it had {targets} until {until:%H:%M:%S} UTC",
    at="until",
    guide=("C119", "C120"),
)
def no_job_loses_its_targets(prom_up, prom_targets):
    """Every job that had targets still has some.

    A changed relabelling, label or port name removes targets; a removed target does not appear as down.
    """
    last = prom_up.groupby(["instance", "job", "asked_at"], as_index=False).agg(
        targets=("target", "nunique"), until=("at", "max")
    )
    left = prom_targets[["instance", "job"]].drop_duplicates().assign(there=True)
    rows = last.merge(left, on=["instance", "job"], how="left")
    return rows[rows.there.isna()].drop(columns="there")


@check(
    section="10",
    severity="medium",
    subject="prometheus/{instance}, {job}: {target}",
    because="exporter failed to read its server {span}: series are missing, although the target is up",
    at="at",
    guide=("C121",),
)
def no_exporter_fails(prom_exporter_errors):
    """No exporter had an error when it read its server.

    It omits series that it could not read, and its scrape still succeeds (mixins of postgres_exporter and redis_exporter).
    """
    table = during(prom_exporter_errors)
    return worst_of_each(table[table.failed > 0], TARGET, "failed")


@check(
    section="10",
    severity="note",
    subject="prometheus/{instance}, {name}",
    because="metric has {series:number} series (limit {max_series:number})",
    guide=("C122",),
)
def no_metric_has_too_many_series(prom_cardinality, *, max_series=10_000):
    """No metric has more than {max_series:number} series.

    A label with the ID of a user, a request or a pod makes one series for each. 10,000: awesome-prometheus-alerts.
    """
    rows = prom_cardinality[(prom_cardinality.kind == "metric") & (prom_cardinality.series > max_series)]
    return rows.sort_values("series", ascending=False)


@check(
    section="10",
    severity="high",
    subject="prometheus/{instance}, {target}",
    because="Prometheus had {series:number} series at {worst_at:%H:%M:%S} UTC, otherwise {usual:number} (limit {max_growth:.1f}×);"
    " above the limit {span}",
    at="at",
    baseline=True,
    guide=("C121", "C122"),
)
def series_do_not_multiply(prom_head_series, *, max_growth=1.5, min_series=5_000):
    """Prometheus had at most {max_growth:.1f}× its usual number of series during the incident.

    Usual: the median of baseline and incident, so that a restart, which empties the memory, has no effect. Memory grows with the series,
    until Prometheus is OOM-killed. Both values are our own.
    """
    usual = prom_head_series.groupby(["instance", "target"]).series.transform("median")
    table = during(prom_head_series.assign(usual=usual))
    broken = table[(table.series > table.usual * max_growth) & (table.series - table.usual > min_series)]
    return worst_of_each(broken, ["instance", "target"], "series")

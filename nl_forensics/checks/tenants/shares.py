"""Rules about tenants that use more of a shared resource than their plan allows."""

import pandas as pd

from nl_forensics.checks.rows import usual
from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during
from nl_forensics.units import in_percent

KEY = ["instance", "tenant"]


@check(
    section="07",
    severity="high",
    note="usual_ratio > limit_ratio",  # then it is no news, and a matter of its plan
    subject="tenant {tenant}, {resource}",
    because="used {share_ratio:percent} of what all {tenants} tenants used, {before}; its plan {plan} allows {limit_ratio:percent}",
    baseline=False,
    guide=("C013", "C098"),
)
def no_tenant_uses_more_than_its_share(
    prom_tenant_use, k8s_tenants, *, min_tenants=3, min_cores=0.25, min_lines_per_s=20, min_database_per_s=0.25
):
    """No tenant uses a larger share of CPU, ingestion or database time than its plan allows.

    What one uses too much of, the others wait for. Shares by plan: `tenants.shares` in the platform file. Below {min_tenants:number}
    tenants, or below a quarter of a core, {min_lines_per_s:number} lines or 0.25 s of statements per second, a share says nothing: choices
    of ours.
    """
    limits = k8s_tenants[["tenant", "plan", "share_ratio"]].rename(columns={"share_ratio": "limit_ratio"})
    rows = during(prom_tenant_use).merge(limits.drop_duplicates("tenant"), on="tenant")
    least = rows.resource.map({"CPU": min_cores, "ingestion": min_lines_per_s, "database time": min_database_per_s})
    rows = rows[
        (rows.share_ratio > rows.limit_ratio).fillna(False) & (rows.tenants >= min_tenants) & (rows.used_per_s >= least)
    ]
    before = prom_tenant_use[prom_tenant_use.window == "baseline"]
    before = before[[*KEY, "resource", "share_ratio"]].rename(columns={"share_ratio": "usual_ratio"})
    rows = rows.merge(before, on=[*KEY, "resource"], how="left")
    return rows.assign(before=usual(rows.usual_ratio, in_percent)).sort_values("share_ratio", ascending=False)


@check(
    section="07",
    severity="medium",
    subject="{instance}: tenant {tenant}",
    because="its keys take {size:bytes}, {share_ratio:percent} of those of all tenants; its plan {plan} allows {limit_ratio:percent}",
    guide=("C013",),
)
def no_tenant_fills_redis(redis_tenant_keys, k8s_tenants, *, min_bytes=10_000_000):
    """No tenant's keys take a larger share of Redis than its plan allows.

    At its memory limit, Redis evicts or rejects keys of all tenants. Below {min_bytes:bytes} nothing is judged: a choice of ours.
    """
    who = k8s_tenants[["tenant", "id", "plan", "share_ratio"]].rename(columns={"share_ratio": "limit_ratio"})
    keys = redis_tenant_keys.rename(columns={"tenant": "key", "bytes": "size"})
    rows = keys[keys.by_number].merge(who, left_on="key", right_on="id")
    named = keys[~keys.by_number].merge(who, left_on="key", right_on="tenant")
    sums = keys.groupby("instance")["size"].sum().rename("all_bytes").reset_index()
    columns = ["instance", "asked_at", "tenant", "plan", "limit_ratio", "size"]
    rows = _together(rows[columns], named[columns]).merge(sums, on="instance")
    rows = rows.assign(share_ratio=rows["size"] / rows.all_bytes)
    return rows[(rows["size"] >= min_bytes) & (rows.share_ratio > rows.limit_ratio)].sort_values(
        "size", ascending=False
    )


def _together(rows: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Keys by number and by name, summed up by tenant."""
    return (
        pd.concat([rows, more])
        .groupby(["instance", "tenant", "plan"], as_index=False)
        .agg(limit_ratio=("limit_ratio", "first"), size=("size", "sum"), asked_at=("asked_at", "max"))
    )

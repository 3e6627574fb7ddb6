"""What tenants use of shared resources: CPU, ingestion, time in the database."""

import re
from collections.abc import Iterator
from math import ceil, isfinite

from nl_forensics.inputs.tenants import PLACE
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import Column

MOST = 200  # tenants, those that use most


@source(
    columns={
        "window": Column("str", "`incident` or `baseline`"),
        "resource": Column("str", "`CPU`, `ingestion` or `database time`"),
        "tenant": Column("str", "name of the tenant"),
        "used": Column(
            "float64", "amount used in the window: seconds of CPU, lines, seconds of waiting for statements"
        ),
        "used_per_s": Column("float64", "the same, averaged over the window: CPU cores, lines, seconds of waiting"),
        "used_by_all": Column("float64", "amount used by all tenants"),
        "tenants": Column("Int64", "number of tenants that used any of it"),
        "share_ratio": Column("float64", "part of it that this tenant used"),
    },
    covers="window",
    needs=Permission(prometheus="/api/v1/query"),
    about="tenants",
    guide=("C098",),
)
def prom_tenant_use(prometheus, incident, platform):
    """One row per window, resource and tenant, the 200 largest of each; sums are computed by Prometheus over the whole window.

    CPU and time in the database are those of the pods in the namespace of a tenant; ingestion is counted by the label `tenant`.
    """
    for name, window in (("incident", incident), ("baseline", incident.baseline)):
        if window:
            for resource, label, counter in _counters(platform):
                yield from _used(prometheus, platform, (name, window), (resource, label, counter))


def _counters(platform) -> Iterator[tuple[str, str, str]]:
    """(resource, label that names the tenant, its counter)."""
    names, selectors, metrics = platform.tenants, platform.selectors, platform.metrics
    if names.namespace:
        inside = re.escape(names.namespace).replace(re.escape(PLACE), ".+").replace("\\", "\\\\")
        own = f'namespace=~"{inside}"'
        yield "CPU", "namespace", f"container_cpu_usage_seconds_total{_all(selectors.get('kubelet'), own)}"
        if metrics.database_seconds:
            yield "database time", "namespace", f"{metrics.database_seconds}{_all(selectors.get('lines'), own)}"
    if metrics.lines_accepted:
        yield "ingestion", "tenant", f"{metrics.lines_accepted}{_all(selectors.get('lines'))}"


def _all(*matchers: str | None) -> str:
    return "{" + ",".join(filter(None, matchers)) + "}"


def _used(prometheus, platform, when: tuple, what: tuple[str, str, str]) -> Iterator:
    (name, window), (resource, label, counter) = when, what
    each = f"sum by ({label}) (increase({counter}[{ceil(window.seconds)}s])) > 0"
    answer = prometheus.instant(f"topk({MOST}, {each})", window.end)
    total = prometheus.instant(f"sum({each})", window.end)["result"]
    number = prometheus.instant(f"count({each})", window.end)["result"]
    for warning in answer["warnings"]:
        yield Partial(f"{name}: warning of Prometheus: {warning}", window=name)
    if not total:
        remedy = "scrape a target that exports this metric, or correct selectors and metrics in the platform file"
        yield Partial(f"{name}: {resource}: no series of {counter}", remedy, name)
        return
    yield Proof("Prometheus summed up what tenants used")
    used_by_all, tenants = float(total[0]["value"][1]), int(number[0]["value"][1])
    for found in answer["result"]:
        value = found["metric"].get(label, "")
        tenant = platform.tenants.tenant_of(value) if label == "namespace" else value
        used = float(found["value"][1])
        if tenant and isfinite(used):
            share = {
                "used": used,
                "used_per_s": used / window.seconds,
                "used_by_all": used_by_all,
                "share_ratio": used / used_by_all,
            }
            yield {"window": name, "resource": resource, "tenant": tenant, "tenants": tenants, **share}

"""Quotas and limit ranges of namespaces."""

from nl_forensics.sources import Permission, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.kubernetes.kinds import LIMIT_RANGES, QUOTAS
from nl_forensics.sources.kubernetes.reading import joined, listed, named, quantity
from nl_forensics.sources.kubernetes.workloads import NAMED

LIMITS = {
    "min": "smallest request",
    "max": "largest limit",
    "default_request": "request of a container that has none",
    "default_limit": "limit of a container that has none",
    "max_ratio": "largest ratio of limit to request",
}


@source(
    columns={
        **NAMED,
        "resource": Column("str", "`requests.memory`, `limits.cpu`, `pods`, …"),
        "used": Column(
            "float64", "amount in use: CPU cores, bytes or a number", unknown="its controller has not counted yet"
        ),
        "hard": Column("float64", "limit: CPU cores, bytes or a number"),
        "scopes": Column("str", "scopes that select pods; empty for all"),
    },
    covers="now",
    needs=Permission(kubernetes="list resourcequotas"),
    guide=("C086", "C090"),
)
def k8s_quotas(kubernetes, incident, platform):
    """One row per resource of each quota in scope."""
    found = yield from listed(kubernetes, QUOTAS, incident, platform)
    for one in found:
        used = (one.get("status") or {}).get("used") or {}
        for resource, hard in sorted((one["spec"].get("hard") or {}).items()):
            yield named(one) | {
                "resource": resource,
                "used": quantity(used.get(resource)),
                "hard": quantity(hard),
                "scopes": joined(one["spec"].get("scopes") or []),
            }


@source(
    columns={
        **NAMED,
        "type": Column("str", "`Container`, `Pod` or `PersistentVolumeClaim`"),
        "resource": Column("str", "`cpu`, `memory`, `storage`, …"),
        **{name: Column("float64", meaning, absent="it is not set") for name, meaning in LIMITS.items()},
    },
    covers="now",
    needs=Permission(kubernetes="list limitranges"),
)
def k8s_limit_ranges(kubernetes, incident, platform):
    """One row per type and resource of each limit range in scope."""
    keys = {
        "min": "min",
        "max": "max",
        "default_request": "defaultRequest",
        "default_limit": "default",
        "max_ratio": "maxLimitRequestRatio",
    }
    found = yield from listed(kubernetes, LIMIT_RANGES, incident, platform)
    for one in found:
        for limit in one["spec"].get("limits") or []:
            for resource in sorted({name for key in keys.values() for name in limit.get(key) or {}}):
                values = {column: quantity((limit.get(key) or {}).get(resource)) for column, key in keys.items()}
                yield named(one) | {"type": limit["type"], "resource": resource} | values

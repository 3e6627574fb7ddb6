"""How much a namespace may have."""

from nl_forensics.sources import Permission, source
from nl_forensics.sources.kubernetes.kinds import LIMIT_RANGES, QUOTAS
from nl_forensics.sources.kubernetes.reading import joined, listed, named, quantity
from nl_forensics.sources.kubernetes.workloads import NAMED


@source(
    columns={**NAMED, "resource": "str", "used": "float64", "hard": "float64", "scopes": "str"},
    nullable=("used",),
    covers="now",
    needs=Permission(kubernetes="list resourcequotas"),
    guide=("C086", "C090"),
)
def k8s_quotas(kubernetes, incident, platform):
    """One row per resource of each quota in scope.

    resource     `requests.memory`, `limits.cpu`, `pods`, …
    used, hard   cores, bytes or a number; used is null until the controller has counted
    """
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
        "type": "str",
        "resource": "str",
        **dict.fromkeys(("min", "max", "default_request", "default_limit", "max_ratio"), "float64"),
    },
    nullable=("min", "max", "default_request", "default_limit", "max_ratio"),
    covers="now",
    needs=Permission(kubernetes="list limitranges"),
)
def k8s_limit_ranges(kubernetes, incident, platform):
    """One row per type and resource of each limit range in scope.

    type       `Container`, `Pod` or `PersistentVolumeClaim`
    min, max, default_request, default_limit   cores or bytes, null when not set; max_ratio: of limit to request
    """
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

"""The API of Kubernetes: its health."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas, Cell
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import age_s, asked, listed, named
from nl_forensics.charts.style import HEALTHY, UNHEALTHY, UNKNOWN

STATE = "state"


@chart("Kubernetes API health")
def api_health(canvas: Canvas, k8s_api_checks, *, k8s_api_services, k8s_leases):
    """What the API server says of itself, which API groups have an available server, and which leases are renewed in time."""
    if k8s_api_checks.empty:
        return canvas.say("The API server reported no health check.")
    passed = k8s_api_checks["passed"].fillna(False)
    rows = {"API server checks": _count(passed, "pass")}
    rows |= {f"check {check}": Cell("fails", UNHEALTHY) for check in k8s_api_checks["check"][~passed]}
    if k8s_api_services is None:
        rows["API services"] = Cell(UNKNOWN, UNKNOWN)
    else:
        served = k8s_api_services["available"].fillna(True)
        rows["API services"] = _count(served, "served")
        rows |= {name: Cell("not served", UNHEALTHY) for name in k8s_api_services["name"][~served]}
    if k8s_leases is None:
        rows["leases"] = Cell(UNKNOWN, UNKNOWN)
    else:
        held = k8s_leases[(k8s_leases["holder"] != "") & k8s_leases["renewed_at"].notna()]
        late = age_s(held, "renewed_at") > 2 * held["duration_s"].astype("float64")
        rows["leases of nodes and control plane"] = _count(~late, "renewed in time")
        rows |= {name: Cell("not renewed", UNHEALTHY) for name in named(held, "namespace", "name")[late]}
    canvas.grid({name: {STATE: cell} for name, cell in rows.items()}, [STATE])
    return f"{listed((f'{name}: {cell.text}' for name, cell in rows.items()), 8)}; {asked(k8s_api_checks)}."


def _count(healthy: pd.Series, what: str) -> Cell:
    return Cell(f"{int(healthy.sum())} of {len(healthy)} {what}", HEALTHY if healthy.all() else UNHEALTHY)

"""What tenants reach of each other."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas, Cell
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, cut, listed, named
from nl_forensics.charts.style import HEALTHY, PLAIN, UNHEALTHY
from nl_forensics.charts.table import LONGEST_LINE, table
from nl_forensics.facts.tenants import Kind, Reach, TooMany, matrix

MAX_COLUMNS = 5
LONGEST_NAME = 63  # of an object of Kubernetes


@chart("Connections between tenants, by network policy")
def tenant_flows(canvas: Canvas, k8s_tenant_ends, k8s_policy_rules):
    """From each tenant (line) to each tenant (column); tenants that are alike but for their name share a line and a column."""
    try:
        found = matrix(k8s_tenant_ends, k8s_policy_rules)
    except TooMany as many:
        return canvas.say(
            f"Tenants differ in {many.number} ways: too many for a chart. Set a tenant in the parameters."
        )
    if tenant := canvas.incident.tenant:
        return _of_one(canvas, tenant, found) + f" {asked(k8s_tenant_ends)}."
    if not found:
        return canvas.say(f"There are no two tenants with a pod; {asked(k8s_tenant_ends)}.")
    open_ = [one for one in found if one.verdict.allowed]
    kinds = _in_order(found, open_)
    names = [(kind, name) for kind in kinds for name in _shown(kind, kinds)]
    columns = {f"to {name}": (kind, name) for kind, name in names[:MAX_COLUMNS]}
    by_pair = {(one.client.tenant, one.server.tenant): one for one in found}
    grid = {
        f"from {name}": {
            column: _cell(None if name == other and kind is server else by_pair.get((kind.tenant, server.tenant)))
            for column, (server, other) in columns.items()
        }
        for kind, name in names
    }
    canvas.grid(grid, list(columns))
    words = listed((_way(one) for one in open_), 3)
    tenants = sum(len(kind.tenants) for kind in kinds)
    closed = f"No pod of the {tenants} tenants can connect to a pod of another"
    return f"{words or closed}; {asked(k8s_tenant_ends)}. Whether the network plugin enforces policies is unknown."


def _way(one: Reach) -> str:
    """`globex can connect to acme (…): which rule allows it`."""
    what, why = cut(one.what, LONGEST_LINE), cut(one.verdict.why, LONGEST_LINE)
    return f"{_name(one.client)} can connect to {_name(one.server)} ({what}): {why}"


def _of_one(canvas: Canvas, tenant: str, found: list[Reach]) -> str:
    """From others to one tenant, and from it to others, without the names of others."""
    ways = {
        f"from others to {tenant}": [one for one in found if tenant in one.server.tenants],
        f"from {tenant} to others": [one for one in found if tenant in one.client.tenants],
    }
    grid = {way: {"connections": _cell(_worst(part))} for way, part in ways.items()}
    canvas.grid(grid, ["connections"])
    return listed(f"{way}: {cells['connections'].text}" for way, cells in grid.items()) + ";"


def _worst(found: list[Reach]) -> Reach | None:
    """One that is allowed, else any; None where there is none."""
    return next((one for one in found if one.verdict.allowed), found[0] if found else None)


def _in_order(found: list[Reach], open_: list[Reach]) -> list[Kind]:
    """Servers that are reached first."""
    reached = {one.server.tenant: one.server for one in open_}
    return list(
        (
            reached
            | {one.server.tenant: one.server for one in found}
            | {one.client.tenant: one.client for one in found}
        ).values()
    )


def _shown(kind: Kind, kinds: list[Kind]) -> list[str]:
    """Each tenant by its name where they are few."""
    few = sum(len(one.tenants) for one in kinds) <= MAX_COLUMNS
    return [cut(name, LONGEST_NAME) for name in kind.tenants] if few else [_name(kind)]


def _name(kind: Kind) -> str:
    more = len(kind.tenants) - 1
    return cut(kind.tenant, LONGEST_NAME) + (f" and {more:,} alike" if more else "")


def _cell(one: Reach | None) -> Cell:
    if one is None:
        return Cell("itself", PLAIN)
    return Cell("allowed", UNHEALTHY) if one.verdict.allowed else Cell("denied", HEALTHY)


@table("Tables with the rows of tenants", "No table has a column for the id of a tenant.")
def tenant_tables(pg_tenant_tables) -> pd.DataFrame:
    """Every table with a tenant column, the most open first: what keeps the rows of one tenant from the roles of others."""
    rows = pg_tenant_tables.sort_values(["readers", "orphans", "table"], ascending=[False, False, True], kind="stable")
    return pd.DataFrame(
        {
            "table": named(rows, "database", "schema", "table"),
            "column": rows["column"],
            "row-level security": rows["row_security"].map({True: "on", False: "off"}),
            "policies": rows["policies"],
            "roles of tenants": rows["tenant_roles"],
            "of these, may read all rows": rows["readers"],
            "deleted tenants with rows": rows["orphans"].astype("object").where(rows["orphans"].notna(), "not counted"),
        }
    )

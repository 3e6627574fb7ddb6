"""How far the provisioning of each tenant is, and what the operator says."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas, Cell
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, cut, listed, named
from nl_forensics.charts.style import HEALTHY, PLAIN, UNHEALTHY, UNKNOWN
from nl_forensics.charts.table import LONGEST_LINE, table

LONGEST_NAME = 63  # of an object of Kubernetes
DONE, MISSING, NOT_READY, LATER = "done", "missing", "not ready", "not reached"


@chart("Provisioning of tenants, step by step")
def tenant_steps(canvas: Canvas, k8s_tenant_steps):
    """One line per tenant, those that are not finished on top: the first step without a result is where it stopped."""
    if k8s_tenant_steps.empty:
        return canvas.say("There is no tenant to be provisioned.")
    names = [cut(name, LONGEST_NAME) for name in named(k8s_tenant_steps, "tenant")]
    rows = k8s_tenant_steps.assign(name=names, step=[cut(step, LONGEST_NAME) for step in k8s_tenant_steps["step"]])
    rows = rows.sort_values("number", kind="stable")
    steps = list(rows["step"].drop_duplicates())
    stopped = rows[~rows["done"].fillna(True)].drop_duplicates("name")
    first = stopped.set_index("name")["number"]
    order = [*first.index, *sorted(set(rows["name"]) - set(first.index))]
    parts = dict(iter(rows.groupby("name", sort=False)))
    grid = {name: {step: _cell(parts[name], step, first.get(name)) for step in steps} for name in order}
    canvas.grid(grid, steps, "every tenant that is provisioned")
    words = listed((f"{row['name']} stopped at {row['step']}: {_object(row)}" for row in stopped.to_dict("records")), 5)
    return f"{words or f'All {len(grid)} tenants are provisioned'}; {asked(rows)}."


def _cell(rows: pd.DataFrame, step: str, stopped_at: float | None) -> Cell:
    mine = rows[rows["step"] == step]
    if mine["done"].isna().any():
        return Cell("not seen", UNKNOWN)
    if mine["done"].all():
        return Cell(DONE, HEALTHY)
    if stopped_at is not None and mine["number"].min() > stopped_at and not mine["exists"].any():
        return Cell(LATER, PLAIN)
    open_ = mine[~mine["done"].astype(bool)].iloc[0]
    return Cell(NOT_READY if open_["exists"] else MISSING, UNHEALTHY)


def _object(row: dict) -> str:
    what = cut(f"{row['kind']} {row['object']}".strip(), LONGEST_NAME)
    return f"{what}: {cut(row['why'], 80)}" if row["exists"] else f"{what} is missing"


@table("What the operator reports", "No warning and no error was logged by the operator.")
def operator_errors(k8s_operator_log) -> pd.DataFrame:
    """Warnings and errors of the operator by tenant and message, the newest first."""
    rows = k8s_operator_log.sort_values("at", ascending=False, kind="stable")
    rows = rows.assign(said=[cut(words, LONGEST_LINE) for words in rows["message"]])
    grouped = rows.groupby(["tenant", "said"], sort=False)["at"].agg(["size", "min", "max"]).reset_index()
    return pd.DataFrame(
        {
            "tenant": grouped["tenant"].replace("", "(none named)"),
            "lines": grouped["size"],
            "first, UTC": grouped["min"].dt.strftime("%Y-%m-%d %H:%M:%S"),
            "last, UTC": grouped["max"].dt.strftime("%Y-%m-%d %H:%M:%S"),
            "message": grouped["said"],
        }
    ).head(50)

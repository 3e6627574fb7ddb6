"""Rights: what service accounts may do and by which binding, what was denied, and what was changed."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas, Cell
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, cut, listed, moment, named
from nl_forensics.charts.style import HEALTHY, PLAIN, UNHEALTHY
from nl_forensics.charts.table import LONGEST_LINE, table
from nl_forensics.facts.kubernetes.denials import asked_by, denials, explained
from nl_forensics.facts.kubernetes.powers import POWERS, powers_of
from nl_forensics.facts.kubernetes.rbac import Access, Binding

MAX_ROWS = 25
EVERYWHERE = "in the whole cluster"
# Headings of the powers, in their order; what is rarer than the others is shown together.
HEADINGS = {
    "do anything": "all rights",
    "read secrets": "secrets",
    "run commands in pods": "commands in pods",
    "create pods": "create pods",
    "issue tokens of service accounts": "tokens",
}
OTHERS = "others"
COLUMNS = [*HEADINGS.values(), OTHERS]
REQUEST = ["instance", "user", "verb", "resource", "group", "namespace", "url"]


def _of_accounts(k8s_bindings: pd.DataFrame) -> pd.DataFrame:
    """The bindings of service accounts that Kubernetes itself did not make, with the account in words."""
    rows = k8s_bindings[(k8s_bindings["subject_kind"] == "ServiceAccount") & ~k8s_bindings["built_in"]]
    return rows.assign(account=named(rows, "subject_namespace", "subject"))


def _access(k8s_role_rules: pd.DataFrame, k8s_bindings: pd.DataFrame) -> dict[str, Access]:
    return {one: Access.of(k8s_role_rules, k8s_bindings, one) for one in k8s_bindings["instance"].unique()}


def _binding(row) -> Binding:
    return Binding(*(getattr(row, name) for name in Binding._fields))


@chart("Powerful rights of service accounts")
def account_rights(canvas: Canvas, k8s_role_rules, k8s_bindings):
    """One line per service account that a binding names, the most powerful on top: rights that lead to others, and where it has them."""
    rows, access = _of_accounts(k8s_bindings), _access(k8s_role_rules, k8s_bindings)
    if rows.empty:
        return canvas.say(f"No binding names a service account, {asked(k8s_bindings)}.")
    found: dict[str, dict[str, Cell]] = {str(name): {} for name in rows["account"].unique()}
    for row in rows.itertuples():
        where = "whole cluster" if row.kind == "ClusterRoleBinding" else "one namespace"
        state = PLAIN if row.is_administrator else UNHEALTHY
        for power in powers_of(access[row.instance].roles.get(_binding(row).of_role, [])):
            heading, cells = HEADINGS.get(power.means, OTHERS), found[row.account]
            if cells.get(heading, Cell("")).text != "whole cluster":
                cells[heading] = Cell(where, state)
    weight = {
        name: [sum(c.state == s for c in cells.values()) for s in (UNHEALTHY, PLAIN)] for name, cells in found.items()
    }
    order = sorted(found, key=lambda name: ([-number for number in weight[name]], name))
    grid = {name: {heading: found[name].get(heading, Cell("no", HEALTHY)) for heading in COLUMNS} for name in order}
    canvas.grid(grid, COLUMNS)
    return f"{listed((f'{name}: {_described(found[name])}' for name in order), 5)}; {asked(k8s_bindings)}."


def _described(cells: dict[str, Cell]) -> str:
    excepted = " (an administrator)" if any(cell.state == PLAIN for cell in cells.values()) else ""
    return (
        ", ".join(f"{heading} in {cell.text}" for heading, cell in cells.items()) or "none of these rights"
    ) + excepted


@table("Rights of service accounts, and the binding of each", "No binding names a service account.")
def account_bindings(k8s_role_rules, k8s_bindings) -> pd.DataFrame:
    """Every binding of a service account that Kubernetes itself did not make, those with powerful rights first, administrators last."""
    rows, access = _of_accounts(k8s_bindings), _access(k8s_role_rules, k8s_bindings)
    rules = [access[row.instance].roles.get(_binding(row).of_role, []) for row in rows.itertuples()]
    powers = [powers_of(one) for one in rules]
    rank = [min([POWERS.index(power) for power in one], default=len(POWERS)) for one in powers]
    rows = rows.assign(
        allowed=["; ".join(rule.shown for rule in one if rule.verbs) or "nothing" for one in rules],
        rank=rank,
        place=rows["namespace"].replace("", EVERYWHERE),
    )
    rows = rows.sort_values(["is_administrator", "rank", "account", "name"], kind="stable").head(MAX_ROWS)
    missing = rows["role_exists"].map({True: "", False: " (does not exist)"}).fillna(" (not known to exist)")
    return pd.DataFrame(
        {
            "service account": rows["account"],
            "where": rows["place"],
            "binding": rows["kind"] + " " + rows["name"],
            "role": rows["role_kind"] + " " + rows["role"] + missing,
            "allows": [cut(words, LONGEST_LINE) for words in rows["allowed"]],
        }
    )


@table("Requests that the API server denied", "No log line and no event reports a denied request.")
def denied_requests(k8s_unhealthy_logs, k8s_logs, k8s_events, k8s_role_rules, k8s_bindings) -> pd.DataFrame:
    """Every denied request that a program or an event reports, and what its identity lacks for it."""
    rows = denials(k8s_unhealthy_logs, k8s_logs, k8s_events)
    access = {one: Access.of(k8s_role_rules, k8s_bindings, one) for one in rows["instance"].unique()}
    rows = rows.groupby(REQUEST, as_index=False, sort=False).agg(
        reports=("said", "size"), place=("place", "first"), first_at=("at", "min"), last_at=("at", "max")
    )
    rows = rows.sort_values("reports", ascending=False, kind="stable").head(MAX_ROWS)
    pairs = [asked_by(row) for row in rows.itertuples()]
    return pd.DataFrame(
        {
            "identity": [cut(who.shown, LONGEST_LINE) for who, _ in pairs],
            "denied to": [cut(request.shown, LONGEST_LINE) for _, request in pairs],
            "reports": rows["reports"],
            "reported by": rows["place"],
            "from, UTC": rows["first_at"].dt.strftime("%H:%M:%S"),
            "to, UTC": rows["last_at"].dt.strftime("%H:%M:%S"),
            "missing": [cut(words, LONGEST_LINE) for words in explained(rows, access)],
        }
    )


@table(
    "Latest changes of roles and bindings",
    "No role and no binding was written by a program other than Kubernetes itself.",
)
def access_changes(k8s_role_rules, k8s_bindings) -> pd.DataFrame:
    """The last write to each role and binding that Kubernetes itself did not make, newest first."""
    columns = ["instance", "kind", "namespace", "name", "created_at", "changed_at", "changed_by", "built_in"]
    rows = pd.concat([k8s_role_rules[columns], k8s_bindings[columns]], ignore_index=True)
    rows = rows[~rows["built_in"] & rows["changed_at"].notna()].drop_duplicates(columns[:4])
    rows = rows.sort_values(["changed_at", "kind", "name"], ascending=[False, True, True], kind="stable").head(MAX_ROWS)
    is_new = rows["changed_at"] == rows["created_at"]
    return pd.DataFrame(
        {
            "object": rows["kind"] + " " + named(rows, "namespace", "name"),
            "written, UTC": rows["changed_at"].map(moment),
            "by": rows["changed_by"],
            "as": is_new.map({True: "created", False: "changed"}),
        }
    )

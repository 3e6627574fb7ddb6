"""The network: what policies and ingresses let pass."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas, Cell
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, cut, listed, named
from nl_forensics.charts.style import HEALTHY, UNHEALTHY
from nl_forensics.charts.table import LONGEST_LINE, table
from nl_forensics.facts.network_policy import Ruling, judged

SENT, RECEIVED = "egress of the client", "ingress of the server"


@chart("Required connections vs. network policies")
def needed_flows(canvas: Canvas, k8s_flows, k8s_policy_rules):
    """One line per connection that the platform needs, blocked ones on top: what policies say at both ends, over all pairs of pods."""
    if k8s_flows.empty:
        return canvas.say("No connection that the platform needs has both of its ends.")
    verdicts = judged(k8s_flows, k8s_policy_rules)
    flows = k8s_flows.assign(flow=k8s_flows["flow"].map(_without_their_namespace))
    rows = flows.assign(name=named(flows, "flow"), verdict=verdicts, allowed=[one.allowed for one in verdicts])
    rows = rows.sort_values("allowed", kind="stable")
    grid = {
        str(name): {SENT: _field(part, "egress"), RECEIVED: _field(part, "ingress")}
        for name, part in rows.groupby("name", sort=False)
    }
    canvas.grid(grid, [SENT, RECEIVED], "allowed")
    blocked = rows[~rows["allowed"]].drop_duplicates("name")
    why = (f"{row['name']} is blocked: {row['verdict'].why}" for row in blocked.to_dict("records"))
    words = listed(why) or f"All {len(grid)} required connections are allowed"
    return f"{words}; {asked(rows)}. Whether the network plugin enforces policies is unknown."


def _without_their_namespace(flow: str) -> str:
    """`api-gateway → auth-service:8080` where both are in the same one."""
    client, _, service = flow.partition(" → ")
    (space, _, name), (other, _, target) = client.partition("/"), service.partition("/")
    return f"{name} → {target if space == other else service}"


def _field(rows: pd.DataFrame, direction: str) -> Cell:
    rulings: list[Ruling] = [getattr(one, direction) for one in rows["verdict"]]
    against = sum(not one.allowed for one in rulings)
    if against:
        return Cell(f"{against} of {len(rulings)} blocked", UNHEALTHY)
    return Cell(
        "no policy" if all(one.why.startswith("no policy") for one in rulings) else "allowed by a rule", HEALTHY
    )


@table("Network policies", "No network policy: every pod may connect to every other pod.")
def policy_rules(k8s_policy_rules) -> pd.DataFrame:
    """Every policy and direction: which pods it limits, and what it lets pass, as the API has it."""
    rows = k8s_policy_rules.sort_values(["namespace", "name", "direction"], kind="stable")
    return pd.DataFrame(
        {
            "policy": named(rows, "namespace", "name"),
            "limits": rows["direction"].map({"ingress": "what comes in", "egress": "what goes out"}),
            "of pods": rows["selector"].mask(rows["selector"] == "{}", "all of the namespace"),
            "lets pass": [cut(words, LONGEST_LINE) for words in rows["rules"].mask(rows["rules"] == "[]", "nothing")],
            "since, UTC": rows["created_at"].dt.strftime("%Y-%m-%d %H:%M:%S"),
        }
    )


@table("Ingress rules", "No ingress.")
def ingress_rules(k8s_ingresses) -> pd.DataFrame:
    """Every rule of every ingress."""
    rows = k8s_ingresses.sort_values(["namespace", "name", "host", "path"], kind="stable")
    return pd.DataFrame(
        {
            "ingress": named(rows, "namespace", "name"),
            "class": rows["class_name"].replace("", "(the default)"),
            "host and path": rows["host"] + rows["path"],
            "service": rows["service"] + ":" + rows["port"],
            "certificate": rows["certificate"].replace("", "none"),
            "address": rows["address"].replace("", "none yet"),
        }
    )

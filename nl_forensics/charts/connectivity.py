"""The way of a request: how long each hop takes, which certificate is served, and whether network policies let it pass."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas, Cell
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, moment, named
from nl_forensics.charts.style import HEALTHY, UNHEALTHY
from nl_forensics.charts.units import MILLISECONDS, PERCENT, SECONDS
from nl_forensics.facts.network_policy import Ruling, judged

HOPS = {"dns": "name", "tcp": "connection", "tls": "TLS", "http": "answer"}
SENT, RECEIVED = "what it sends", "what the other receives"


@chart("Request time by hop")
def hop_times(canvas: Canvas, probe_hops):
    """Median time of each hop to each address, measured from this machine. A failed hop is named at the end of its bar."""
    if probe_hops.empty:
        return canvas.say("No address was asked.")
    rows = probe_hops.assign(name=named(probe_hops, "url"))
    ways = [_way(str(name), part) for name, part in rows.groupby("name", sort=False)]
    canvas.bars(
        [bar for bar, _ in ways], MILLISECONDS, f"of each hop, {asked(rows)}", kinds=[*HOPS.values()], above=True
    )
    return f"{listed(f'{bar.name}: {words}' for bar, words in ways)}; from {rows['asked_from'].iloc[0]}, {asked(rows)}."


def _way(name: str, rows: pd.DataFrame) -> tuple[Bar, str]:
    """The bar of one address, and in words all of its hops."""
    median = rows.groupby("hop")["took_ms"].median()
    parts = {word: float(median[hop]) for hop, word in HOPS.items() if hop in median}
    words, short = ", ".join(f"{word} {MILLISECONDS.words(took)}" for word, took in parts.items()), "each hop was done"
    failed = rows[~rows["answered"]]
    if len(failed):
        first, times = failed.iloc[0], f"{failed['attempt'].nunique()} of {rows['attempt'].nunique()} times"
        short = f"{HOPS[first['hop']]} failed {times}: {first['why']}"
        words += f"; {short}"
    return Bar(name, parts, short), words


@chart("Served certificates and their expiry")
def certificates_served(canvas: Canvas, probe_certificates):
    """Share of its lifetime that is left of each served certificate, and what a client that verifies says of it. The nearest end first."""
    if probe_certificates.empty:
        return canvas.say("No address serves a certificate.")
    rows = probe_certificates.assign(name=named(probe_certificates, "url")).sort_values("not_after")
    bars = [_left(row) for row in rows.to_dict("records")]
    canvas.bars(bars, PERCENT, f"of its lifetime is left, {asked(rows)}", above=True)
    words = (
        f"{bar.name}: {bar.text}, {_described(row)}" for bar, row in zip(bars, rows.to_dict("records"), strict=True)
    )
    return f"{listed(words)}; from {rows['asked_from'].iloc[0]}, {asked(rows)}."


def _left(row: dict) -> Bar:
    left_s = (row["not_after"] - row["asked_at"]).total_seconds()
    life_s = (row["not_after"] - row["not_before"]).total_seconds()
    ends = f"expires in {SECONDS.words(left_s)}" if left_s > 0 else f"expired {SECONDS.words(-left_s)} ago"
    return Bar(
        row["name"],
        {"": min(1.0, max(0.0, left_s / life_s))},
        f"{ends}, {'accepted' if row['accepted'] else 'refused'}",
    )


def _described(row: dict) -> str:
    objection = "" if row["accepted"] else f"; {row['why_not']}"
    return (
        f"until {moment(row['not_after'])}, for {row['names'] or row['subject']}, leads to {row['issuer']}{objection}"
    )


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
    canvas.grid(grid, [SENT, RECEIVED])
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

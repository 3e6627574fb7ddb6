"""Nodes: conditions and free capacity."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, moment, named
from nl_forensics.charts.units import BYTES, NUMBER, PERCENT

ROOM = {  # requested, allocatable, label
    "CPU": ("requested_cpu_cores", "allocatable_cpu_cores", "{:.1f} cores"),
    "memory": ("requested_memory_bytes", "allocatable_memory_bytes", ""),
    "pods": ("pods", "allocatable_pods", "{:.0f} pods"),
}
READY, NOT_READY, SILENT, PRESSED = "ready", "not ready", "no longer reports", "under pressure"
STATES = {
    READY: ("#7fbf9b", ""),
    PRESSED: ("#E69F00", "////"),
    NOT_READY: ("#a3140f", "xxx"),
    SILENT: ("#5a6672", "...."),
}
PRESSURES = {"memory_pressure": "memory", "disk_pressure": "disk", "pid_pressure": "process ids"}


@chart("Requested vs. allocatable capacity of the nodes")
def node_room(canvas: Canvas, k8s_nodes):
    """What pods request of each node, used or not, against what it has: a new pod gets a place only in what is left. The fullest first."""
    rows = k8s_nodes[k8s_nodes["requested_cpu_cores"].notna()]
    if rows.empty:
        return canvas.say("What the pods request of the nodes is not known.")
    rows = rows.assign(node=named(rows, "name"))
    bars = [_room(row, of) for row in rows.to_dict("records") for of in ROOM]
    bars.sort(key=lambda bar: -bar.parts[""])
    canvas.bars(bars, PERCENT, f"share requested, {asked(rows)}", "allocatable", small=0.5)
    return f"{listed(f'{bar.name} {bar.text}' for bar in bars)}. Most room: {_most_room(rows)}; {asked(rows)}."


def _room(row: dict, of: str) -> Bar:
    requested, there_is, words = ROOM[of]
    has, asked_for = float(row[there_is]), float(row[requested])
    free = _amount(words, max(0.0, has - asked_for))
    ratio = asked_for / has if has else 1.0
    closed = ", takes no new pods" if row["unschedulable"] else ""
    return Bar(
        f"{row['node']} · {of}",
        {"": ratio},
        f"{PERCENT.words(ratio)}: {free} of {_amount(words, has)} left{closed}",
        1.0,
    )


def _amount(words: str, value: float) -> str:
    return words.format(value) if words else BYTES.words(value)


def _most_room(rows: pd.DataFrame) -> str:
    """The largest request that a ready node could still take, of each kind."""
    usable = rows[rows["ready"].fillna(False) & ~rows["unschedulable"]]
    if usable.empty:
        return "no node takes pods"
    largest = []
    for of in ("CPU", "memory"):
        requested, there_is, words = ROOM[of]
        free = (usable[there_is] - usable[requested]).astype("float64")
        largest.append(f"{_amount(words, free.max())} of {of} on {usable.loc[free.idxmax(), 'node']}")
    return ", ".join(largest)


@chart("Node conditions")
def node_conditions(canvas: Canvas, k8s_nodes):
    """The state of each node, since it last changed; nothing is drawn before that, as it is not kept. The worst first."""
    if k8s_nodes.empty:
        return canvas.say(f"There is no node, {asked(k8s_nodes)}.")
    rows = k8s_nodes.assign(state=_states(k8s_nodes), node=named(k8s_nodes, "name"))
    rows = rows.assign(rank=rows["state"].map(list(STATES).index), since_at=rows["ready_at"].fillna(rows["asked_at"]))
    rows = rows.sort_values(["rank", "node"], ascending=[False, True])
    canvas.bands({row.node: _periods(row) for row in rows.itertuples(index=False)}, STATES, READY)
    unhealthy = rows[rows["state"] != READY]
    cordoned = rows[rows["unschedulable"]]["node"]
    words = listed((_describe(row) for row in unhealthy.itertuples(index=False)), 6) or "no node is unhealthy"
    closed = f" Cordoned, so that they take no new pods: {listed(cordoned)}." if len(cordoned) else ""
    return f"{NUMBER.words(len(rows) - len(unhealthy))} of {len(rows)} nodes are ready without pressure; {words}; {asked(rows)}.{closed}"


def _states(rows: pd.DataFrame) -> pd.Series:
    pressed = rows[list(PRESSURES)].fillna(False).any(axis=1)
    state = pd.Series(READY, rows.index).mask(pressed, PRESSED)
    return state.mask(~rows["ready"].fillna(True), NOT_READY).mask(rows["ready"].isna(), SILENT)


def _periods(row) -> pd.DataFrame:
    """Ready, and within that the pressure that lasts."""
    whole = [(row.since_at, READY if row.state == PRESSED else row.state)]
    pressed = [(getattr(row, f"{name}_at"), PRESSED) for name in PRESSURES if getattr(row, name) is True]
    found = [(begin, row.asked_at, state) for begin, state in [*whole, *pressed] if pd.notna(begin)]
    return pd.DataFrame(found, columns=["begin", "end", "state"])


def _describe(row) -> str:
    of = [words for name, words in PRESSURES.items() if getattr(row, name) is True]
    why = f"{row.state} of {', '.join(of)}" if row.state == PRESSED else f"{row.state} ({row.ready_reason})"
    return f"{row.node}: {why} since {moment(row.since_at if row.state != PRESSED else _periods(row)['begin'].max())}"

"""PostgreSQL: who is connected, who waits, and for what."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Face
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import age_s, asked, listed, named
from nl_forensics.charts.units import NUMBER, PERCENT, SECONDS

CONNECTION = "client backend"
STATES = ("active", "idle in transaction", "idle in transaction (aborted)", "idle")  # others come after these
RESERVED = ("superuser_reserved_connections", "reserved_connections")
HOLDS, WAITS = "age of the transaction in front", "has waited"
UNSEEN_STATE = "state not seen"
MOST_ROWS = 14


def _counts(rows: pd.DataFrame) -> dict[str, float]:
    """Sessions by state, those that matter first, so that every bar is stacked in the same order."""
    counts = rows["state"].fillna(UNSEEN_STATE).value_counts()
    order = [*STATES, *sorted(set(counts.index) - set(STATES))]
    return {state: float(counts.get(state, 0)) for state in order if counts.get(state, 0)}


def usable_slots(pg_settings: pd.DataFrame) -> pd.Series:
    """Connections that an ordinary role can open, by instance."""
    values = pg_settings.assign(setting=pd.to_numeric(pg_settings["setting"], errors="coerce"))
    table = values.pivot_table(index="instance", columns="name", values="setting")
    table = table.reindex(columns=["max_connections", *RESERVED])
    return (table["max_connections"] - table[list(RESERVED)].fillna(0).sum(axis=1)).dropna()


@chart("How many connections are open, and how many slots are left?")
def connections_by_state(face: Face, pg_activity, pg_settings):
    """Connections of each server by state, stacked, against the slots that ordinary roles can use. Superusers' reserve is left out."""
    clients, usable = pg_activity[pg_activity["backend_type"] == CONNECTION], usable_slots(pg_settings)
    bars = []
    for instance, slots in usable.items():
        counts = _counts(clients[clients["instance"] == instance])
        open_now, least = sum(counts.values()), "at least " if face.partial else ""
        text = f"{least}{open_now:.0f} of {slots:.0f}, {PERCENT.words(open_now / slots)}"
        bars.append(Bar(instance, counts, text, slots))
    face.bars(bars, NUMBER, f"connections, {asked(pg_activity)}", "slots that can be used", STATES)
    told = (
        f"{bar.name}: {bar.text} usable slots ({', '.join(f'{n:.0f} {state}' for state, n in bar.parts.items()) or 'none open'})"
        for bar in bars
    )
    return f"{listed(told)}, {asked(pg_activity)}."


@chart("Who holds the connections?")
def connections_by_application(face: Face, pg_activity):
    """Connections by role and application, stacked by state, most first."""
    clients = pg_activity[pg_activity["backend_type"] == CONNECTION]
    if clients.empty:
        return face.say(f"Nobody but us was connected, {asked(pg_activity)}.")
    holders = clients.assign(holder=named(clients, "role", "application")).groupby("holder", sort=False)
    bars = [Bar(str(holder), _counts(rows), f"{len(rows)}") for holder, rows in holders]
    bars.sort(key=lambda bar: (-sum(bar.parts.values()), bar.name))
    face.bars(bars[:MOST_ROWS], NUMBER, f"connections, {asked(pg_activity)}", kinds=STATES)
    return f"Most connections: {listed(f'{bar.name} has {bar.text}' for bar in bars)}, {asked(pg_activity)}."


@chart("Who waits for a connection of the pooler?")
def pool_clients(face: Face, pgbouncer_pools):
    """Clients of each pool that are served and that wait, at the look at which most waited."""
    if pgbouncer_pools.empty:
        return face.say(f"The pooler has no pool in use, {asked(pgbouncer_pools)}.")
    rows = pgbouncer_pools.assign(name=named(pgbouncer_pools, "database", "role"))
    worst = rows.sort_values(["waiting_clients", "longest_wait_s"], ascending=False, kind="stable").drop_duplicates(
        "name"
    )
    bars = [
        Bar(row.name, {"served": float(row.active_clients), "waiting": float(row.waiting_clients)}, _pool(row))
        for row in worst.itertuples(index=False)
    ]
    face.bars(bars[:MOST_ROWS], NUMBER, f"clients, {asked(rows)}", kinds=("served", "waiting"))
    return f"{listed(f'{bar.name}: {bar.text}' for bar in bars)}; {asked(rows)}."


def _pool(row) -> str:
    waits = (
        f"{row.waiting_clients} wait, up to {SECONDS.words(row.longest_wait_s)}"
        if row.waiting_clients
        else "nobody waits"
    )
    servers = row.active_servers + row.idle_servers + row.used_servers
    return f"{waits}; {row.active_servers} of {servers} connections are in use"


@chart("Which transactions have been open longest?")
def open_transactions(face: Face, pg_activity):
    """Age of every open transaction, by what its session does now. PostgreSQL's own workers are left out."""
    rows = pg_activity[pg_activity["xact_start"].notna() & (pg_activity["backend_type"] == CONNECTION)]
    if rows.empty:
        return face.say(f"No transaction was open, {asked(pg_activity)}.")
    rows = rows.assign(age_s=age_s(rows, "xact_start").clip(lower=0), name=named(rows, "pid", "application"))
    rows = rows.sort_values(["age_s", "pid"], ascending=[False, True])
    bars = [
        Bar(row.name, {_state(row.state): row.age_s}, f"{SECONDS.words(row.age_s)}, {row.query}")
        for row in rows.itertuples(index=False)
    ]
    face.bars(bars[:MOST_ROWS], SECONDS, f"age of the transaction, {asked(pg_activity)}", kinds=STATES)
    worst = listed(f"{bar.name} {next(iter(bar.parts))}, {SECONDS.words(sum(bar.parts.values()))}" for bar in bars)
    return f"{len(bars)} open transactions, oldest first: {worst}; {asked(pg_activity)}."


def _state(state) -> str:
    return UNSEEN_STATE if pd.isna(state) else str(state)


@chart("Who waits for whose lock, and how long?")
def lock_tree(face: Face, pg_blocking):
    """The lock tree: each chain begins with the session that waits for nobody; who waits for it stands indented below."""
    if pg_blocking.empty:
        return face.say("No session waited for a lock at the moment of asking.")
    rows = pg_blocking.assign(waits_s=age_s(pg_blocking, "waiting_since").clip(lower=0))
    bars, told = [], []
    for (_, root), chain in _longest_first(rows):
        first = chain.iloc[0]
        bars.append(_root_bar(root, first))
        bars += _below(chain, root, 1)
        longest = SECONDS.words(chain["waits_s"].max())
        told.append(
            f"{len(chain)} sessions wait for {_process(root, first['root_application'])} "
            f"({_state(first['root_state'])}), the longest for {longest}"
        )
    face.bars(bars, SECONDS, asked(pg_blocking), kinds=(HOLDS, WAITS))
    return f"{listed(told)}; {asked(pg_blocking)}."


def _longest_first(rows: pd.DataFrame) -> list:
    chains = rows.groupby(["instance", "root_pid"], sort=True)
    return sorted(chains, key=lambda chain: -chain[1]["waits_s"].max())


def _root_bar(root: int, first: pd.Series) -> Bar:
    opened = first["asked_at"] - first["root_xact_start"]
    age = 0.0 if pd.isna(opened) else max(0.0, opened.total_seconds())
    text = f"{_state(first['root_state'])}, {SECONDS.words(age)}: {first['root_query']}"
    return Bar(_process(root, first["root_application"]), {HOLDS: age}, text)


def _below(chain: pd.DataFrame, pid: int, depth: int) -> list[Bar]:
    """Those who wait directly for one session, each followed by those who wait for it."""
    bars = []
    waiting = chain[(chain["blocked_by_pid"] == pid) & (chain["depth"] == depth)]
    for row in waiting.sort_values(["waits_s", "pid"], ascending=[False, True]).itertuples():
        indent = "    " * (depth - 1) + "└ "
        name = indent + _process(row.pid, row.application)
        bars.append(Bar(name, {WAITS: row.waits_s}, f"{SECONDS.words(row.waits_s)}, {row.query}"))
        bars += _below(chain, row.pid, depth + 1)
    return bars


def _process(pid: int, application: str) -> str:
    return f"{pid} {application}".strip() if pid else "prepared transaction"


@chart("What do active sessions wait for?")
def wait_profile(face: Face, pg_wait_samples):
    """Share of active sessions by wait event, over ten looks. Not waiting means: running, or about to."""
    if pg_wait_samples.empty:
        return face.say("No session was active in any of the looks.")
    kind = pg_wait_samples["wait_event_type"].fillna("not waiting")
    event = pg_wait_samples["wait_event"].fillna("")
    rows = pg_wait_samples.assign(wait=(kind + " " + event).str.strip())
    sessions = rows.groupby(named(rows, "wait"))["sessions"].sum().sort_values(ascending=False, kind="stable")
    shares = sessions / sessions.sum()
    bars = [Bar(str(wait), {"share": float(share)}, PERCENT.words(share)) for wait, share in shares.items()]
    face.bars(bars[:MOST_ROWS], PERCENT, f"share of the active sessions, {asked(rows)}")
    return f"{listed(f'{bar.name} {bar.text}' for bar in bars)} of the active sessions over ten looks, {asked(rows)}."

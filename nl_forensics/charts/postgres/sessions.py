"""PostgreSQL: connections, open transactions, locks and waits."""

import pandas as pd

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import age_s, asked, listed, named
from nl_forensics.charts.series import drawn_lines, limit_level
from nl_forensics.charts.units import NUMBER, PERCENT, SECONDS
from nl_forensics.checks.postgres.labels import clients, usable_connections

STATES = ("active", "idle in transaction", "idle in transaction (aborted)", "idle")  # others come after these
BLOCKS, WAITS = "age of the blocking transaction", "waiting time"
UNKNOWN_STATE = "unknown state"
MAX_ROWS = 14


def _counts(rows: pd.DataFrame) -> dict[str, float]:
    """Sessions by state, the important ones first, so that every bar is stacked in the same order."""
    counts = rows["state"].fillna(UNKNOWN_STATE).value_counts()
    order = [*STATES, *sorted(set(counts.index) - set(STATES))]
    return {state: float(counts.get(state, 0)) for state in order if counts.get(state, 0)}


@chart("Connections vs. usable max_connections")
def connections_by_state(canvas: Canvas, pg_activity, pg_settings):
    """Connections of each server by state, stacked, against max_connections without the connections reserved for superusers."""
    sessions, usable = clients(pg_activity), usable_connections(pg_settings).dropna()
    bars = []
    for instance, limit in usable.items():
        counts = _counts(sessions[sessions["instance"] == instance])
        open_now, least = sum(counts.values()), "at least " if canvas.partial else ""
        text = f"{least}{open_now:.0f} of {limit:.0f} usable, {PERCENT.words(open_now / limit)}"
        bars.append(Bar(instance, counts, text, limit))
    canvas.bars(bars, NUMBER, f"connections, {asked(pg_activity)}", "usable connections", STATES)
    words = (
        f"{bar.name}: {bar.text} ({', '.join(f'{n:.0f} {state}' for state, n in bar.parts.items()) or 'none open'})"
        for bar in bars
    )
    return f"{listed(words)}, {asked(pg_activity)}."


@chart("Connections by application")
def connections_by_application(canvas: Canvas, pg_activity):
    """Connections by role and application, stacked by state, most first."""
    sessions = clients(pg_activity)
    if sessions.empty:
        return canvas.say(f"No connection except our own, {asked(pg_activity)}.")
    groups = sessions.assign(group=named(sessions, "role", "application")).groupby("group", sort=False)
    bars = [Bar(str(name), _counts(rows), f"{len(rows)}") for name, rows in groups]
    bars.sort(key=lambda bar: (-sum(bar.parts.values()), bar.name))
    canvas.bars(bars[:MAX_ROWS], NUMBER, f"connections, {asked(pg_activity)}", kinds=STATES)
    return f"Most connections: {listed(f'{bar.name} has {bar.text}' for bar in bars)}, {asked(pg_activity)}."


@chart("PgBouncer clients by pool")
def pool_clients(canvas: Canvas, pgbouncer_pools):
    """Active and waiting clients of each pool, in the sample with most waiting clients."""
    if pgbouncer_pools.empty:
        return canvas.say(f"No pool is in use, {asked(pgbouncer_pools)}.")
    rows = pgbouncer_pools.assign(name=named(pgbouncer_pools, "database", "role"))
    worst = rows.sort_values(["waiting_clients", "longest_wait_s"], ascending=False, kind="stable").drop_duplicates(
        "name"
    )
    bars = [
        Bar(row.name, {"active": float(row.active_clients), "waiting": float(row.waiting_clients)}, _pool(row))
        for row in worst.itertuples(index=False)
    ]
    canvas.bars(bars[:MAX_ROWS], NUMBER, f"clients, {asked(rows)}", kinds=("active", "waiting"))
    return f"{listed(f'{bar.name}: {bar.text}' for bar in bars)}; {asked(rows)}."


def _pool(row) -> str:
    longest = f", longest {SECONDS.words(row.longest_wait_s)}" if row.waiting_clients else ""
    servers = row.active_servers + row.idle_servers + row.used_servers
    return f"{row.waiting_clients} waiting{longest}; {row.active_servers} of {servers} server connections in use"


@chart("Longest open transactions")
def open_transactions(canvas: Canvas, pg_activity):
    """Age of every open transaction by the state of its session, PostgreSQL's own processes excluded."""
    rows = clients(pg_activity).dropna(subset=["xact_start"])
    if rows.empty:
        return canvas.say(f"No transaction was open, {asked(pg_activity)}.")
    rows = rows.assign(age_s=age_s(rows, "xact_start").clip(lower=0), name=named(rows, "pid", "application"))
    rows = rows.sort_values(["age_s", "pid"], ascending=[False, True])
    bars = [
        Bar(row.name, {_state(row.state): row.age_s}, f"{SECONDS.words(row.age_s)}, {row.query}")
        for row in rows.itertuples(index=False)
    ]
    canvas.bars(bars[:MAX_ROWS], SECONDS, f"transaction age, {asked(pg_activity)}", kinds=STATES)
    worst = listed(f"{bar.name} {next(iter(bar.parts))}, {SECONDS.words(sum(bar.parts.values()))}" for bar in bars)
    return f"{len(bars)} open transactions, oldest first: {worst}; {asked(pg_activity)}."


def _state(state) -> str:
    return UNKNOWN_STATE if pd.isna(state) else str(state)


@chart("Lock tree: blockers and waiters")
def lock_tree(canvas: Canvas, pg_blocking):
    """Each chain begins with its root blocker, which waits for no lock; its waiters are indented below it."""
    if pg_blocking.empty:
        return canvas.say("No session was waiting for a lock at the moment of asking.")
    rows = pg_blocking.assign(waits_s=age_s(pg_blocking, "waiting_since").clip(lower=0))
    bars, chains = [], []
    for (_, root), chain in _longest_first(rows):
        first = chain.iloc[0]
        bars.append(_root_bar(root, first))
        bars += _below(chain, root, 1)
        longest = SECONDS.words(chain["waits_s"].max())
        blocker, waiters = _process(root, first["root_application"]), "session" if len(chain) == 1 else "sessions"
        chains.append(
            f"{blocker} ({_state(first['root_state'])}) blocks {len(chain)} {waiters}, longest wait {longest}"
        )
    canvas.bars(bars, SECONDS, f"duration, {asked(pg_blocking)}", kinds=(BLOCKS, WAITS))
    return f"{listed(chains)}; {asked(pg_blocking)}."


def _longest_first(rows: pd.DataFrame) -> list:
    chains = rows.groupby(["instance", "root_pid"], sort=True)
    return sorted(chains, key=lambda chain: -chain[1]["waits_s"].max())


def _root_bar(root: int, first: pd.Series) -> Bar:
    opened = first["asked_at"] - first["root_xact_start"]
    age = 0.0 if pd.isna(opened) else max(0.0, opened.total_seconds())
    text = f"{_state(first['root_state'])}, {SECONDS.words(age)}: {first['root_query']}"
    return Bar(_process(root, first["root_application"]), {BLOCKS: age}, text)


def _below(chain: pd.DataFrame, pid: int, depth: int) -> list[Bar]:
    """The direct waiters of one session, each followed by its own waiters."""
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


@chart("Wait events of active sessions")
def wait_profile(canvas: Canvas, pg_wait_samples):
    """Share of active sessions by wait event, over ten samples. Not waiting means: running, or ready to run."""
    if pg_wait_samples.empty:
        return canvas.say("No session was active in any sample.")
    kind = pg_wait_samples["wait_event_type"].fillna("not waiting")
    event = pg_wait_samples["wait_event"].fillna("")
    rows = pg_wait_samples.assign(wait=(kind + " " + event).str.strip())
    sessions = rows.groupby(named(rows, "wait"))["sessions"].sum().sort_values(ascending=False, kind="stable")
    shares = sessions / sessions.sum()
    bars = [Bar(str(wait), {"share": float(share)}, PERCENT.words(share)) for wait, share in shares.items()]
    canvas.bars(bars[:MAX_ROWS], PERCENT, f"share of active sessions, {asked(rows)}")
    return f"{listed(f'{bar.name} {bar.text}' for bar in bars)} of active sessions over ten samples, {asked(rows)}."


@chart("PostgreSQL connections vs. usable max_connections")
def connections_over_time(canvas: Canvas, prom_postgres_connections, *, prom_postgres_slots):
    """Connections by state over time; the level line is what anyone may open."""
    labels = ("target", "state")
    return drawn_lines(
        canvas,
        prom_postgres_connections,
        labels,
        "connections",
        NUMBER,
        "connections",
        limit_level("usable slots", prom_postgres_slots, "slots"),
    )

"""Redis: which commands take its time."""

from nl_forensics.charts.canvas import Bar, Canvas
from nl_forensics.charts.chart import chart
from nl_forensics.charts.labels import asked, listed, moment, named
from nl_forensics.charts.series import drawn_lines
from nl_forensics.charts.units import MILLISECONDS, NUMBER, PERCENT

MAX_ROWS, MAX_COMMANDS = 12, 5


@chart("Slow Redis commands")
def slow_commands(canvas: Canvas, redis_slowlog):
    """Every command of the slow log at its time: Redis serves no other client meanwhile."""
    if redis_slowlog.empty:
        return canvas.say("The slow log is empty: no command was slower than its threshold.")
    rows = redis_slowlog.assign(name=named(redis_slowlog, "command"))
    total = rows.groupby("name")["duration_ms"].sum().sort_values(ascending=False, kind="stable")
    kept = rows["name"].where(rows["name"].isin(total.index[:MAX_COMMANDS]), "others")
    groups = {
        str(name): part for name, part in sorted(rows.groupby(kept), key=lambda group: -group[1]["duration_ms"].sum())
    }
    outside = canvas.dots(groups, "duration_ms", MILLISECONDS, "execution time")
    worst = rows.loc[rows["duration_ms"].idxmax()]
    elsewhere = f" {outside} of them lie outside both windows." if outside else ""
    held = listed(f"{name} {MILLISECONDS.words(part['duration_ms'].sum())}" for name, part in groups.items())
    return (
        f"{len(rows)} slow commands; in total {held}. Longest: {worst['name']}, {MILLISECONDS.words(worst['duration_ms'])}"
        f" at {moment(worst['at'])}.{elsewhere}"
    )


@chart("Redis commands by share of time")
def command_time(canvas: Canvas, redis_commands):
    """Share of the time spent in commands while we looked, and since the counters began. Ours are among them."""
    rows = redis_commands.assign(name=named(redis_commands, "command"))
    spent, ever = rows["spent_ms_delta"].sum(), rows["spent_ms"].sum()
    rows = rows.assign(now=rows["spent_ms_delta"] / (spent or 1), ever=rows["spent_ms"] / (ever or 1))
    rows = rows[(rows["now"] > 0) | (rows["ever"] > 0.01)].sort_values(["now", "ever"], ascending=False, kind="stable")
    if rows.empty:
        return canvas.say(f"No command was executed, {asked(redis_commands)}.")
    bars = [Bar(row.name, {"": row.now}, _command(row), row.ever) for row in rows.itertuples(index=False)]
    seconds = f"in the {rows['seconds'].max():.1f} s between two readings, {asked(rows)}"
    canvas.bars(
        bars[:MAX_ROWS], PERCENT, f"share of the time of all commands {seconds}", "share since the counters began"
    )
    busy = PERCENT.words(spent / 1000 / rows["seconds"].max())
    words = listed(f"{bar.name} {bar.text}" for bar in bars)
    return f"Share of the time of all commands: {words}. Commands took {busy} of the time {seconds}; our questions are among them."


def _command(row) -> str:
    if not row.calls_delta:
        return "not called while we looked"
    mean = MILLISECONDS.words(row.spent_ms_delta / row.calls_delta)
    return f"{PERCENT.words(row.now)}, {NUMBER.words(row.calls_delta)} calls, mean {mean}"


@chart("Redis command time")
def redis_busy(canvas: Canvas, prom_redis_command_time):
    """Share of the time of Redis' one thread, by command: all together near 100 % means that it can do no more."""
    return drawn_lines(
        canvas, prom_redis_command_time, ("target", "command"), "busy_ratio", PERCENT, "share of time (%)"
    )

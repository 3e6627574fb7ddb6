"""Statements and their cost, as pg_stat_statements counts them."""

from collections.abc import Iterator

import pandas as pd

from nl_forensics.redact import normalise_sql
from nl_forensics.sources import UTC, Partial, Proof, deltas, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.postgres.activity import HIDDEN, MONITOR

MAX_STATEMENTS = 500
MAX_CHARACTERS = 1000  # of a statement; ORMs write very long ones
FULL_RATIO = 0.95  # pg_stat_statements drops the 5 % least used when it is full
FORGETS_PER_HOUR = 1

EXTENSION = """
SELECT quote_ident(n.nspname) AS schema, array_agg(a.attname::text) AS columns
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'pg_stat_statements'
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
 WHERE e.extname = 'pg_stat_statements'
 GROUP BY n.nspname
"""
# Only a loaded module defines its settings.
MODULE = "SELECT name, setting FROM pg_settings WHERE name IN ('pg_stat_statements.track', 'pg_stat_statements.max')"
INFO = """
SELECT dealloc, stats_reset, extract(epoch FROM clock_timestamp() - stats_reset) / 3600 AS hours
  FROM {schema}.pg_stat_statements_info
"""
# Window functions see all rows, before LIMIT cuts them.
STATEMENTS = """
SELECT s.queryid::text AS query_id, coalesce(d.datname, s.dbid::text) AS database, coalesce(r.rolname, s.userid::text) AS role,
       {toplevel} AS toplevel,
       left(s.query, {characters}) AS query, s.calls, s.rows AS returned_rows, s.total_exec_time AS exec_ms,
       sum(s.total_exec_time) OVER () AS all_exec_ms, count(*) OVER () AS statements,
       s.shared_blks_hit + s.local_blks_hit AS hit_blocks, s.shared_blks_read + s.local_blks_read AS read_blocks,
       s.temp_blks_written * current_setting('block_size')::bigint AS temp_bytes, {counted_since} AS counted_since
  FROM {schema}.pg_stat_statements s
  LEFT JOIN pg_database d ON d.oid = s.dbid LEFT JOIN pg_roles r ON r.oid = s.userid
 WHERE r.rolname IS DISTINCT FROM current_user
 ORDER BY s.total_exec_time DESC LIMIT {most}
"""
KEY = ("database", "role", "query_id", "toplevel")
COUNTERS = {
    "calls": Column("Int64", "finished executions"),
    "returned_rows": Column("Int64", "rows returned or affected"),
    "exec_ms": Column("float64", "execution time over all calls, without planning"),
    "all_exec_ms": Column("float64", "execution time of all statements of the server: `exec_ms` is a part of it"),
    "hit_blocks": Column("Int64", "blocks found in shared_buffers"),
    "read_blocks": Column("Int64", "blocks read from the disk or the operating system's cache"),
    "temp_bytes": Column("Int64", "temporary files written by sorts and hashes"),
}
NO_DELTA = f"reset between the two readings, or not among the first {MAX_STATEMENTS} at the first"


def _growth(records: list[dict]) -> pd.DataFrame:
    """Lifetime counters, and what was added between two readings."""
    rows = deltas(records, KEY, tuple(COUNTERS))
    first = [record for record in records if record["reading"] == 0]
    if rows.empty or not first or first[0]["statements"] > MAX_STATEMENTS:
        return rows
    # The first reading held every statement that there was: one that it lacks is new, and counted from zero.
    new = ~rows.set_index(list(KEY)).index.isin([tuple(record[name] for name in KEY) for record in first])
    for counter in COUNTERS:
        rows.loc[new, f"{counter}_delta"] = rows.loc[new, counter].astype("float64")
    rows.loc[new, "all_exec_ms_delta"] = rows.all_exec_ms_delta[~new].max()
    rows.loc[new, "seconds"] = rows.seconds[~new].max()
    return rows


@source(
    parse=_growth,
    columns={
        "database": Column("str", "database of the statement; its number if dropped since"),
        "role": Column("str", "role that ran it; its number if dropped since"),
        "query_id": Column("str", "PostgreSQL's identifier of the statement"),
        "toplevel": Column("boolean", "false if it ran inside a function (PostgreSQL 14 and newer)"),
        "query": Column("str", f"statement with literals replaced by ?, at most {MAX_CHARACTERS:,} characters"),
        **COUNTERS,
        "counted_since": Column(UTC, "begin of the counters", unknown="PostgreSQL 13 does not record it"),
        "seconds": Column("float64", "seconds between the two readings", unknown=NO_DELTA),
        **{
            f"{name}_delta": Column("float64", f"growth of `{name}` over `seconds`", unknown=NO_DELTA)
            for name in COUNTERS
        },
    },
    covers="since",
    readings=2,
    needs=MONITOR,
    guide=("C028", "C036", "C070"),
)
def pg_statements(postgres):
    """The 500 statements with the longest total execution time, our own excluded; one row per database, role and statement.

    Cumulative counters: totals since `counted_since`, and growth between the two readings. A running statement is not counted yet.
    """
    module = {row["name"]: row["setting"] for row in postgres.rows(MODULE)}
    if module.get("pg_stat_statements.track", "none") == "none":
        yield Partial("execution times: pg_stat_statements is off", _switch_on(module))
        return
    where = _with_extension(postgres)
    if where is None:
        yield Partial(
            "execution times: the extension pg_stat_statements is in no database", "CREATE EXTENSION pg_stat_statements"
        )
        return
    database, extension = where
    if "total_exec_time" not in extension["columns"]:
        yield Partial(
            "execution times: pg_stat_statements is older than 1.8", "ALTER EXTENSION pg_stat_statements UPDATE"
        )
        return
    with postgres.into(database) as link:
        yield from _statements(link, extension, int(module["pg_stat_statements.max"]))


def _switch_on(module: dict[str, str]) -> str:
    if module:
        return "set pg_stat_statements.track = top"
    return "add pg_stat_statements to shared_preload_libraries, restart, and CREATE EXTENSION pg_stat_statements"


def _with_extension(postgres) -> tuple[str, dict] | None:
    """A database in which the view was created, and its shape there. The view shows the whole server from anywhere."""
    others = (name for name in postgres.databases if name != postgres.database)
    for name in (postgres.database, *others):
        with postgres.into(name) as link:
            if found := next(link.rows(EXTENSION), None):
                return name, found
    return None


def _statements(link, extension: dict, most: int) -> Iterator:
    """The rows of the view, by the columns of its version, and what it does not hold."""
    schema, columns = extension["schema"], extension["columns"]
    since, forgotten = "NULL::timestamptz", None
    if "toplevel" in columns:  # 1.9, PostgreSQL 14: came together with pg_stat_statements_info
        info = next(link.rows(INFO.format(schema=schema)))
        since, forgotten = f"(SELECT stats_reset FROM {schema}.pg_stat_statements_info)", info
    sql = STATEMENTS.format(
        schema=schema,
        toplevel="s.toplevel" if "toplevel" in columns else "true",
        counted_since="s.stats_since" if "stats_since" in columns else since,
        characters=MAX_CHARACTERS,
        most=MAX_STATEMENTS,
    )
    hidden = held = 0
    for row in link.rows(sql):
        held = row["statements"]
        if row["query_id"] is None or row["query"] == HIDDEN:
            hidden += 1
        else:
            yield row | {"query": normalise_sql(row["query"])}
    yield Proof(f"pg_stat_statements is on, and holds {held} statements")
    if hidden:
        yield Partial(f"{hidden} statements of other roles", MONITOR.remedy("postgres"))
    if gone := _forgotten(forgotten, held, most):
        yield Partial(gone, "raise pg_stat_statements.max, and restart")


def _forgotten(info: dict | None, held: int, most: int) -> str:
    """Whether statements are dropped so fast that those of the incident may be among them."""
    if info is None:
        return f"dropped statements: {held} of at most {most} entries are in use" if held >= FULL_RATIO * most else ""
    per_hour = info["dealloc"] / max(info["hours"], 1)
    often = (
        f"the least used statements were dropped {info['dealloc']} times since {info['stats_reset']:%Y-%m-%d %H:%M} UTC"
    )
    return often if per_hour > FORGETS_PER_HOUR else ""

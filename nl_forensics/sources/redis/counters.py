"""Counters since the start of the server, and how they grew between two readings."""

import pandas as pd

from nl_forensics.sources import Partial, Permission, Proof, as_rows, deltas, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.redis.names import readable
from nl_forensics.sources.redis.settings import settings

STATS = {
    "total_commands_processed": "commands",
    "total_connections_received": "connections",
    "rejected_connections": "rejected_connections",
    "expired_keys": "expired_keys",
    "evicted_keys": "evicted_keys",
    "keyspace_hits": "hits",
    "keyspace_misses": "misses",
    "sync_full": "full_syncs",
    "sync_partial_err": "refused_partial_syncs",
    "total_error_replies": "error_answers",
}
ALL = "(all)"  # recorded with each reading, since a reading without errors would leave no trace
RESET = "the counter was reset, or is missing from one of the readings"
COMMAND = ("calls", "usec", "rejected_calls", "failed_calls")


def _grown(meanings: dict[str, str]) -> dict[str, Column]:
    """The columns of counters: the total since the start, and its growth between the two readings."""
    columns = {
        "seconds": Column("float64", "time between the two readings", unknown="it is missing from one of the readings")
    }
    for name, meaning in meanings.items():
        columns[name] = Column("Int64", f"{meaning}, since the start of the server or CONFIG RESETSTAT")
        columns[f"{name}_delta"] = Column("Int64", f"growth of `{name}` between the two readings", unknown=RESET)
    return columns


def _counters(records: list[dict]) -> pd.DataFrame:
    counted = tuple(STATS.values())
    renamed = [{STATS.get(name, name): value for name, value in record.items()} for record in records]
    return deltas([record | {"server": ""} for record in renamed], ("server",), counted)


@source(
    parse=_counters,
    columns={
        **_grown(
            {
                "commands": "commands processed",
                "connections": "connections accepted",
                "rejected_connections": "connections rejected at maxclients",
                "expired_keys": "keys deleted at the end of their time to live",
                "evicted_keys": "keys evicted for lack of memory",
                "hits": "lookups that found their key",
                "misses": "lookups that did not find their key",
                "full_syncs": "full synchronisations of replicas",
                "refused_partial_syncs": "partial synchronisations that replicas requested and did not get",
                "error_answers": "replies that were an error",
            }
        ),
        "uptime_s": Column("Int64", "time since the start of the server"),
    },
    covers="since",
    readings=2,
    needs=Permission(redis="+info"),
    guide=("C074",),
)
def redis_counters(redis):
    """Counters of the whole server: totals, and their growth between two readings; one row.

    An event between the incident and the first reading is only in the totals, without a time.
    """
    info = redis.call("INFO", "stats")
    uptime_s = redis.call("INFO", "server")["uptime_in_seconds"]
    yield {name: info.get(name) for name in STATS} | {"uptime_s": uptime_s}


def _by_key(records: list[dict], key: str, counters: tuple[str, ...]) -> pd.DataFrame:
    """Deltas of counters that Redis lists once they are above zero: one that the first reading lacks was zero then."""
    rows = as_rows(records)
    if rows.empty:
        return rows
    first = rows[rows.reading == rows.reading.min()]
    newer = rows[~rows[key].isin(first[key])].drop_duplicates(key)
    begun = newer.assign(**dict.fromkeys(counters, 0), reading=rows.reading.min(), read_at=rows.read_at.min())
    both = [*records, *(begun.to_dict("records") if rows.reading.nunique() > 1 else [])]
    return deltas(both, (key,), counters)


def _commands(records: list[dict]) -> pd.DataFrame:
    rows = _by_key(records, "command", COMMAND)
    if rows.empty:
        return rows
    return rows.assign(spent_ms=rows.usec / 1000, spent_ms_delta=rows.usec_delta / 1000)


@source(
    parse=_commands,
    columns={
        "command": Column("str", "command in lower case, with its subcommand from Redis 7.0 on (`client|list`)"),
        **_grown(
            {
                "calls": "calls",
                "rejected_calls": "calls rejected before execution: no permission, no memory, wrong number of arguments",
                "failed_calls": "calls that failed during execution: wrong type of key, …",
            }
        ),
        "spent_ms": Column("float64", "execution time of all calls since the start of the server or CONFIG RESETSTAT"),
        "spent_ms_delta": Column("float64", "growth of `spent_ms` between the two readings", unknown=RESET),
    },
    covers="since",
    readings=2,
    needs=Permission(redis="+info"),
    guide=("C076",),
)
def redis_commands(redis):
    """Calls and execution time by command: totals, and their growth between two readings; one row per command."""
    for name, counted in redis.call("INFO", "commandstats").items():
        yield {"command": name.removeprefix("cmdstat_")} | {counter: counted.get(counter) for counter in COMMAND}


def _errors(records: list[dict]) -> pd.DataFrame:
    rows = _by_key(records, "error", ("answers",))
    return rows if rows.empty else rows[rows.error != ALL]


@source(
    parse=_errors,
    columns={
        "error": Column(
            "str",
            "first word of the reply: `OOM` (no memory for a write), `MISCONF` (writes rejected since a snapshot failed),"
            " `NOPERM`, `NOAUTH`, `WRONGPASS`, `READONLY` (a write to a replica), `ERR` (all without a code of their own)",
        ),
        **_grown({"answers": "replies with this error"}),
    },
    covers="since",
    readings=2,
    needs=Permission(redis="+info"),
    guide=("C074",),
)
def redis_errors(redis):
    """Error replies by error code: totals, and their growth between two readings; one row per code."""
    counted = redis.call("INFO", "errorstats")
    yield Proof(f"INFO errorstats lists {len(counted)} error codes")
    yield {"error": ALL, "answers": redis.call("INFO", "stats")["total_error_replies"]}
    for name, found in counted.items():
        yield {"error": readable(name.removeprefix("errorstat_")), "answers": found["count"]}


@source(
    columns={
        "command": Column("str", "command in lower case, with its subcommand (`client|list`)"),
        **{
            f"p{name}_ms": Column("float64", f"p{percent} of the execution time, without network, queueing and waiting")
            for name, percent in (("50", "50"), ("99", "99"), ("999", "99.9"))
        },
    },
    covers="since",
    needs=Permission(redis="+info +config|get"),
    guide=("C076",),
)
def redis_latency_percentiles(redis):
    """Latency percentiles of commands since the start of the server or CONFIG RESETSTAT; one row per command.

    Redis 7.0 and later. One value covers the whole life of the server, so a bad hour hardly shows after a good week.
    """
    tracking = settings(redis, "latency-tracking").get("latency-tracking")
    if tracking is None:
        yield Partial(
            f"latency percentiles of commands: Redis {redis.version} does not measure them",
            "upgrade to Redis 7.0 or later",
        )
        return
    if tracking != "yes":
        yield Partial("latency percentiles of commands: not measured", "CONFIG SET latency-tracking yes")
        return
    measured = redis.call("INFO", "latencystats")
    yield Proof(f"latency tracking is on, with {len(measured)} commands")
    for name, found in measured.items():
        yield {"command": name.removeprefix("latency_percentiles_usec_")} | {
            column: found.get(percentile, float("nan")) / 1000
            for column, percentile in (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9"))
        }

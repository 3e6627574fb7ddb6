"""Counters since the start of the server, and how they grew between two readings."""

import pandas as pd

from nl_forensics.sources import Partial, Permission, Proof, as_rows, deltas, source
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
COMMAND = ("calls", "usec", "rejected_calls", "failed_calls")


def _grown(names: tuple[str, ...]) -> dict[str, str]:
    """The columns of counters: the total, and its growth between the two readings."""
    return {column: "Int64" for name in names for column in (name, f"{name}_delta")} | {"seconds": "float64"}


def _counters(records: list[dict]) -> pd.DataFrame:
    counted = tuple(STATS.values())
    renamed = [{STATS.get(name, name): value for name, value in record.items()} for record in records]
    return deltas([record | {"server": ""} for record in renamed], ("server",), counted)


@source(
    parse=_counters,
    columns=_grown(tuple(STATS.values())) | {"uptime_s": "Int64"},
    covers="since",
    readings=2,
    needs=Permission(redis="+info"),
    guide=("C074",),
)
def redis_counters(redis):
    """What the whole server counted: the totals since its start (or CONFIG RESETSTAT), and the growth between two readings; one row.

    commands, connections        processed, accepted
    rejected_connections         turned away at maxclients
    expired_keys, evicted_keys   gone by their time to live; thrown out for lack of memory
    hits, misses                 lookups that found their key, or did not
    full_syncs, refused_partial_syncs   whole copies for replicas; replicas that asked for less in vain
    error_answers                answers that were an error
    seconds                      between the two readings
    uptime_s                     since the start of the server, seconds

    What happened between the incident and the first reading is in the totals only, without a time.
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
    columns={"command": "str"}
    | _grown(("calls", "rejected_calls", "failed_calls"))
    | {"spent_ms": "float64", "spent_ms_delta": "float64"},
    covers="since",
    readings=2,
    needs=Permission(redis="+info"),
    guide=("C076",),
)
def redis_commands(redis):
    """Commands by kind, since the start of the server (or CONFIG RESETSTAT), and the growth between two readings; one row per command.

    command          in lower case, with its subcommand from Redis 7.0 on (`client|list`)
    calls            how often
    spent_ms         execution time, all calls together, milliseconds
    rejected_calls   refused before they ran: no permission, no memory, wrong number of arguments
    failed_calls     failed while they ran: wrong type of key, …
    """
    for name, counted in redis.call("INFO", "commandstats").items():
        yield {"command": name.removeprefix("cmdstat_")} | {counter: counted.get(counter) for counter in COMMAND}


def _errors(records: list[dict]) -> pd.DataFrame:
    rows = _by_key(records, "error", ("answers",))
    return rows if rows.empty else rows[rows.error != ALL]


@source(
    parse=_errors,
    columns={"error": "str"} | _grown(("answers",)),
    covers="since",
    readings=2,
    needs=Permission(redis="+info"),
    guide=("C074",),
)
def redis_errors(redis):
    """Answers that were an error, by their first word, since the start (or CONFIG RESETSTAT), and between two readings; one row per word.

    error    `OOM`: no memory for a write; `MISCONF`: no write because no snapshot can be saved; `NOPERM`, `NOAUTH`, `WRONGPASS`;
             `READONLY`: a write to a replica; `ERR`: everything without a word of its own
    answers  how many
    """
    counted = redis.call("INFO", "errorstats")
    yield Proof(f"INFO errorstats lists {len(counted)} kinds of error")
    yield {"error": ALL, "answers": redis.call("INFO", "stats")["total_error_replies"]}
    for name, found in counted.items():
        yield {"error": readable(name.removeprefix("errorstat_")), "answers": found["count"]}


@source(
    columns={"command": "str", "p50_ms": "float64", "p99_ms": "float64", "p999_ms": "float64"},
    covers="since",
    needs=Permission(redis="+info +config|get"),
    guide=("C076",),
)
def redis_latency_percentiles(redis):
    """How long commands took since the start of the server (or CONFIG RESETSTAT); one row per command.

    p50_ms, p99_ms, p999_ms   half of the calls, 99 %, 99.9 % were faster, milliseconds; without network, queueing or waiting

    Redis 7.0 and later. One number over the whole life of the server: a bad hour drowns in a good week.
    """
    tracking = settings(redis, "latency-tracking").get("latency-tracking")
    if tracking is None:
        yield Partial(
            f"percentiles of command latency: Redis {redis.version} does not measure them", "Redis 7.0 or later"
        )
        return
    if tracking != "yes":
        yield Partial("percentiles of command latency: not measured", "CONFIG SET latency-tracking yes")
        return
    measured = redis.call("INFO", "latencystats")
    yield Proof(f"latency tracking is on, and knows {len(measured)} commands")
    for name, found in measured.items():
        yield {"command": name.removeprefix("latency_percentiles_usec_")} | {
            column: found.get(percentile, float("nan")) / 1000
            for column, percentile in (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9"))
        }

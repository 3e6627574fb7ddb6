"""What was slow, and when: two rings in the memory of the server."""

from collections.abc import Iterator
from datetime import UTC as utc
from datetime import datetime

import pandas as pd

from nl_forensics.errors import NotAllowed
from nl_forensics.sources import UTC, Partial, Permission, Proof, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.redis.names import command_and_pattern, readable
from nl_forensics.sources.redis.settings import settings

DEFAULT_THRESHOLD_US = 10_000
MAX_ENTRIES = 5_000
LATENCY_SAMPLES = 160  # LATENCY_TS_LEN in the server's latency.h


def _at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, utc)


def _slowlog(records: list[dict]) -> pd.DataFrame:
    """SLOWLOG GET entries: `start_time` is Unix seconds, `duration` is microseconds."""
    rows = pd.DataFrame.from_records(records, columns=["start_time", "duration", "command", "client", "client_name"])
    rows["at"] = pd.to_datetime(pd.to_numeric(rows.start_time), unit="s", utc=True)
    return rows.assign(duration_ms=pd.to_numeric(rows.duration) / 1000)


@source(
    parse=_slowlog,
    columns={
        "at": Column(UTC, "end of the command, to the second"),
        "duration_ms": Column(
            "float64", "execution time, without network, queueing, and the wait of a blocking command"
        ),
        "command": Column(
            "str",
            "command and pattern of its first key (`HGETALL usage:*`); values can hold customer data and are never recorded",
        ),
        "client": Column("str", "IP address and port of the client"),
        "client_name": Column("str", "name set by CLIENT SETNAME; empty if not set"),
    },
    covers="ring",
    needs=Permission(redis="+slowlog|get +slowlog|len +config|get +info"),
    guide=("C039", "C076"),
)
def redis_slowlog(redis, incident, platform):
    """Commands slower than slowlog-log-slower-than; one row per command, newest first.

    The log is a ring of slowlog-max-len entries in memory: it can start after the incident did, a restart empties it, and with the
    threshold off it proves nothing."""
    try:
        asked = settings(redis, "slowlog-log-slower-than", "slowlog-max-len")
        threshold_us, ring = int(asked["slowlog-log-slower-than"]), int(asked["slowlog-max-len"])
    except NotAllowed as refused:
        yield Partial(f"from how many ms on a command is slow: {refused}", refused.remedy)
        threshold_us, ring = DEFAULT_THRESHOLD_US, 0
    else:
        if threshold_us < 0 or ring == 0:
            yield Partial("slow commands: the slow log is off", "CONFIG SET slowlog-log-slower-than 10000")
            return
        yield Proof(f"the slow log is on: commands slower than {threshold_us / 1000:g} ms, up to {ring} of them")
    most = min(ring or MAX_ENTRIES, MAX_ENTRIES)
    entries = redis.call("SLOWLOG", "GET", most)
    for entry in entries:
        yield _entry(entry, platform.redis)
    if threshold_us > DEFAULT_THRESHOLD_US:
        unseen = f"commands that took {DEFAULT_THRESHOLD_US / 1000:g} to {threshold_us / 1000:g} ms"
        yield Partial(unseen, f"CONFIG SET slowlog-log-slower-than {DEFAULT_THRESHOLD_US}")
    yield from _reach(redis, entries, most, incident)


def _entry(entry: list, names) -> dict:
    number, start_time, duration, arguments, *client = entry
    address, name = (*client, "", "")[:2]
    return {
        "id": number,
        "start_time": start_time,
        "duration": duration,
        "command": command_and_pattern(arguments, names),
        "client": address,
        "client_name": readable(name),
    }


def _reach(redis, entries: list, most: int, incident) -> Iterator[Partial]:
    """How far back the log reaches: to the start of the server, unless the ring turned over or was emptied."""
    began = _started_at(redis)
    if entries and entries[-1][0] > 0 and (oldest := _at(entries[-1][1])) > incident.start:
        why = f"the log holds {most} entries" if len(entries) == most else "the log was emptied (SLOWLOG RESET)"
        remedy = f"CONFIG SET slowlog-max-len {8 * most}, for the next time"
        yield Partial(f"slow commands before {oldest:%H:%M:%S} UTC: {why}", remedy)
        return
    if began > incident.start:
        yield Partial(f"slow commands before {began:%H:%M:%S} UTC: the server started then, and its log is in memory")


def _started_at(redis) -> datetime:
    server = redis.call("INFO", "server")
    return _at(server["server_time_usec"] // 1_000_000 - server["uptime_in_seconds"])


@source(
    columns={
        "event": Column(
            "str",
            "`command` (slow), `fast-command` (slow, though fast by nature), `fork`, `expire-cycle`, `eviction-cycle`, `aof-*`, …",
        ),
        "at": Column(UTC, "time of the pause, to the second"),
        "duration_ms": Column("Int64", "longest pause in that second"),
    },
    covers="ring",
    needs=Permission(redis="+latency|latest +latency|history +config|get +info"),
    guide=("C076",),
)
def redis_latency_events(redis, incident):
    """Pauses of Redis by cause (LATENCY HISTORY); one row per second and event, newest first.

    Measured only above latency-monitor-threshold, which is 0 (off) by default. Redis keeps the last 160 seconds that have an event."""
    threshold_ms = int(settings(redis, "latency-monitor-threshold").get("latency-monitor-threshold", 0))
    if threshold_ms == 0:
        yield Partial("latency events: not measured", "CONFIG SET latency-monitor-threshold 100")
        return
    yield Proof(f"the latency monitor is on: everything above {threshold_ms} ms")
    for event, *_ in redis.call("LATENCY", "LATEST"):
        samples = redis.call("LATENCY", "HISTORY", event)
        for seconds, duration_ms in reversed(samples):
            yield {"event": event, "at": _at(seconds).isoformat(), "duration_ms": duration_ms}
        if len(samples) == LATENCY_SAMPLES and (oldest := _at(samples[0][0])) > incident.start:
            yield Partial(f"{event} events before {oldest:%H:%M:%S} UTC: the ring holds {LATENCY_SAMPLES}")
    if (began := _started_at(redis)) > incident.start:
        yield Partial(f"latency events before {began:%H:%M:%S} UTC: the server started then")

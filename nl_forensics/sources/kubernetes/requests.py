"""Requests that a log line reports, by the names of its fields; positions in unknown formats are never guessed."""

import re
from typing import NamedTuple

from nl_forensics.redact import shortened

NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|µs|us|ms|s)")  # as Go writes it
MS = {"ns": 1e-6, "µs": 1e-3, "us": 1e-3, "ms": 1.0, "s": 1000.0}

# {name of a field: milliseconds of its unit}, where the name includes the unit: those of nginx, of pino-http, and usual ones.
TOOK = {
    "duration_ms": 1.0,
    "latency_ms": 1.0,
    "elapsed_ms": 1.0,
    "took_ms": 1.0,
    "response_time_ms": 1.0,
    "responseTime": 1.0,
    "request_time": 1000.0,
    "duration_s": 1000.0,
    "duration_seconds": 1000.0,
}
UPSTREAM = {"upstream_ms": 1.0, "upstream_response_time": 1000.0}
WRITTEN_OUT = ("duration", "latency", "elapsed", "took")  # count only with a unit: `12.3ms`
METHODS = ("method", "request_method", "http_method")
ROUTES = ("route", "path", "uri", "request_uri", "url")
STATUSES = ("status", "status_code", "response_code")

VARIES = re.compile(
    r"(?<=/)(?:\d+|[0-9a-fA-F-]{8,}|[^/]*[@%][^/]*|[^/]{33,})(?=/|$)"
)  # parts of a path that identify one object
MAX_PATH = 200
# The combined format, and what the default format of ingress-nginx appends.
ACCESS = re.compile(
    r'\S+ \S+ \S+ \[[^\]]*\] "(?P<method>[A-Z]+) (?P<path>\S+) [^"]*" (?P<status>\d{3}) \S+ "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*"'
    r"(?: \d+ (?P<took_s>[\d.]+) \[[^\]]*\] \[[^\]]*\] [^\s,]+(?:, [^\s,]+)* [^\s,]+(?:, [^\s,]+)* (?P<upstream_s>[\d.-]+(?:, [\d.-]+)*) )?"
)


class Request(NamedTuple):
    """request      method and route, with `*` for identifiers; "" if the line reports no request
    status       HTTP status
    took_ms      until it was answered
    upstream_ms  part of it spent waiting for the upstream
    """

    request: str = ""
    status: int | None = None
    took_ms: float | None = None
    upstream_ms: float | None = None


NO_REQUEST = Request()


def from_fields(fields: dict) -> Request:
    """Of a line with named fields. A request is what has a route, and a status or a duration."""
    route = next((fields[key] for key in ROUTES if isinstance(fields.get(key), str)), "")
    status = next((int(number) for key in STATUSES if 100 <= (number := _number(fields.get(key)) or 0) < 600), None)
    took_ms = _milliseconds(fields, TOOK)
    took_ms = _written_out(fields) if took_ms is None else took_ms
    if not route or (status is None and took_ms is None):
        return NO_REQUEST
    method = next((fields[key] for key in METHODS if isinstance(fields.get(key), str)), "")
    request = f"{method} {_route(route)}".strip()
    return Request(request, status, took_ms, _milliseconds(fields, UPSTREAM))


def from_access_log(text: str) -> Request:
    """Of the combined format, which has no durations, or the one of ingress-nginx, which has."""
    if not (found := ACCESS.match(text)):
        return NO_REQUEST
    fields = {"request_time": found["took_s"], "upstream_response_time": found["upstream_s"], "status": found["status"]}
    return from_fields(fields | {"method": found["method"], "path": found["path"]})


def _route(path: str) -> str:
    """Without its query, which may contain secrets, and without identifiers of a tenant or an object."""
    return shortened(VARIES.sub("*", path.partition("?")[0]), MAX_PATH)


def _milliseconds(fields: dict, units: dict[str, float]) -> float | None:
    found = ((_number(fields.get(key)), ms) for key, ms in units.items())
    return next((number * ms for number, ms in found if number is not None), None)


def _written_out(fields: dict) -> float | None:
    """A duration with its unit: `12.3ms`."""
    found = (DURATION.fullmatch(fields[key]) for key in WRITTEN_OUT if isinstance(fields.get(key), str))
    return next((float(one[1]) * MS[one[2]] for one in found if one), None)


def _number(value) -> float | None:
    """Also what was written as text; nginx writes one for each server that it tried, and `-` for one that gave no answer."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    parts = [part.strip() for part in str(value).split(",")]
    known = [float(part) for part in parts if NUMBER.fullmatch(part)]
    return sum(known) if known and len(known) + parts.count("-") == len(parts) else None

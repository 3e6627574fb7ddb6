"""Lines of a log: JSON, logfmt or plain text as level, message and template.

A line is decoded first, then redacted as a record, and only then taken apart: a template has stars where a token had its digits.
"""

import ipaddress
import json
import re
from typing import NamedTuple

from nl_forensics.redact import shortened
from nl_forensics.sources.kubernetes.requests import NO_REQUEST, Request, from_access_log, from_fields

MAX_TEXT, MAX_TEMPLATE = 2_000, 300
LEVELS = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "information": "info",
    "notice": "info",
    "warn": "warning",
    "warning": "warning",
    "err": "error",
    "error": "error",
    "severe": "error",
    "fatal": "fatal",
    "critical": "fatal",
    "crit": "fatal",
    "alert": "fatal",
    "emerg": "fatal",
    "panic": "fatal",
}
NUMBERED = {10: "debug", 20: "debug", 30: "info", 40: "warning", 50: "error", 60: "fatal"}  # pino and bunyan
LEVEL_KEYS = ("level", "severity", "lvl", "log.level", "levelname")
MESSAGE_KEYS = ("message", "msg", "event", "text", "error")
CLIENT_KEYS = (
    "client_ip",
    "client",
    "client_addr",
    "remote_addr",
    "remote_ip",
    "remoteAddress",
    "source_ip",
    "ip",
    "x_forwarded_for",
)
CAUSE_KEYS = ("error", "err", "exception")  # why, where the message only says what failed

LOGFMT = re.compile(r'([A-Za-z_][\w.-]*)=("(?:[^"\\]|\\.)*"|\S*)')
KLOG = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ (\S+:\d+\] .*)")
KLOG_LEVELS = {"I": "info", "W": "warning", "E": "error", "F": "fatal"}
# An ordinary word is no level: a level stands in brackets or bars, in capitals, or first in the line, after its time.
_NAMES = "|".join(LEVELS)
BRACKETED = re.compile(rf"(?i)[\[<|]\s*({_NAMES})\s*[\]>|]")
CAPITALS = re.compile(rf"(?:^|[\s\[<|(])({_NAMES.upper()})(?=[\s\]>|):,]|$)")
LEADING = re.compile(rf"(?i)^[\d\s.,:TZ+/-]*((?:{_NAMES})(?=:)|(?:debug|info|warn|warning|error|fatal)(?=\s))")
# In a plain line, the address of a client follows such a word, or it begins the line of an access log.
FROM = re.compile(
    r"(?i)\b(?:from|client|remote(?:_addr)?|peer|ip)[=: ]+(\[?(?:ip~[a-z2-7]{13}|[0-9a-f.:]{3,45})\]?(?::\d+)?)"
)
FIRST = re.compile(r"(ip~[a-z2-7]{13}|[0-9a-fA-F.:]{3,45}) \S+ \S+ \[")
PSEUDONYM = re.compile(r"ip~[a-z2-7]{13}")
START = 80  # where in a line its level stands

VARIABLE = re.compile(
    r"\b[a-z]+~[a-z2-7]{13}"  # pseudonym
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"  # uuid
    r"|\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"  # time
    r"|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b"  # address
    r"|\b0x[0-9a-fA-F]+\b|\b(?=[0-9a-f]*\d)[0-9a-f]{7,}\b"  # hash
    r"|\"[^\"]*\"|'[^']*'"  # quoted
    r"|(?<![A-Za-z])\d+(?:\.\d+)?"
)


class Line(NamedTuple):
    """level: one of debug, info, warning, error, fatal, or "" when none is given. template: the message without what varies.

    client: IP address of the client that the line names; None if it names none.
    """

    format: str
    level: str
    message: str
    template: str
    request: Request = NO_REQUEST
    client: str | None = None


def decoded(text: str) -> dict:
    """One line without its time stamp, as it was written: its format, and its fields, or its text."""
    for kind, fields_of in (("json", _json), ("logfmt", _logfmt)):
        if (fields := fields_of(text)) is not None:
            return {"format": kind, "fields": fields, "text": "" if _first_text(fields, MESSAGE_KEYS) else text}
    return {"format": "plain", "text": text}


def derived(record: dict) -> dict:
    """The columns that are read from the decoded and redacted line in `logged`."""
    told = parsed(record["logged"])
    rest = {name: value for name, value in record.items() if name != "logged"}
    return rest | told._asdict() | told.request._asdict()


def parsed(logged: dict) -> Line:
    """Level, message, template, request and client of a decoded line."""
    text, fields = logged["text"], logged.get("fields")
    if fields is not None:
        level, message = _level_and_message(fields, text)
        named = next((fields[key] for key in CLIENT_KEYS if isinstance(fields.get(key), str)), "")
        shown, request = shortened(message, MAX_TEXT), from_fields(fields)
        return Line(logged["format"], level, shown, template(message), request, _address(named))
    if found := KLOG.match(text):  # Kubernetes' own programs: `E1123 22:10:01.123456       1 file.go:12] message`
        return Line("klog", KLOG_LEVELS[found[1]], shortened(found[2], MAX_TEXT), template(found[2]))
    shown = shortened(text, MAX_TEXT)
    client = FROM.search(shown) or FIRST.match(shown)
    address = _address(client[1]) if client else None
    return Line("plain", _plain_level(text[:START]), shown, template(text), from_access_log(text), address)


def _address(named: str) -> str | None:
    """The first of a list, without its port; the pseudonym of a public one; None for what is no IP address."""
    first = named.partition(",")[0].strip()
    host = first.rpartition(":")[0] if first.count(":") == 1 or first.startswith("[") else first
    if PSEUDONYM.fullmatch(host):
        return host
    try:
        return str(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return None


def _plain_level(start: str) -> str:
    """The level of a plain line, by the mark that stands first; "" when none does."""
    found = [match for pattern in (BRACKETED, CAPITALS, LEADING) if (match := pattern.search(start))]
    return LEVELS[min(found, key=lambda match: match.start(1))[1].lower()] if found else ""


def template(message: str) -> str:
    """The constant part of a message: numbers, times, addresses, hashes and quoted words as `*`."""
    return shortened(VARIABLE.sub("*", shortened(message, MAX_TEXT)), MAX_TEMPLATE)


def _json(text: str) -> dict | None:
    if not text.startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _logfmt(text: str) -> dict | None:
    if "=" not in text or not (fields := dict(LOGFMT.findall(text))):
        return None
    if not any(key in fields for key in ("level", "lvl", "msg")):
        return None
    return {key: value[1:-1].replace('\\"', '"') if value.startswith('"') else value for key, value in fields.items()}


def _level_and_message(fields: dict, text: str) -> tuple[str, str]:
    """Level and message."""
    level = next((fields[key] for key in LEVEL_KEYS if key in fields), "")
    message, cause = _first_text(fields, MESSAGE_KEYS) or text, _first_text(fields, CAUSE_KEYS)
    message = message if cause in message else f"{message}: {cause}"
    if isinstance(level, int):
        return NUMBERED.get(level, ""), message
    return LEVELS.get(str(level).lower(), ""), message


def _first_text(fields: dict, keys: tuple[str, ...]) -> str:
    return next((fields[key] for key in keys if isinstance(fields.get(key), str)), "")

"""What a case holds, which may be hostile: read within bounds, each key once, every field of custody as it is declared."""

import json
import os
import re
import zlib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nl_forensics.errors import CaseError

MAX_FILE_BYTES = 100_000_000  # of one file, as it lies on the disk
MAX_ANSWER_BYTES = 100_000_000  # of one answer, decompressed; a budget allows 80 MB before redaction
MAX_VALUES = 4_000_000  # in one answer: each takes memory
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
MAX_COUNT = 1_000_000_000
YEARS = range(1990, 2200)
FARTHEST_S = 4e9  # a clock that is 126 years off shows 1900


def content(path: Path) -> bytes:
    """A file of a case. Raises CaseError for one that is larger than any that is recorded."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise CaseError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes, as no recorded file is: it was altered")
        return file.read(MAX_FILE_BYTES)


def decompressed(packed: bytes) -> bytes:
    """The content of a gzip file, which may have several members. Raises ValueError if it is none, is cut, or holds too much."""
    parts: list[bytes] = []
    left = MAX_ANSWER_BYTES
    while packed or not parts:
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            parts.append(unpacking.decompress(packed, left + 1))
        except zlib.error as error:
            raise ValueError(f"is no gzip file: {error}") from None
        left -= len(parts[-1])
        if left < 0:
            raise ValueError(f"holds more than {MAX_ANSWER_BYTES:,} bytes")
        if not unpacking.eof:
            raise ValueError("is cut off")
        packed = unpacking.unused_data
    return b"".join(parts)


def value(text: bytes) -> Any:
    """A JSON value. Raises ValueError where a key occurs twice, for NaN, and for what is nested too deeply."""
    try:
        if SURROGATE.search(text):
            text = json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace")
        return DECODER.decode(text.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


DECODER = json.JSONDecoder(object_pairs_hook=_each_once, parse_constant=_refuse)


def records(packed: bytes, rows: int) -> list[dict]:
    """The records of an answer, so many as custody says. Raises ValueError for what none of ours can be."""
    text = decompressed(packed)
    if sum(text.count(sign) for sign in (b",", b"{", b"[")) > MAX_VALUES:
        raise ValueError(f"holds more than {MAX_VALUES:,} values")
    found = [value(line) for line in text.split(b"\n") if line]
    if not all(isinstance(record, dict) for record in found):
        raise ValueError("holds a record that is none")
    if len(found) != rows:
        raise ValueError(f"holds {len(found)} records, and custody says {rows}")
    return found


# --- Custody ------------------------------------------------------------------------------------------------------------


def _plausible(moment: datetime) -> datetime:
    if moment.year not in YEARS:
        raise ValueError("is no time of a collection")
    return moment


def _text(moment: str) -> str:
    _MOMENT.validate_python(moment)
    return moment


_MOMENT: TypeAdapter = TypeAdapter(Annotated[AwareDatetime, AfterValidator(_plausible)])
Moment = Annotated[str, AfterValidator(_text)]
Instance = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,80}$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,80}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[float, Field(ge=-FARTHEST_S, le=FARTHEST_S)]


class _Event(BaseModel):
    """A line of custody. Facts that are read nowhere are not declared."""

    model_config = ConfigDict(strict=True)

    event: str
    at: Moment
    seq: int = Field(ge=0, le=MAX_COUNT)
    prev: str = Field(pattern=r"^([0-9a-f]{64})?$")


class _Opened(_Event):
    event: Literal["opened", "resumed"]
    by: str
    asks: list[Name] = []


class _Reached(_Event):
    event: Literal["reached"]
    system: Name
    instance: Instance
    identity: dict[str, Any]
    clock_offset_s: Seconds | None
    clock_error_s: Seconds | None


class _Answered(_Event):
    event: Literal["answered"]
    source: Name
    instance: Instance
    asked_at: Moment
    file: str = Field("", pattern=r"^(data/[a-z][a-z0-9_]{0,80}/[a-z0-9][a-z0-9_.-]{0,90}\.ndjson\.gz)?$")
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    rows: int = Field(ge=0, le=MAX_COUNT)
    error: str
    why: str
    closes: str = ""
    proof: str
    partial: list[Annotated[list[str], Field(min_length=3, max_length=3)]]


class _Note(_Event):
    event: Literal["note"]
    by: str
    text: str


EVENTS: dict[str, TypeAdapter] = {
    "opened": TypeAdapter(_Opened),
    "resumed": TypeAdapter(_Opened),
    "reached": TypeAdapter(_Reached),
    "answered": TypeAdapter(_Answered),
    "note": TypeAdapter(_Note),
}
ANY: TypeAdapter = TypeAdapter(_Event)


def event(line: bytes) -> dict:
    """A line of custody. Raises ValueError where it is not as one is written."""
    found = value(line)
    if not isinstance(found, dict):
        raise ValueError("is no event")
    try:
        EVENTS.get(str(found.get("event")), ANY).validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return found

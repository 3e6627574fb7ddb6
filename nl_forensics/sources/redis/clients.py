"""Who is connected."""

from nl_forensics.sources import Permission, Proof, as_rows, source
from nl_forensics.sources.redis.names import readable

TEXT = {"name": "name", "flags": "flags", "cmd": "command", "user": "user"}
NUMBERS = {
    "id": "id",
    "db": "db",
    "age": "age_s",
    "idle": "idle_s",
    "sub": "channels",
    "psub": "channel_patterns",
    "qbuf": "query_buffer_bytes",
    "omem": "output_buffer_bytes",
    "tot-mem": "memory_bytes",
}
KINDS = {"S": "replica", "M": "primary", "O": "monitor", "P": "subscriber"}


def _clients(records: list[dict]):
    return as_rows(records).rename(columns=TEXT | NUMBERS)


@source(
    parse=_clients,
    columns={
        "id": "Int64",
        "host": "str",
        "name": "str",
        "user": "str",
        "kind": "str",
        "flags": "str",
        "blocked": "boolean",
        "db": "Int64",
        "command": "str",
        "age_s": "Int64",
        "idle_s": "Int64",
        "channels": "Int64",
        "channel_patterns": "Int64",
        "query_buffer_bytes": "Int64",
        "output_buffer_bytes": "Int64",
        "memory_bytes": "Int64",
    },
    covers="now",
    needs=Permission(redis="+client|list +client|info"),
    guide=("C074",),
)
def redis_clients(redis):
    """Every connection as it is now, ours left out; one row per connection.

    host      address without its port
    kind      `client`, `subscriber`, `replica`, `primary` or `monitor`
    flags     as Redis gives them; `b`: waits in a blocking command, or was paused
    command   the last one, in lower case
    age_s, idle_s         since it connected, since its last command, seconds
    output_buffer_bytes   answers that it has not read yet
    memory_bytes          all that this connection takes
    """
    own = _fields(redis.call("CLIENT", "INFO"))["id"]
    lines = redis.call("CLIENT", "LIST").splitlines()
    yield Proof(f"CLIENT LIST shows {len(lines)} connections, ours among them")
    for line in lines:
        fields = _fields(line)
        if fields.get("id") not in (own, None):
            yield _record(fields)


def _fields(line: str) -> dict[str, str]:
    return dict(field.partition("=")[::2] for field in line.split(" "))


def _record(fields: dict[str, str]) -> dict:
    """The words of CLIENT LIST: numbers as numbers; one that this version does not give is null."""
    flags = fields.get("flags", "")
    numbers = {name: int(fields[name]) if name in fields else None for name in NUMBERS}
    text = {name: readable(fields.get(name, "")) for name in TEXT}
    kind = next((KINDS[flag] for flag in flags if flag in KINDS), "client")
    host = fields.get("addr", "").rpartition(":")[0]
    return text | numbers | {"host": host, "kind": kind, "blocked": "b" in flags}

"""Clients that are connected."""

from nl_forensics.sources import Permission, Proof, as_rows, source
from nl_forensics.sources.column import Column
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
        "id": Column("Int64", "client ID, unique since the start of the server"),
        "host": Column("str", "address of the client, without its port"),
        "name": Column("str", "name set by CLIENT SETNAME; empty if not set"),
        "user": Column("str", "ACL user; empty before Redis 6.0"),
        "kind": Column("str", "`client`, `subscriber`, `replica`, `primary` or `monitor`"),
        "flags": Column("str", "flags of CLIENT LIST; `b`: waits in a blocking command, or is paused"),
        "blocked": Column("boolean", "it waits in a blocking command, or is paused"),
        "db": Column("Int64", "number of the selected database"),
        "command": Column("str", "last command, in lower case"),
        "age_s": Column("Int64", "time since it connected"),
        "idle_s": Column("Int64", "time since its last command"),
        "channels": Column("Int64", "channels that it subscribes to"),
        "channel_patterns": Column("Int64", "patterns of channels that it subscribes to"),
        "query_buffer_bytes": Column("Int64", "received commands that are not processed yet"),
        "output_buffer_bytes": Column("Int64", "replies that the client has not read yet"),
        "memory_bytes": Column("Int64", "all memory of this connection"),
    },
    covers="now",
    needs=Permission(redis="+client|list +client|info"),
    guide=("C074",),
)
def redis_clients(redis):
    """Connections at the time of the sample, except ours; one row per connection."""
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

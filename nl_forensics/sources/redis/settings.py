"""The configuration that matters. Only named parameters are asked for: `CONFIG GET *` would send passwords."""

from nl_forensics.errors import NotAllowed
from nl_forensics.sources import Permission, source
from nl_forensics.sources.column import Column

PARAMETERS = (
    "activedefrag",
    "appendfsync",
    "appendonly",
    "client-output-buffer-limit",
    "databases",
    "hz",
    "latency-monitor-threshold",
    "latency-tracking",
    "lfu-log-factor",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-samples",
    "min-replicas-to-write",
    "protected-mode",
    "repl-backlog-size",
    "save",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "stop-writes-on-bgsave-error",
    "tcp-keepalive",
    "timeout",
)


def settings(redis, *names: str) -> dict[str, str]:
    """Parameters by name; one that this version does not know is left out. Redis 6.2 takes one name per question.

    Raises NotAllowed where the server hides its configuration, as managed ones do.
    """
    answers = redis.pipeline([("CONFIG", "GET", name) for name in names])
    if failed := next((answer for answer in answers if isinstance(answer, Exception)), None):
        raise NotAllowed(f"the server hides its configuration: {failed}", "let us read CONFIG GET of named parameters")
    return {name: answer[1] for name, answer in zip(names, answers, strict=True) if answer}


@source(
    columns={
        "name": Column("str", "parameter, as in redis.conf"),
        "value": Column(
            "str",
            'value in force: bytes and milliseconds are plain numbers, `save` is "seconds changes seconds changes …"',
        ),
    },
    covers="now",
    needs=Permission(redis="+config|get"),
    guide=("C074",),
)
def redis_settings(redis):
    """Configuration in force; one row per parameter.

    A parameter that this version of the server does not have has no row."""
    for name, value in settings(redis, *PARAMETERS).items():
        yield {"name": name, "value": value}

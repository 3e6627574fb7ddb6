"""Redis and Valkey: one connection, and an allow-list of commands made from what the sources declare."""

from datetime import UTC, datetime
from functools import cache

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from nl_forensics import sources
from nl_forensics.connect import measured_clock
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable, SourceError
from nl_forensics.platform import Budget, Endpoint

CONNECTING = frozenset({"ping", "info", "time"})
WITH_SUBCOMMAND = frozenset({"acl", "client", "cluster", "config", "latency", "memory", "object", "slowlog", "xinfo"})


@cache
def allowed() -> frozenset[str]:
    """Every command that a source declares, as in an ACL: `slowlog|get`."""
    rules = (rule for source in sources.load().values() for rule in source.needs.redis.split())
    return CONNECTING | {rule.removeprefix("+") for rule in rules}


def connect(address: str, endpoint: Endpoint, budget: Budget) -> "RedisLink":
    """Open the connection of one instance."""
    try:
        client = redis.Redis.from_url(
            address,
            socket_timeout=budget.question_s,
            socket_connect_timeout=budget.connect_s,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            encoding_errors="backslashreplace",
            protocol=2,
            single_connection_client=False,
            max_connections=1,
            driver_info=None,
        )
    except ValueError as error:
        raise NotConfigured(
            f"the address is not a Redis address: {error}", "redis://user:password@host:6379/0"
        ) from None
    return RedisLink(client)


class RedisLink:
    """One connection to one Redis. Values are decoded; bytes that are no UTF-8 are shown as escapes."""

    def __init__(self, client: redis.Redis):
        self._client = client
        server = self.call("INFO", "server")
        self.version = server.get("redis_version", "")
        self.identity = {"version": self.version, "run_id": server.get("run_id"), "mode": server.get("redis_mode")}
        self.clock = measured_clock(self._time)

    def _time(self) -> datetime:
        seconds, microseconds = self.call("TIME")
        return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)

    def call(self, *command):
        """The answer to one command. Raises NotAllowed, NotReachable or BadAnswer."""
        _refuse_unlisted(command)
        try:
            return self._client.execute_command(*command)
        except exceptions.RedisError as error:
            raise _failed(error) from None

    def pipeline(self, commands: list[tuple]) -> list:
        """The answers to many commands in one round trip; a key that vanished between is an exception in the list."""
        for command in commands:
            _refuse_unlisted(command)
        try:
            pipe = self._client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            answers = pipe.execute(raise_on_error=False)
        except exceptions.RedisError as error:
            raise _failed(error) from None
        if denied := next((a for a in answers if isinstance(a, exceptions.NoPermissionError)), None):
            raise _failed(denied)
        return answers

    def close(self) -> None:
        self._client.close()


def _refuse_unlisted(command: tuple) -> None:
    name = str(command[0]).lower()
    full = f"{name}|{str(command[1]).lower()}" if name in WITH_SUBCOMMAND and len(command) > 1 else name
    if full not in allowed():
        raise BadAnswer(f"refused to send {full}: no source declares it")


def _failed(error: exceptions.RedisError) -> SourceError:
    said = " ".join(str(error).split())
    if isinstance(error, exceptions.AuthenticationError) or said.startswith(
        ("WRONGPASS", "NOAUTH", "invalid username")
    ):
        return NotAllowed(said, "check the user and the password in the environment variable of this endpoint")
    if isinstance(error, exceptions.NoPermissionError) or said.startswith("NOPERM"):
        return NotAllowed(said)
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
        closes = "check the address: redis:// or rediss://, host and port, and whether the server runs"
        return NotReachable(said or "the connection was closed", closes)
    return BadAnswer(said)

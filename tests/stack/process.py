"""A server program as a process of ours: loopback, a free port, a temporary folder, gone afterwards."""

import contextlib
import itertools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.stack import guard

HOST = "127.0.0.1"
NO_SERVER = "NL_TESTS_NO_SERVER"  # set while a test runs that is marked `fast`, also for the programs that it starts (conftest.py)
READY_WITHIN_S = 30
STOPPED_WITHIN_S = 10


class MissingServer(RuntimeError):
    """A server program is not installed."""

    def __init__(self, what, remedy="run tests/stack/install.sh"):
        super().__init__(f"{what} is not installed: {remedy}")


class ServerFailed(RuntimeError):
    """A server ended, or did not answer in time; carries the end of its log."""


def program(name):
    """Full path of a server program."""
    # PgBouncer lives in /usr/sbin, which is not on everyone's PATH.
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
    if not found:
        raise MissingServer(name)
    return found


def cache_folder():
    """Where install.sh puts programs, and we put prepared data folders. The same rule as in install.sh."""
    default = "/var/cache/nl-forensics-stack" if os.geteuid() == 0 else Path.home() / ".cache/nl-forensics-stack"
    return Path(os.environ.get("NL_FORENSICS_STACK_CACHE", default))


def unprivileged_user():
    """PostgreSQL and PgBouncer refuse to run as root: the user to run them as, or None if we aren't root."""
    return "postgres" if os.geteuid() == 0 else None


PORTS = range(20_000, 32_000)  # below those from which outgoing connections take theirs
PORTS_OF_ONE_PROCESS = 500


@cache
def _own_ports():
    """(claim, the numbers over and over): ports that no other run of tests on this machine draws from.

    Between the choice of a port and the start of its server, and while a server is down, anybody could take it. The claim is a name
    that the kernel gives to one process only, and takes back when that ends.
    """
    starts = PORTS[::PORTS_OF_ONE_PROCESS]
    for first in random.sample(starts, len(starts)):
        claim = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            claim.bind(f"\0nl-stack-ports-{first}")
            own = range(first, first + PORTS_OF_ONE_PROCESS)
            return claim, itertools.cycle(random.sample(own, len(own)))
        claim.close()
    raise ServerFailed(f"{len(starts)} processes of tests have servers on this machine already: end some")


def free_port():
    """A port that nobody listens on, and that this process has not given lately."""
    while True:
        port = next(_own_ports()[1])
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port


MEMORY, ROOM_BYTES = Path("/dev/shm"), 4 << 30


def in_memory():
    """Where files cost least, if there is room for all servers; None: where temporary files are. Some machines let no program run there."""
    with contextlib.suppress(OSError):
        place = os.statvfs(MEMORY)
        if place.f_bavail * place.f_frsize >= ROOM_BYTES and not place.f_flag & os.ST_NOEXEC:
            return MEMORY
    return None


_guards: list[subprocess.Popen] = []  # keeps the pipe to the guard open


@cache
def root():
    """The folder of all servers of this Python process, watched by a guard that outlives us for a moment."""
    folder = Path(tempfile.mkdtemp(prefix="nl-stack-", dir=in_memory())).resolve()
    folder.chmod(0o755)  # the unprivileged user has to get through
    # A session of its own, so that Ctrl-C in a terminal does not end it before us. Never waited for: it ends last.
    command = [sys.executable, "-I", guard.__file__, folder]
    _guards.append(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True))
    return folder


_numbers = itertools.count(1)


def new_folder(name, user=None):
    """An empty folder for one server, owned by the user that will run it."""
    folder = root() / f"{name}-{next(_numbers)}"
    folder.mkdir(mode=0o700)
    if user:
        shutil.chown(folder, user, user_group(user))
    return folder


def write_file(path, text, user=None):
    """Write a configuration file that the user of a server can read, whatever our umask."""
    path.write_text(text)
    if user:
        shutil.chown(path, user)


def user_group(user):
    """The number of a user's own group."""
    return pwd.getpwnam(user).pw_gid


@dataclass(kw_only=True)
class Process:
    """One server program: started, frozen, stopped, started again on the same port, and removed at the end of `with`.

    It counts as started once `answers()` is true: by default, once its port accepts connections.
    """

    command: list
    folder: Path
    port: int
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: str = "SIGTERM"
    popen: subprocess.Popen | None = None

    @property
    def log(self):
        """What the server printed; lies beside its folder and stays until this Python process ends."""
        return self.folder.parent / f"{self.folder.name}.log"

    def answers(self):
        try:
            socket.create_connection((HOST, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def start(self):
        if NO_SERVER in os.environ:
            raise AssertionError("a `fast` test starts a program: let tests/marks.py see that, or mark it")
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [str(word) for word in self.command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **self.environment},
                user=self.user,
                group=user_group(self.user) if self.user else None,
                extra_groups=[] if self.user else None,
            )
        self._wait_until_it_answers()
        return self

    def _wait_until_it_answers(self):
        deadline = time.monotonic() + READY_WITHIN_S
        while not self.answers():
            if self.popen.poll() is not None:
                raise ServerFailed(f"{self.folder.name} ended with status {self.popen.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{self.folder.name} does not answer after {READY_WITHIN_S} s:\n{self.log_tail()}")
            time.sleep(0.02)

    def log_tail(self, lines=20):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def running(self):
        return self.popen is not None and self.popen.poll() is None

    def freeze(self):
        """Stop every process of the server as a hung machine would: connections are accepted, nothing is answered."""
        guard.signal_all(self.folder, signal.SIGSTOP)

    def thaw(self):
        guard.signal_all(self.folder, signal.SIGCONT)

    def stop(self):
        """End the server in good order, or by force if it doesn't; its data stay."""
        if self.running():
            self.thaw()
            self.popen.send_signal(signal.Signals[self.stop_signal])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(STOPPED_WITHIN_S)
        self.kill()

    def kill(self):
        """End the server as a crash would; its data stay."""
        guard.kill_all(self.folder)
        if self.popen:
            self.popen.wait()

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """End the server and remove its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def run(command, user=None, **environment):
    """Run a program to its end; its output is part of the error if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env={**os.environ, **environment},
        user=user,
        group=user_group(user) if user else None,
        extra_groups=[] if user else None,
    )
    if done.returncode:
        raise ServerFailed(f"{' '.join(str(word) for word in command)}\n{done.stdout}")
    return done.stdout

"""A clock for servers to look at: they have been up for hours and their fault is minutes old, while both took seconds to make.

Only the time of day is another one. Durations (how long a statement took) and timeouts are measured by the monotonic clock, and stay real.
"""

import shutil
import struct
from datetime import timedelta
from functools import cache
from pathlib import Path

from tests.stack.process import MissingServer, root, run

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """Shows the servers that are started with its `environment` a time in the past, until it is set to now."""

    def __init__(self, behind: timedelta):
        self._file = root() / "clock"
        self.set(behind)
        self._file.chmod(0o644)  # the unprivileged user of a server reads it
        self.environment = {"LD_PRELOAD": str(_library()), "NL_CLOCK": str(self._file)}

    def set(self, behind: timedelta) -> None:
        """Every server sees it at once: the file is mapped into its memory, so it is changed in place."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", round(behind.total_seconds())))


@cache
def _library() -> Path:
    library = root() / "clock.so"
    if not shutil.which("cc"):
        raise MissingServer("a C compiler (for recording only)", "apt-get install gcc libc6-dev")
    run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-o", library, SOURCE])
    return library

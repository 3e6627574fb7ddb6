"""A clock for PostgreSQL to look at: it has been up for hours and its fault is minutes old, while both took seconds to make.

libfaketime answers a server's questions for the time of day, from a file that can be rewritten while the server runs. Durations (how long
a statement took) and timeouts are measured by the monotonic clock, and stay real.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.stack.process import MissingServer, root

NOTICED_AFTER_S = 1  # a server reads the file again when what it read is this old
DEADLINE_S = 15


class Clock:
    """Shows the servers that are started with its `environment` a time in the past, until it is set to now."""

    def __init__(self, behind: timedelta):
        self._file = root() / "clock"
        self._show(behind)
        self._file.chmod(0o644)  # the unprivileged user of a server reads it

    @property
    def environment(self) -> dict[str, str]:
        """What a server process needs to look at this clock."""
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        if not libraries:
            raise MissingServer("libfaketime")
        return {
            "LD_PRELOAD": str(libraries[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(NOTICED_AFTER_S),
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, behind: timedelta, *servers) -> None:
        """Go forward, until each of the servers has noticed."""
        self._show(behind)
        deadline = time.monotonic() + DEADLINE_S
        for server in servers:
            while abs(datetime.now(UTC) - behind - server.execute("SELECT clock_timestamp()")[0][0]).total_seconds() > 1:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{server.folder.name} does not notice its clock")
                time.sleep(0.1)

    def _show(self, behind: timedelta) -> None:
        self._file.write_text(f"-{behind.total_seconds():.0f}s\n" if behind else "+0\n")

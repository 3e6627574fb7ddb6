"""A port of this machine behind which libpq, which takes no socket of ours, finds the pod of a port-forward.

It lets in this process only: in many images the server trusts every client from the localhost of its pod, as a port-forward is,
and so would trust every user of this machine.
"""

import os
import socket
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nl_forensics.errors import SourceError

if TYPE_CHECKING:
    from nl_forensics.connect.forward import Forward

LOCALHOST = "127.0.0.1"


class LocalPort:
    """Where libpq finds the pod. Without a forward nothing is opened, and the address counts as it is.

    instead   what replaces parts of the address: host and its certificate stay those of the address
    """

    def __init__(self, forward: "Forward | None"):
        self.forward = forward
        self._listener: socket.socket | None = None
        self.instead: dict[str, Any] = {}
        if forward:
            self._listener = socket.create_server((LOCALHOST, 0))
            self.instead = {"hostaddr": LOCALHOST, "port": self._listener.getsockname()[1]}
            threading.Thread(target=self._accept, args=(self._listener, forward), daemon=True).start()

    @property
    def failure(self) -> SourceError | None:
        """Why the latest connection failed, where it was not the server that said it."""
        return self.forward.failure if self.forward else None

    def _accept(self, listener: socket.socket, forward: "Forward") -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = listener.accept()
                if not is_ours(near):
                    near.close()
                    continue
                with suppress(SourceError):  # is the failure of the forward now
                    forward.carry(near)

    def close(self) -> None:
        if self._listener:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for the next connection
            self._listener.close()


def is_ours(near: socket.socket) -> bool:
    """Whether the other end of an accepted connection is a socket of this process."""
    with suppress(OSError):  # it is gone already
        ends = near.getpeername(), near.getsockname()
        return any(_ends(int(file.name)) == ends for file in Path("/dev/fd").iterdir())
    return False


def _ends(number: int) -> tuple | None:
    """Both ends of the connection that an open file of this process is, if it is one.

    What is no socket is never given to `fromfd`, which would leave its copy of the file open.
    """
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as one:
                return one.getsockname(), one.getpeername()
    return None

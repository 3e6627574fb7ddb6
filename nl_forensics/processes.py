"""Child processes, forked from a server that has preloaded the modules and never runs the main program."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.process import BaseProcess
from types import ModuleType

context = multiprocessing.get_context("forkserver")
_starting = threading.Lock()


def start(process: BaseProcess, preload: str) -> None:
    """Start a process of the `context`. `preload`: the module that the server imports; that of the first process counts.

    multiprocessing would run the main program again in it, and a script without `if __name__ == "__main__"` would fail.
    """
    context.set_forkserver_preload([preload])
    with _starting:
        ours = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            process.start()
        finally:
            sys.modules["__main__"] = ours


def kill_group(process: BaseProcess) -> None:
    """Kill a process, and all that it started if it has made a group of its own."""
    if process.pid and process.exitcode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()

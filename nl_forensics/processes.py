"""Processes of ours: each is forked from one that has read what it needs, and that knows nothing of the program that we are part of."""

import multiprocessing
import sys
import threading
from multiprocessing.process import BaseProcess
from types import ModuleType

context = multiprocessing.get_context("forkserver")
_starting = threading.Lock()


def start(process: BaseProcess, preload: str) -> None:
    """Start a process of the `context`. `preload`: the module that reads what it needs, unless the first process named another one.

    multiprocessing would run our program in it once more, so that a script without `if __name__ == "__main__"` would fail there.
    """
    context.set_forkserver_preload([preload])
    with _starting:
        ours = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            process.start()
        finally:
            sys.modules["__main__"] = ours

"""What takes long to start is kept for the next file that uses it, too: `kept("shop", start)` in a fixture of that name.

A session's fixture would go on until the last test, and work meanwhile.
"""

import threading
from contextlib import ExitStack

_kept = {}  # by the name of the fixture: what ends it, what it gives, and its threads


def kept(name, start):
    """What `with start()` gives; it is started when the first file asks for it."""
    if name not in _kept:
        before, running = set(threading.enumerate()), ExitStack()
        given = running.enter_context(start())
        _kept[name] = running, given, set(threading.enumerate()) - before
    return _kept[name][1]


def threads():
    """Those that go on after a file."""
    return {thread for _, _, its in _kept.values() for thread in its}


def end_all_but(names):
    """End what is not among the fixtures of the next file, the newest first."""
    for name in [name for name in reversed(_kept) if name not in names]:
        _kept.pop(name)[0].close()

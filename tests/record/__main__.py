"""`python -m tests.record [stories|specimens] [name…]`: record them anew, all of them by default. `make record`."""

import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.record import specimens, stories
from tests.stack.process import MissingServer

# A story needs the machine for itself; a specimen mostly waits for its second reading.
AT_ONCE = {"stories": 1, "specimens": 4}


def main(arguments: list[str]) -> int:
    kinds = [arguments[0]] if arguments and arguments[0] in AT_ONCE else list(AT_ONCE)
    names = set(arguments) - AT_ONCE.keys()
    if unknown := names - {name for kind in kinds for name in _works(kind)}:
        print(f"nothing to record is called {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    done = []
    for kind in kinds:
        works = {name: work for name, work in _works(kind).items() if name in names or not names}
        with ThreadPoolExecutor(AT_ONCE[kind]) as pool:
            done += [pool.submit(_timed, name, work) for name, work in works.items()]
    return _told_failures(done)


def _works(kind: str) -> dict[str, Callable]:
    """What there is to record, by name."""
    if kind == "specimens":
        return {one.name: lambda one=one: specimens.make(one) for one in specimens.load().values()}
    return {one.name: lambda one=one: stories.record(one) for one in stories.registered().values()}


def _timed(name: str, work: Callable) -> None:
    began = time.monotonic()
    work()
    print(f"{name:40} {time.monotonic() - began:5.1f} s", flush=True)


def _told_failures(done: list[Future]) -> int:
    """One that fails does not keep the others from being recorded."""
    failures = [error for future in done if (error := future.exception())]
    for error in failures:
        if isinstance(error, MissingServer):
            print(error, file=sys.stderr)
        else:
            traceback.print_exception(error)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

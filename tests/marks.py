"""What a test needs, found in its code: nothing (`fast`), a server, a cluster, or a kernel that runs a notebook.

A test is followed into its fixtures and into whatever functions of `tests` these call. It needs a server where that leads to a program
that we start, and a cluster where it leads to a whole one. What is overlooked fails: no program can be started by a fast test.
"""

import inspect
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType

from nl_forensics.delivery.kernel import EncryptedKernel
from nl_forensics.delivery.report import report
from tests.stack.kubernetes import cluster
from tests.stack.process import Process

FAST, SERVER, CLUSTER, NOTEBOOK = "fast", "server", "cluster", "notebook"
MARKS = {
    FAST: "needs no server: `make check` runs it",
    SERVER: "starts a real server, or asks one that is shared",
    CLUSTER: "starts a whole Kubernetes",
    NOTEBOOK: "executes a notebook, or starts a kernel",
}


def mark_of(item) -> str:
    """One of MARKS. A mark that is written at the test, or at its module, is taken as it is."""
    for written in MARKS:
        if item.get_closest_marker(written):
            return written
    if not hasattr(item, "function"):  # a cell, by nbval
        return NOTEBOOK
    fixtures = (one.func for many in item._fixtureinfo.name2fixturedefs.values() for one in many)
    reached = {need for function in (item.function, *fixtures) for need in _needs(function)}
    return next((need for need in (CLUSTER, NOTEBOOK, SERVER) if need in reached), FAST)


@cache
def _needs(function) -> frozenset[str]:
    """What a function leads to."""
    found, seen, waiting = set(), set(), [function]
    while waiting:
        one = inspect.unwrap(waiting.pop())
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, type) and issubclass(one, Process):
            found.add(SERVER)
        elif one is cluster.cluster.__wrapped__:
            found.add(CLUSTER)
        elif one in (EncryptedKernel, report):
            found.add(NOTEBOOK)
        elif isinstance(one, FunctionType):
            waiting += _named(one)
        elif isinstance(one, type):
            waiting += [part for part in vars(one).values() if isinstance(part, FunctionType)]
    return frozenset(found)


def _named(function: FunctionType) -> Iterator:
    """The functions and classes of `tests` that its code names, also as `module.name`."""
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    for name in names:
        value = function.__globals__.get(name)
        if isinstance(value, ModuleType) and value.__name__.startswith("tests."):
            yield from (getattr(value, inner) for inner in names if _is_ours(getattr(value, inner, None)))
        elif _is_ours(value):
            yield value


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of the functions within it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _is_ours(value) -> bool:
    return isinstance(value, FunctionType | type) and (
        value.__module__.startswith("tests.") or value in (EncryptedKernel, report)
    )

"""Notebooks that investigate an incident, and the small library that they share.

import nl_forensics as nl

case = nl.open_case(incident, platform, case, limits, narrative)   # open it, or collect it
nl.verdict(case, "05")                                             # what is wrong, what is fine, what could not be seen
nl.charts.slow_commands(case)                                      # one chart, one question
"""

import importlib

__all__ = ["charts", "open_case", "verdict"]


def __getattr__(name: str):
    """Load a part when it is first used: a kernel starts faster, and a collection needs no matplotlib."""
    if name == "charts":
        return importlib.import_module(f"{__name__}.charts")
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Notebooks that investigate an incident, and the small library that they share.

import nl_forensics as nl

case = nl.open_case(incident, platform, case, limits, narrative)   # open it, or collect it
nl.verdict(case, "05")                                             # what is wrong, what is fine, what could not be seen
nl.charts.slow_commands(case)                                      # one chart, one question
nl.tables.last_lines(case)                                         # one table, where words tell more than a picture
nl.causes(case)                                                    # of each service, which causes of slowness are supported
nl.postmortem.order(case, findings)                                # what happened, in which order, by one clock
"""

import importlib

MODULES = ("charts", "postmortem", "tables")
PLACES = {"causes": "slowness", "open_case": "notebook", "verdict": "notebook"}
__all__ = ["causes", "charts", "open_case", "postmortem", "tables", "verdict"]


def __getattr__(name: str):
    """Load a part when it is first used: a kernel starts faster, and a collection needs no matplotlib."""
    if name in MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in PLACES:
        return getattr(importlib.import_module(f"{__name__}.{PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Incident forensics in notebooks, and the library behind them.

import nl_forensics as nl

case = nl.open_case(incident, platform, case, limits, narrative)   # open it, or collect it
nl.verdict(case, "05")                                             # problems, undetermined checks, passed checks
nl.charts.slow_commands(case)                                      # one chart, one question
nl.tables.last_lines(case)                                         # one table, where rows say more than a chart
nl.causes(case)                                                    # of each service, which causes of slowness are supported
nl.postmortem.order(case, findings)                                # what happened, in which order, by one clock
"""

import importlib

PLACES = {
    "causes": "conclusions.causes:causes",
    "charts": "charts",
    "open_case": "delivery.notebook:open_case",
    "postmortem": "conclusions.postmortem",
    "tables": "charts.tables",
    "verdict": "delivery.notebook:verdict",
}
__all__ = sorted(PLACES)


def __getattr__(name: str):
    """Load a part when it is first used: a kernel starts faster, and a collection needs no matplotlib."""
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, part = PLACES[name].partition(":")
    loaded = importlib.import_module(f"{__name__}.{module}")
    return getattr(loaded, part) if part else loaded

"""All errors of this package, as one tree:

* ForensicsError
  x ParameterError      a parameter is missing, misspelt or out of range: names it, and its valid values
  x SourceError         a system could not be queried: caught by the source worker only, recorded in the case
    + NotConfigured     its address or login is missing: names the variable to set
      - NotGiven        nothing optional was given to examine: out of scope, and no data gap
    + NotReachable      no answer: connection refused, timeout, no route, no free connection; an outage
    + NotAllowed        permission denied; names the missing permission
    + BadAnswer         its answer can't be parsed
      - NotServed       it does not provide this
  x CaseError           the case is missing, altered or incomplete: names the file
"""

import difflib
from collections.abc import Iterable


class ForensicsError(Exception):
    """The root: its text is one line with the next step."""


class ParameterError(ForensicsError):
    """A parameter is missing, misspelt or out of range."""


class SourceError(ForensicsError):
    """A system could not be queried. `remedy` is what would close the gap.

    on_the_way   the failure is on the path to the system (the port-forward through the cluster), so it is no outage of the system
    """

    def __init__(self, why: str, remedy: str = "", on_the_way: bool = False):
        super().__init__(why)
        self.remedy, self.on_the_way = remedy, on_the_way


class NotConfigured(SourceError):
    """The address or the login of the system is missing."""


class NotGiven(NotConfigured):
    """The question is about something optional that was not given, so there is nothing to ask."""


class NotReachable(SourceError):
    """The system gave no answer."""


class NotAllowed(SourceError):
    """The system denied permission."""


class BadAnswer(SourceError):
    """The answer of the system can't be parsed."""


class NotServed(BadAnswer):
    """The system does not provide this."""


class CaseError(ForensicsError):
    """The case is missing, altered or incomplete."""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The end of a message about an unknown name: the closest known one, else `otherwise`."""
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else otherwise


def check_names(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raises ParameterError for an unknown name of a source or a check. `kind`: "source" or "check"."""
    for name in sorted(set(names) - set(known)):
        near = did_you_mean(name, known)
        raise ParameterError(f"no {kind} is called {name}{near} (`nl-forensics {kind}s` lists them)")

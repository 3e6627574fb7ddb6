"""Everything that can go wrong, as one tree:

* ForensicsError
  x ParameterError      a parameter is missing, misspelt or out of range: says which, and what it may be
  x SourceError         a system could not be asked: caught by the source worker only, recorded in the case
    + NotConfigured     its address or login is missing: says what to set
    + NotReachable      no answer: refused, timed out, no route, no free connection; an outage
    + NotAllowed        it answered: you may not see this; names the missing permission
    + BadAnswer         it answered something that can't be read
      - NotServed       it does not have this at all
  x CaseError           the case is missing, altered or incomplete: says which file and where
"""

import difflib
from collections.abc import Iterable


class ForensicsError(Exception):
    """The root: its text is one line that says what to do next."""


class ParameterError(ForensicsError):
    """A parameter is missing, misspelt or out of range."""


class SourceError(ForensicsError):
    """A system could not be asked. `remedy` says what would close the gap.

    on_the_way   it was met before the system itself was (no way through the cluster), so it is no outage of the system
    """

    def __init__(self, why: str, remedy: str = "", on_the_way: bool = False):
        super().__init__(why)
        self.remedy, self.on_the_way = remedy, on_the_way


class NotConfigured(SourceError):
    """The address or the login of the system is missing."""


class NotReachable(SourceError):
    """The system gave no answer."""


class NotAllowed(SourceError):
    """The system answered that we may not see this."""


class BadAnswer(SourceError):
    """The system answered something that can't be read."""


class NotServed(BadAnswer):
    """The system does not have this at all."""


class CaseError(ForensicsError):
    """The case is missing, altered or incomplete."""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """What to say after a name that there is not: the nearest one that there is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else otherwise


def check_names(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raises ParameterError for a name of a source or a check that there is not. `kind`: "source" or "check"."""
    for name in sorted(set(names) - set(known)):
        near = did_you_mean(name, known)
        raise ParameterError(f"no {kind} is called {name}{near} (`nl-forensics {kind}s` lists them)")

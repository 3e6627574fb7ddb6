"""Every rule that a healthy system keeps. A check returns the rows that break its rule; `ok` is granted by `judge`, never by a rule."""

from collections.abc import Iterable

from nl_forensics.checks.judge import judge
from nl_forensics.checks.rule import CHECKS, Check
from nl_forensics.errors import ParameterError, did_you_mean
from nl_forensics.evidence.case import Case
from nl_forensics.finding import Change, Findings, changes

ABOUT_ALL = ("01", "11")  # sections of the guide that have no rules of their own, and rest on those of all others


def load() -> dict[str, Check]:
    """Every check, by name."""
    from nl_forensics.checks import (  # noqa: F401
        billing,
        identity,
        kubernetes,
        monitoring,
        network,
        postgres,
        redis,
        services,
        systems,
        tenants,
    )

    return CHECKS


def check_limits(limits: dict[str, dict[str, float]]) -> None:
    """Raises ParameterError where the parameters name a check or a limit that there is not."""
    for name, values in limits.items():
        if name not in load():
            raise ParameterError(f"limits.{name}: no such check{did_you_mean(name, CHECKS)}")
        if unknown := sorted(values.keys() - CHECKS[name].limits.keys()):
            known = ", ".join(CHECKS[name].limits) or "no limits"
            raise ParameterError(f"limits.{name}.{unknown[0]}: {name} has {known}")


def of_sections(sections: Iterable[str]) -> list[Check]:
    """The checks of the named sections; all where none is named, or one that is about all."""
    wanted = set(sections)
    everything = not wanted or wanted & set(ABOUT_ALL)
    return [one for one in load().values() if everything or one.section in wanted]


def check_sections(sections: Iterable[str]) -> None:
    """Raises ParameterError for a section of the guide that has no checks: to find nothing wrong in it would be no news."""
    known = sorted({*ABOUT_ALL, *(one.section for one in load().values())})
    if unknown := sorted(set(sections) - set(known)):
        raise ParameterError(f"there is no section {unknown[0]}: choose from {', '.join(known)}")


def changes_since_last_round(case: Case, findings: Findings) -> list[Change]:
    """What came and went since the round before, judged by the same checks; nothing where there was none."""
    before, judged = case.before(), {finding.section for finding in findings}
    return changes(run_checks(before, judged), findings) if before and judged else []


def run_checks(case: Case, sections: Iterable[str] = ()) -> Findings:
    """The findings of every check of the named sections, worst first; see `of_sections`."""
    check_limits(case.parameters.limits)
    found = (finding for one in of_sections(sections) for finding in judge(one, case))
    return Findings(found, about=str(case.scope or ""))

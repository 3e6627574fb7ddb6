"""What a rule is: a filter that returns the rows which break it, and how such a row is worded and graded."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from nl_forensics.finding import Severity


class Unseen(Exception):
    """Raised by a rule that finds in its tables, whole as they are, nothing that it could be held against."""

    def __init__(self, unseen: str, remedy: str):
        super().__init__(unseen)
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True)
class Check:
    """A rule, and how to word a row that breaks it.

    rule       the healthy state, in one sentence; doc: the same, and why it matters
    grades     severity → expression over the columns of an offending row and the limits (`age_s >= high_age_s`); the worst that
               holds counts, `severity` where none does
    needs      tables, by argument name; the first one dates the finding
    limits     keyword-only arguments with their defaults
    at         column with the time at which the row's fault began; "" when the table has none
    until      column with the time at which it was over, null where it lasts; "" when the rule's rows have no such column
    baseline   whether the rule compares with the baseline, so that a gap there is a gap
    """

    name: str
    section: str
    rule: str
    doc: str
    severity: str
    grades: dict[str, str]
    subject: str
    because: str
    at: str
    until: str
    offenders: Callable[..., pd.DataFrame]
    needs: tuple[str, ...]
    limits: dict[str, float]
    baseline: bool
    guide: tuple[str, ...]

    def graded(self, rows: pd.DataFrame, limits: dict[str, float]) -> pd.DataFrame:
        """Offending rows with their `severity`, the worst first; rows of one severity stay in the order of the rule."""
        rows = rows.assign(severity=self.severity)
        for severity in reversed(Severity):
            if holds := self.grades.get(severity):
                rows.loc[_holds(holds, rows, limits), "severity"] = str(severity)
        rank = rows.severity.map({str(severity): number for number, severity in enumerate(Severity)})
        return rows.iloc[rank.argsort(kind="stable")]


def _holds(expression: str, rows: pd.DataFrame, limits: dict[str, float]) -> pd.Series:
    """Where an expression is true; null is not true."""
    return rows.eval(expression, local_dict={}, global_dict={}, resolvers=[limits, rows]).fillna(False).astype(bool)


CHECKS: dict[str, Check] = {}


def check(
    *,
    section: str,
    severity: str,
    subject: str,
    because: str,
    critical: str = "",
    high: str = "",
    medium: str = "",
    note: str = "",
    at: str = "",
    until: str = "",
    baseline: bool = False,
    guide: tuple[str, ...] = (),
):
    """Register the decorated function. Its name and first line state the healthy state; the rest says why it matters.

    section        of the troubleshooting guide, `05`
    critical, …    grades beside `severity`: see `Check.grades`
    subject, because   templates over the columns of an offending row, and limits; see `units.Wording` for their units
    """
    grades = {"critical": critical, "high": high, "medium": medium, "note": note}

    def register(offenders: Callable) -> Callable:
        arguments = inspect.signature(offenders).parameters.values()
        doc = inspect.getdoc(offenders) or ""
        CHECKS[offenders.__name__] = Check(
            name=offenders.__name__,
            section=section,
            rule=doc.splitlines()[0],
            doc=doc,
            severity=Severity(severity),
            grades={severity: holds for severity, holds in grades.items() if holds},
            subject=subject,
            because=because,
            at=at,
            until=until,
            offenders=offenders,
            needs=tuple(p.name for p in arguments if p.kind is not p.KEYWORD_ONLY),
            limits={p.name: p.default for p in arguments if p.kind is p.KEYWORD_ONLY},
            baseline=baseline,
            guide=guide,
        )
        return offenders

    return register

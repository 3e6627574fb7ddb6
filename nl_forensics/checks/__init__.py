"""Every rule that a healthy system keeps. A check returns the rows that break its rule; `ok` is granted here, by the runner.

The law: bad evidence can prove a problem, only whole evidence can prove health.
"""

import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from nl_forensics import sources
from nl_forensics.case import Case
from nl_forensics.checks.wording import Wording, in_seconds
from nl_forensics.errors import ForensicsError, ParameterError, did_you_mean
from nl_forensics.finding import Change, Evidence, Finding, Findings, Severity, Status, When, changes
from nl_forensics.plain import printable
from nl_forensics.rounds import Gap

ABOUT_ALL = ("01", "11")  # sections of the guide that have no rules of their own, and rest on those of all others
GRACE = pd.Timedelta(minutes=2)  # an answer given this soon after the window still shows the window


class Unseen(Exception):
    """Raised by a rule that finds in its tables, whole as they are, nothing that it could be held against."""

    def __init__(self, unseen: str, closes: str):
        super().__init__(unseen)
        self.closes = closes


@dataclass(frozen=True)
class Check:
    """A rule, and how to word a row that breaks it.

    needs      tables, by argument name; the first one dates the finding
    limits     keyword-only arguments with their defaults
    at         column with the time at which the row's fault began; "" when the table has none
    until      column with the time at which it was over, null where it lasts; "" when the rule's rows tell no such thing
    baseline   whether the rule compares with the baseline, so that a gap there is a gap
    compares   columns that may be null for other rules, and must not be for this one
    """

    name: str
    section: str
    rule: str
    doc: str
    severity: str
    subject: str
    because: str
    at: str
    until: str
    offenders: Callable[..., pd.DataFrame]
    needs: tuple[str, ...]
    limits: dict[str, float]
    baseline: bool
    compares: tuple[str, ...]
    guide: tuple[str, ...]
    plans: tuple[str, ...]

    def run(self, case: Case) -> list[Finding]:
        """Problems, one per subject; or one unknown; or one ok; nothing about a system that the platform does not have.

        Never raises.
        """
        try:
            return self._judge(case) if all(case.instances(name) for name in self.needs) else []
        except Exception as error:  # noqa: BLE001 (one of the two places: a bug of ours is reported as such)
            because = f"the check itself failed, which is a bug of nl_forensics: {type(error).__name__}: {error}"
            return [self._finding(case, Status.UNKNOWN, because, closes="report this, with the case", bug=True)]

    def _judge(self, case: Case) -> list[Finding]:
        if blind := [gap for name in self.needs if (gap := self._blind(case, name))]:
            return [self._unknown(case, blind)]
        tables = {name: case.table(name) for name in self.needs}
        limits = self.limits | case.parameters.limits.get(self.name, {})
        try:
            offenders = self.offenders(**{name: case.whole_rows(name) for name in self.needs}, **limits)
        except Unseen as unseen:
            return [self._unknown(case, [Gap(self.needs[0], "", str(unseen), unseen.closes)])]
        gaps = [gap for name, table in tables.items() for gap in self._gaps(case, name, table)]
        if len(offenders):
            return self._problems(case, offenders, limits, more=bool(gaps))
        return [self._unknown(case, gaps)] if gaps else [self._ok(case, limits)]

    def _blind(self, case: Case, name: str) -> Gap | None:
        """Why a needed table can't be judged by at all: nothing recorded, altered, unreadable, or empty without proof."""
        gaps = case.gaps(name)
        if not any(answer.file for answer in case.answers.get(name, {}).values()):
            return next(iter(gaps), Gap(name, "", "was not collected", "collect again"))
        try:
            table = case.table(name)
        except ForensicsError as error:
            return Gap(name, "", str(error), "collect again")
        unproven = _unproven(case, name, table) if table.empty else []
        return [*gaps, *unproven][0] if unproven else None

    def _gaps(self, case: Case, name: str, table: pd.DataFrame) -> list[Gap]:
        """What the rule could not be held against."""
        told = [gap for gap in case.gaps(name) if gap.window == "incident" or self.baseline]
        nulls = self._nulls(name, table) if self.compares else []
        return told + _unproven(case, name, table) + _holes(case, name, table) + nulls

    def _nulls(self, name: str, table: pd.DataFrame) -> list[Gap]:
        """Rows without a value that is needed for this rule only."""
        lacking = table[[column for column in self.compares if column in table]].isna()
        return [
            Gap(name, "", f"{rows} of {len(table)} rows lack {column}", f"see why, in the rows of {name}")
            for column, rows in lacking.sum().items()
            if rows
        ]

    def _problems(self, case: Case, offenders: pd.DataFrame, limits: dict, more: bool) -> list[Finding]:
        """One finding per subject, worded by its first row: a check sorts its worst row first."""
        rows = offenders.assign(
            _subject=[Wording(self.subject).of(row | limits) for row in offenders.to_dict("records")]
        )
        rows["_when"] = self._placed(case, rows)
        return [
            self._problem(case, str(subject), group, limits, more)
            for subject, group in rows.groupby("_subject", sort=False)
        ]

    def _problem(self, case: Case, subject: str, rows: pd.DataFrame, limits: dict, more: bool) -> Finding:
        """What lies before the incident is history: told only where nothing later is."""
        rows = rows if (rows["_when"] == When.BEFORE).all() else rows[rows["_when"] != When.BEFORE]
        when = When(rows["_when"].iloc[0])
        rows = rows.drop(columns=["_subject", "_when"])
        worst = rows.iloc[0].to_dict()
        because = Wording(self.because).of(worst | limits)
        because += f", and {len(rows) - 1} more" if len(rows) > 1 else ""
        because += "; not everything was seen, there may be more" if more else ""
        began = rows[self.at].min() if self.at else pd.NaT
        facts = {
            "severity": Severity(worst.get("severity", self.severity)),
            "when": when,
            "at": None if pd.isna(began) else began,
            "partial": more,
        }
        return self._finding(case, Status.PROBLEM, because, subject=subject, limits=limits, rows=rows, **facts)

    def _placed(self, case: Case, rows: pd.DataFrame) -> list[When]:
        """Where each row's fault lies against the incident window.

        A row of a table that shows only *now* lasts until it was asked, unless it says that it is over; others happened at
        one moment. The window is one of our clock, the rows tell the time of the server's.
        """
        start, end = case.incident.start, case.incident.end + GRACE
        now = sources.load()[self.needs[0]].shows_only_now
        ahead_s = case.clocks_ahead_s(self.needs[0])
        ahead = pd.to_timedelta([ahead_s.get(instance, 0.0) for instance in rows.instance], unit="s")
        if self.at:
            began = rows[self.at].fillna(rows.asked_at) if now else rows[self.at]
        else:
            began = rows.asked_at if now else pd.Series(pd.NaT, index=rows.index)
        over = rows[self.until] if self.until else pd.Series(pd.NaT, index=rows.index)
        return [
            _when(at, asked if now and pd.isna(ended) else None, start, end)
            for at, asked, ended in zip(began - ahead, rows.asked_at - ahead, over, strict=True)
        ]

    def _unknown(self, case: Case, gaps: list[Gap]) -> Finding:
        """Nothing wrong was seen, but not everything was seen."""
        where = dict.fromkeys(
            f"{gap.source}{f' of {gap.instance}' if gap.instance else ''}: {gap.unseen}" for gap in gaps
        )
        shown = "; ".join(list(where)[:3]) + (f"; and {len(where) - 3} more" if len(where) > 3 else "")
        closes = next((gap.closes for gap in gaps if gap.closes), "")
        bug = any(answer.error == "Bug" for name in self.needs for answer in case.answers.get(name, {}).values())
        return self._finding(
            case, Status.UNKNOWN, f"not seen: {shown}", closes=closes, bug=bug, severity=self._note_or_none
        )

    @property
    def _note_or_none(self) -> str:
        return self.severity if self.severity == Severity.NOTE else ""

    def _ok(self, case: Case, limits: dict) -> Finding:
        """The rule holds, for the time that the tables show."""
        because, when = Wording(self.rule).of(limits), When.DURING
        moments = [case.asked_at_by_us(name) for name in self.needs if sources.load()[name].shows_only_now]
        if moments and (latest := max(moments)) > case.incident.end + GRACE:
            later = in_seconds((latest - case.incident.end).total_seconds())
            because, when = f"{because} (at {latest:%Y-%m-%d %H:%M} UTC, {later} after the window)", When.AFTER
        return self._finding(case, Status.OK, because, when=when, limits=limits)

    def _finding(self, case: Case, status: Status, because: str, subject: str = "", **facts) -> Finding:
        evidence = tuple(
            Evidence(name, answer.instance, answer.file, answer.sha256)
            for name in self.needs
            for answer in case.answers.get(name, {}).values()
            if answer.file
        )
        shown = {"plans": self.plans if status is Status.PROBLEM else (), "evidence": evidence}
        told = printable(subject or self.section), printable(because)
        return Finding(self.name, self.section, status, *told, **shown | facts)


def _when(began: pd.Timestamp, lasted_until: pd.Timestamp | None, start, end) -> When:
    if lasted_until is not None:
        return When.AFTER if began >= end else When.ONGOING
    if pd.isna(began):
        return When.UNDATED
    if began < start:
        return When.BEFORE
    return When.AFTER if began >= end else When.DURING


def _unproven(case: Case, name: str, table: pd.DataFrame) -> list[Gap]:
    """Instances of whom the table has no row, while nothing proves that they were measured."""
    seen = set(table.instance.unique())
    return [
        Gap(name, answer.instance, "is empty, and nothing proves that it was measured", "")
        for answer in case.answers[name].values()
        if answer.file and not answer.proof and answer.instance not in seen
    ]


def _holes(case: Case, name: str, table: pd.DataFrame) -> list[Gap]:
    """Rows that lack a value which a check may compare: a null is never a healthy zero."""
    source, holed = sources.load()[name], len(table) - len(case.whole_rows(name))
    if not holed:
        return []
    lacking = table[[column for column in source.columns if column not in source.nullable]].isna().any()
    columns = ", ".join(lacking[lacking].index)
    closes = source.hole or source.needs.closes(source.system)
    return [Gap(name, "", f"{holed} of {len(table)} rows lack {columns}", closes)]


CHECKS: dict[str, Check] = {}


def check(
    *,
    severity: str,
    subject: str,
    because: str,
    at: str = "",
    until: str = "",
    baseline: bool = False,
    compares: tuple[str, ...] = (),
    guide: tuple[str, ...] = (),
    plans: tuple[str, ...] = (),
):
    """Register the decorated function. Its name and first line state the healthy state; the rest says why it matters.

    The templates name columns of the offending rows, and limits; see `wording` for their units.
    """
    Severity(severity)

    def register(offenders: Callable) -> Callable:
        arguments = inspect.signature(offenders).parameters.values()
        needs = tuple(p.name for p in arguments if p.kind is not p.KEYWORD_ONLY)
        limits = {p.name: p.default for p in arguments if p.kind is p.KEYWORD_ONLY}
        doc = inspect.getdoc(offenders) or ""
        CHECKS[offenders.__name__] = Check(
            offenders.__name__,
            sys.modules[offenders.__module__].SECTION,
            doc.splitlines()[0],
            doc,
            severity,
            subject,
            because,
            at,
            until,
            offenders,
            needs,
            limits,
            baseline,
            compares,
            guide,
            plans,
        )
        return offenders

    return register


def load() -> dict[str, Check]:
    """Every check, by name."""
    from nl_forensics.checks import (  # noqa: F401
        certificates,
        connectivity,
        container_memory,
        dns,
        ingestion,
        kubernetes,
        latency,
        monitoring,
        pgbouncer,
        postgres,
        prometheus,
        redis,
        requests,
        saturation,
        services,
        systems,
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
    return Findings(finding for one in of_sections(sections) for finding in one.run(case))

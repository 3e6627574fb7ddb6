"""The runner grants `ok`, never a rule.

The law: bad evidence can prove a problem, only whole evidence can prove health.
"""

from dataclasses import replace

import pandas as pd

from nl_forensics import sources
from nl_forensics.checks.rule import Check, Unseen
from nl_forensics.checks.watch import Watch
from nl_forensics.evidence.case import Case
from nl_forensics.evidence.rounds import Gap
from nl_forensics.evidence.table import Table
from nl_forensics.facts.entities import component_of
from nl_forensics.finding import Evidence, Finding, Severity, Status, When
from nl_forensics.sanitize import printable
from nl_forensics.units import Wording, in_seconds

OUT_OF_RANGE = (OverflowError, pd.errors.OutOfBoundsDatetime, pd.errors.OutOfBoundsTimedelta)
GRACE = pd.Timedelta(minutes=2)  # an answer given this soon after the window still shows the window


def judge(check: Check, case: Case) -> list[Finding]:
    """Problems, one per subject; or one unknown; or one ok; nothing about a system that the platform does not have.

    Never raises.
    """
    return Judge(check, case).findings()


class Judge:
    """One rule held against one case."""

    def __init__(self, check: Check, case: Case):
        self.check, self.case = check, case
        self.limits = check.limits | case.parameters.limits.get(check.name, {})

    def findings(self) -> list[Finding]:
        try:
            return self._judge() if all(self.case.instances(name) for name in self.check.needs) else []
        except OUT_OF_RANGE as error:
            return [self._unknown([Gap(self.check.needs[0], "", f"a value is out of range: {error}", "")])]
        except Exception as error:  # noqa: BLE001 (one of the two places: a bug of ours is reported as such)
            because = f"the check itself failed, which is a bug of nl_forensics: {type(error).__name__}: {error}"
            return [self._finding(Status.UNKNOWN, because, remedy="report this, with the case", bug=True)]

    def _judge(self) -> list[Finding]:
        tables = [self.case.read(name) for name in self.check.needs]
        if blind := [table.gaps[0] for table in tables if table.is_blind]:
            return [self._unknown(blind)]
        watch = Watch()
        try:
            offenders = self.offenders(tables, watch)
        except Unseen as unseen:
            return [self._unknown([Gap(self.check.needs[0], "", str(unseen), unseen.remedy)])]
        gaps = [gap for table in tables for gap in self._gaps(table, watch)]
        offenders = self.case.scope.of(offenders) if self.case.scope else offenders
        if len(offenders):
            return self._problems(self.check.graded(offenders, self.limits), more=bool(gaps))
        return [self._unknown(gaps)] if gaps else [self._ok()]

    def offenders(self, tables: list[Table], watch: Watch) -> pd.DataFrame:
        """The rows that break the rule: of those without holes first, then of those that have holes only where the rule does not read."""
        rows = [table.whole_rows for table in tables]
        if not any(table.lacks_values for table in tables):
            return self.held_against(rows)
        found = self.held_against(rows, watch)
        more = [table.rows_with(watch.columns) for table in tables]
        if sum(map(len, more)) > sum(map(len, rows)):
            try:
                found = self.held_against(more, watch)
            except Exception:  # noqa: BLE001 (a hole broke the rule: every row with one is a gap)
                watch.columns.update(*(table.source.needed for table in tables))
        return found

    def held_against(self, tables: list[pd.DataFrame], watch: Watch | None = None) -> pd.DataFrame:
        """The rows that break the rule, among these."""
        rows = [watch.over(table) for table in tables] if watch else tables
        found = self.check.offenders(*rows, **self.limits)
        if not isinstance(found, pd.DataFrame):
            raise TypeError(f"it returned {type(found).__name__} in place of rows")
        return pd.DataFrame(found)

    def _gaps(self, table: Table, watch: Watch) -> list[Gap]:
        """What the rule could not be held against."""
        known = [gap for gap in table.gaps if gap.window == "incident" or self.check.baseline]
        return known + table.holes(watch.columns) + watch.gaps(table)

    def _problems(self, offenders: pd.DataFrame, more: bool) -> list[Finding]:
        """One finding per subject, worded by its first row: a check sorts its worst row first."""
        rows = offenders.assign(
            _subject=[Wording(self.check.subject).of(row | self.limits) for row in offenders.to_dict("records")]
        )
        rows["_when"] = self._placed(rows)
        return [self._problem(str(subject), group, more) for subject, group in rows.groupby("_subject", sort=False)]

    def _problem(self, subject: str, rows: pd.DataFrame, more: bool) -> Finding:
        """What lies before the incident is history: reported only where there is nothing later."""
        earlier = rows["_when"] == When.BEFORE
        rows = rows if earlier.all() else rows[~earlier]
        when = When(rows["_when"].iloc[0])
        rows = rows.drop(columns=["_subject", "_when"])
        worst = rows.iloc[0].to_dict()
        because = Wording(self.check.because).of(worst | self.limits)
        because += f", and {len(rows) - 1} more" if len(rows) > 1 else ""
        because += "; partial data: there may be more" if more else ""
        began = rows[self.check.at].min() if self.check.at else pd.NaT
        facts = {
            "severity": Severity(worst["severity"]),
            "when": when,
            "at": None if pd.isna(began) else began,
            "partial": more,
            "recurring": bool(earlier.any()),
        }
        found = self._finding(Status.PROBLEM, because, subject=subject, limits=self.limits, rows=rows, **facts)
        return replace(found, component=component_of(self.case, found))

    def _placed(self, rows: pd.DataFrame) -> list[When]:
        """Where each row's fault lies against the incident window.

        A row of a table that shows only *now* lasts until its collection, unless it says that it is over; others happened at
        one moment. The window is by our clock, the rows are by the clock of the server.
        """
        start, end = self.case.incident.start, self.case.incident.end + GRACE
        now = sources.load()[self.check.needs[0]].shows_only_now
        ahead_s = self.case.clocks_ahead_s(self.check.needs[0])
        ahead = pd.to_timedelta([ahead_s.get(instance, 0.0) for instance in rows.instance], unit="s")
        if self.check.at:
            began = rows[self.check.at].fillna(rows.asked_at) if now else rows[self.check.at]
        else:
            began = rows.asked_at if now else pd.Series(pd.NaT, index=rows.index)
        over = rows[self.check.until] if self.check.until else pd.Series(pd.NaT, index=rows.index)
        return [
            _when(at, asked if now and pd.isna(ended) else None, start, end)
            for at, asked, ended in zip(began - ahead, rows.asked_at - ahead, over, strict=True)
        ]

    def _unknown(self, gaps: list[Gap]) -> Finding:
        """No problem in the data available, and coverage is incomplete."""
        where = dict.fromkeys(gap.in_words for gap in gaps)
        shown = "; ".join(list(where)[:3]) + (f"; and {len(where) - 3} more" if len(where) > 3 else "")
        remedy = next((gap.remedy for gap in gaps if gap.remedy), "")
        bug = any(
            answer.error == "Bug" for name in self.check.needs for answer in self.case.answers.get(name, {}).values()
        )
        return self._finding(Status.UNKNOWN, f"not seen: {shown}", remedy=remedy, bug=bug, severity=self._note_or_none)

    @property
    def _note_or_none(self) -> str:
        return self.check.severity if self.check.severity == Severity.NOTE else ""

    def _ok(self) -> Finding:
        """The rule holds, for the time that the tables show."""
        because, when = Wording(self.check.rule).of(self.limits), When.DURING
        moments = [self.case.asked_at_by_us(name) for name in self.check.needs if sources.load()[name].shows_only_now]
        if moments and (latest := max(moments)) > self.case.incident.end + GRACE:
            later = in_seconds((latest - self.case.incident.end).total_seconds())
            because, when = f"{because} (at {latest:%Y-%m-%d %H:%M} UTC, {later} after the window)", When.AFTER
        return self._finding(Status.OK, because, when=when, limits=self.limits)

    def _finding(self, status: Status, because: str, subject: str = "", **facts) -> Finding:
        altered = tuple(dict.fromkeys(file for name in self.check.needs for file in self.case.read(name).altered))
        evidence = tuple(
            Evidence(name, answer.instance, answer.file, answer.sha256)
            for name in self.check.needs
            for answer in self.case.answers.get(name, {}).values()
            if answer.file
        )
        return Finding(
            check=self.check.name,
            section=self.check.section,
            status=status,
            subject=printable(subject or self.check.section),
            because=printable(because),
            evidence=evidence,
            altered=altered,
            **facts,
        )


def _when(began: pd.Timestamp, lasted_until: pd.Timestamp | None, start, end) -> When:
    if lasted_until is not None:
        return When.AFTER if began >= end else When.ONGOING
    if pd.isna(began):
        return When.UNDATED
    if began < start:
        return When.BEFORE
    return When.AFTER if began >= end else When.DURING

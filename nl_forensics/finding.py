"""What was concluded, on which rows, and about which time."""

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import pandas as pd

MAX_NAMES = 3
NO_REMEDY = "no remedy: not available in this configuration"


class Status(StrEnum):
    """Worst first. `unknown` is not good news: what was needed to judge is missing."""

    PROBLEM = "problem"
    UNKNOWN = "unknown"
    OK = "ok"


class Severity(StrEnum):
    """Worst first. A `note` is housekeeping, or history from before the incident: it is in an appendix, not in the verdict."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    NOTE = "note"


class When(StrEnum):
    """Where a finding lies against the incident window."""

    BEFORE = "before the incident"
    DURING = "during the incident"
    ONGOING = "ongoing"
    AFTER = "after the incident"
    UNDATED = "undated"


class Evidence(NamedTuple):
    """A recorded answer that a finding rests on."""

    source: str
    instance: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Finding:
    """One check's conclusion about one subject.

    severity  of a problem; "" otherwise, but `note` also where it is housekeeping that could not be judged
    at        when it happened or began, UTC; None when undated
    rows      the rows that break the rule; empty unless it is a problem
    remedy    of an unknown: what would close the gap
    limits    the limits that were applied, by name
    component what the subject is part of, as `namespace/workload`: findings on one component are counted together
    partial   of a problem: its data is partial, so that there may be more
    recurring of a problem: the subject broke the rule before the incident, too
    bug       the check itself failed: ours, not the system's
    altered   the recorded answers that it needs and that are not what was recorded
    """

    check: str
    section: str
    status: Status
    subject: str
    because: str
    severity: str = ""
    when: str = ""
    at: pd.Timestamp | None = None
    remedy: str = ""
    limits: dict = field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    component: str = ""
    partial: bool = False
    recurring: bool = False
    bug: bool = False
    altered: tuple[str, ...] = ()
    rows: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False, compare=False)

    @property
    def is_note(self) -> bool:
        return self.severity == Severity.NOTE

    @property
    def is_of_the_incident(self) -> bool:
        """Whether the verdict counts it: a problem that is no housekeeping and no history."""
        return self.status is Status.PROBLEM and not self.is_note and self.when != When.BEFORE

    def as_json(self) -> dict:
        """The finding as JSON values; rows as records, at most 20."""
        return {
            "check": self.check,
            "section": self.section,
            "status": str(self.status),
            "severity": str(self.severity),
            "subject": self.subject,
            "component": self.component,
            "because": self.because,
            "when": str(self.when),
            "at": self.at.isoformat() if self.at is not None else None,
            "remedy": self.remedy,
            "limits": self.limits,
            "evidence": [e._asdict() for e in self.evidence],
            "rows_total": len(self.rows),
            "rows": records(self.rows.head(20)),
        }


def records(rows: pd.DataFrame) -> list[dict]:
    """Rows as JSON values: times as ISO text, nulls as None."""
    shown = rows.copy()
    for name in shown.select_dtypes("datetimetz"):
        shown[name] = shown[name].map(lambda at: at.isoformat() if pd.notna(at) else None)
    shown = shown.replace([float("inf"), float("-inf")], None)  # JSON has no infinity
    return shown.astype(object).where(shown.notna(), None).to_dict("records")


class Findings(list):
    """Findings, worst first, shown as a table in a notebook. `about`: the part of the case that was judged; "" for all of it."""

    def __init__(self, findings: Iterable[Finding], about: str = ""):
        super().__init__(sorted(findings, key=_rank))
        self.about = about

    @property
    def problems(self) -> "Findings":
        """What the verdict counts."""
        return Findings(f for f in self if f.is_of_the_incident)

    @property
    def notes(self) -> "Findings":
        """Housekeeping, and what was already so before the incident."""
        return Findings(f for f in self if f.status is Status.PROBLEM and not f.is_of_the_incident)

    @property
    def unknowns(self) -> "Findings":
        return Findings(f for f in self if f.status is Status.UNKNOWN)

    @property
    def blind_spots(self) -> "Findings":
        """The unknowns that keep the verdict from being good: housekeeping that could not be judged is none."""
        return Findings(f for f in self.unknowns if not f.is_note)

    @property
    def oks(self) -> "Findings":
        return Findings(f for f in self if f.status is Status.OK)

    @property
    def altered(self) -> tuple[str, ...]:
        """The files of the case that are not what was recorded, as far as checks need them."""
        return tuple(dict.fromkeys(file for finding in self for file in finding.altered))

    def by_component(self) -> dict[str, list[Finding]]:
        """The problems of each component, in the order of the findings."""
        components: dict[str, list[Finding]] = {}
        for finding in self.problems:
            components.setdefault(finding.component or finding.subject, []).append(finding)
        return components

    def gaps(self) -> pd.DataFrame:
        """One row per cause of a gap, the widest first: its remedy, and how many checks it leaves undetermined."""
        causes: dict[str, list[Finding]] = {}
        for finding in self.unknowns:
            causes.setdefault(finding.remedy or finding.because, []).append(finding)
        rows = [
            [
                found[0].remedy or NO_REMEDY,
                len({f.check for f in found}),
                found[0].because.removeprefix("not seen: "),
                ", ".join(sorted({f.check for f in found})),
            ]
            for found in causes.values()
        ]
        frame = pd.DataFrame(rows, columns=["remedy", "checks", "data gap", "undetermined"])
        return frame.sort_values("checks", ascending=False, ignore_index=True, kind="stable")

    def counts(self) -> str:
        """`18 findings on 6 components · 10 undetermined · 210 passed`."""
        problems, components = len(self.problems), len(self.by_component())
        passed_later = sum(f.when == When.AFTER for f in self.oks)
        return " · ".join(
            [
                _count(problems, "finding") + (f" on {_count(components, 'component')}" if problems else ""),
                f"{len({f.check for f in self.unknowns})} undetermined",
                f"{len(self.oks)} passed"
                + (f" ({passed_later} of these only after the incident)" if passed_later else ""),
            ]
        )

    def verdict(self) -> str:
        """The findings in one sentence: the worst of them, or what their absence proves."""
        return f"Of {self.about}: {self._verdict()}" if self.about else self._verdict()

    def _verdict(self) -> str:
        if self.altered:
            named = ", ".join(self.altered[:MAX_NAMES]) + (", …" if len(self.altered) > MAX_NAMES else "")
            return f"The case fails verification: {named} {'was' if len(self.altered) == 1 else 'were'} altered."
        if self.problems:
            return f"{self.problems[0].subject}: {self.problems[0].because}."
        if not self:
            return "No check applies: the platform has none of the systems of this section."
        if self.blind_spots:
            return "No problem found in the data available; coverage is incomplete."
        if passed_later := sum(f.when == When.AFTER for f in self.oks):
            return f"No problem found, but {_count(passed_later, 'check')} passed only on data from after the incident."
        return "No problem found; coverage is complete."

    def frame(self) -> pd.DataFrame:
        """One row per finding: status, severity, subject, because, when, check."""
        columns = ["status", "severity", "subject", "because", "when", "check"]
        return pd.DataFrame([[str(getattr(f, c)) for c in columns] for f in self], columns=columns)

    def exit_code(self) -> int:
        """5 altered · 4 a bug of ours · 1 a problem · 3 no problem, but coverage is incomplete, or no check applies · 0 healthy."""
        if self.altered:
            return 5
        if any(f.bug for f in self):
            return 4
        if self.problems:
            return 1
        return 3 if not self or self.blind_spots or any(f.when == When.AFTER for f in self.oks) else 0

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.verdict())} {self.counts()}.</p>" + self.frame().to_html(index=False, border=0)

    def __repr__(self) -> str:
        return f"{self.verdict()} {self.counts()}.\n{self.frame().to_string(index=False)}"


class Change(NamedTuple):
    """What became of a problem between two rounds: `resolved`, `new`, or `now undetermined`: it may still be there."""

    what: str
    finding: Finding


def changes(before: Findings, now: Findings) -> list[Change]:
    """Every problem that came or went. Only a check that passes now has resolved its problems: whole evidence, as always."""
    were, are = ({(f.check, f.subject): f for f in findings.problems} for findings in (before, now))
    unseen = {f.check for f in now.unknowns}
    gone = [finding for key, finding in were.items() if key not in are]
    return [Change("new", finding) for key, finding in are.items() if key not in were] + [
        Change("now undetermined" if finding.check in unseen else "resolved", finding) for finding in gone
    ]


def _rank(finding: Finding) -> tuple:
    severity = list(Severity).index(Severity(finding.severity)) if finding.severity else 0
    history = finding.when == When.BEFORE
    earliest = finding.at.timestamp() if finding.at is not None else float("inf")
    return list(Status).index(finding.status), history, severity, earliest, finding.check, finding.subject


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

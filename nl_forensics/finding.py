"""What was concluded, on which rows, and about which time."""

import html
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import pandas as pd

NO_REMEDY = "no remedy: not available in this configuration"


class Status(StrEnum):
    """Worst first. `unknown` is not good news: what was needed to judge is missing."""

    PROBLEM = "problem"
    UNKNOWN = "unknown"
    OK = "ok"


class Severity(StrEnum):
    """Worst first. A `note` is housekeeping, or history from before the incident: it stands in an appendix, not in the verdict."""

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
    partial   of a problem: not everything was seen, so that there may be more
    bug       the check itself failed: ours, not the system's
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
    partial: bool = False
    bug: bool = False
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
    """Findings, worst first, shown as a table in a notebook."""

    def __init__(self, findings: Iterable[Finding]):
        super().__init__(sorted(findings, key=_rank))

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

    def gaps(self) -> pd.DataFrame:
        """One row per cause of blindness, the widest first: its remedy, and how many checks it costs."""
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
        frame = pd.DataFrame(rows, columns=["remedy", "checks", "data gap", "unanswered"])
        return frame.sort_values("checks", ascending=False, ignore_index=True, kind="stable")

    def counts(self) -> str:
        """How many of each, in words."""
        seen_later = sum(f.when == When.AFTER for f in self.oks)
        return (
            f"{_count(len(self.problems), 'problem')}, {_count(len({f.check for f in self.unknowns}), 'question')} not answered,"
            f" {len(self.oks)} fine" + (f" ({seen_later} of these only after the incident)" if seen_later else "")
        )

    def verdict(self) -> str:
        """The findings in one sentence: the worst of them, or what kind of silence it is."""
        if self.problems:
            return f"{self.problems[0].subject}: {self.problems[0].because}."
        if not self:
            return "Nothing was judged: the platform has none of the systems that this is about."
        if self.blind_spots:
            return "Nothing wrong was seen, but not everything was seen."
        if seen_later := sum(f.when == When.AFTER for f in self.oks):
            later = f"{_count(seen_later, 'question')} could be answered only for the time after the incident"
            return f"Nothing wrong was seen, but {later}."
        return "Nothing is wrong, and all that matters for it was seen."

    def frame(self) -> pd.DataFrame:
        """One row per finding: status, severity, subject, because, when, check."""
        columns = ["status", "severity", "subject", "because", "when", "check"]
        return pd.DataFrame([[str(getattr(f, c)) for c in columns] for f in self], columns=columns)

    def exit_code(self) -> int:
        """4 a bug of ours · 1 a problem · 3 nothing wrong seen, but something is unknown, or nothing was judged · 0 all is well."""
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
    """What became of a problem between two rounds: `solved`, `new`, or `not seen any more`, which is no good news."""

    what: str
    finding: Finding


def changes(before: Findings, now: Findings) -> list[Change]:
    """Every problem that came or went. Only a check that is `ok` now has solved its problems: whole evidence, as always."""
    were, are = ({(f.check, f.subject): f for f in findings.problems} for findings in (before, now))
    unseen = {f.check for f in now.unknowns}
    gone = [finding for key, finding in were.items() if key not in are]
    return [Change("new", finding) for key, finding in are.items() if key not in were] + [
        Change("not seen any more" if finding.check in unseen else "solved", finding) for finding in gone
    ]


def _rank(finding: Finding) -> tuple:
    severity = list(Severity).index(Severity(finding.severity)) if finding.severity else 0
    history = finding.when == When.BEFORE
    earliest = finding.at.value if finding.at is not None else float("inf")
    return list(Status).index(finding.status), history, severity, earliest, finding.check, finding.subject


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

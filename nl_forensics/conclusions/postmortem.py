"""The postmortem: what happened in which order, how it was detected, which components are affected, and when it is resolved."""

import math

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import Chart, drawn, not_shown, shortened
from nl_forensics.charts.labels import cut, listed, moment
from nl_forensics.charts.table import LONGEST_LINE, Table
from nl_forensics.checks import load
from nl_forensics.conclusions.timeline import SOURCES, Kind, timeline
from nl_forensics.evidence.case import Case
from nl_forensics.facts.entities import by_our_clock, is_symptom, onset, was_seen_only
from nl_forensics.finding import Finding, Findings, When
from nl_forensics.units import Wording, in_seconds

ORDER = "What happened, and in which order?"
DETECTION = "How was it detected, and how long after its onset?"
AFFECTED = "Affected components, and since when?"
RESOLVED = "When is it resolved?"
DRAWN = (Kind.CHANGED, Kind.FOUND, Kind.ENDED, Kind.WARNED, Kind.ALERTED, Kind.SAID)
MAX_ROWS, MAX_SUBJECTS = 60, 3
MAX_NAME = 116  # of a track, characters


def order(case: Case, findings: Findings) -> Table:
    """The timeline of an incident: one row per event, by our clock."""
    rows = timeline(case, findings)
    undated = sum(finding.at is None for finding in findings.problems)
    words = [f"{len(rows)} events are dated" + (f", and {undated} problems are not" if undated else "") + "."]
    if len(rows) > MAX_ROWS:  # the first events are nearest to the cause, and most warnings follow from other events
        words.append(f"The first {MAX_ROWS} that are not warnings are shown; `nl-forensics timeline` lists all.")
        rows = rows[rows["kind"] != Kind.WARNED].head(MAX_ROWS)
    days = rows["at"].dt.strftime("%Y-%m-%d").unique()
    heading, pattern = (f"{days[0]}, UTC", "%H:%M:%S") if len(days) == 1 else ("UTC", "%Y-%m-%d %H:%M:%S")
    shown = pd.DataFrame(
        {
            heading: rows["at"].dt.strftime(pattern),
            "to": rows["until"].dt.strftime("%H:%M:%S").fillna(""),
            "± s": [_in_words(error_s) for error_s in rows["error_s"]],
            "what": rows["kind"],
            "component": [cut(words, LONGEST_LINE) for words in rows["component"]],
            "in words": [cut(words, LONGEST_LINE) for words in rows["words"]],
        }
    )
    return _table(ORDER, words, shown, not_seen(case, findings))


def _in_words(error_s: float) -> str:
    if math.isnan(error_s):
        return "unknown"
    return f"{error_s:.1f}" if error_s >= 0.05 else ""


def what_happened(case: Case, findings: Findings) -> Chart:
    """The timeline as a chart: one track per component, affected ones on top, by their first event."""
    gaps = not_seen(case, findings)

    def draw(canvas: Canvas) -> str:
        rows = timeline(case, findings)
        old = (rows["kind"] == Kind.WARNED) & (rows["until"].fillna(rows["at"]) < case.incident.start)
        rows = rows[rows["kind"].isin([str(kind) for kind in DRAWN]) & ~old]
        if rows.empty:
            return canvas.say("Nothing that is dated happened.")
        severe = {one.component for one in findings.problems if is_symptom(one)}
        groups = sorted(rows.groupby("component"), key=lambda group: _place(severe, *group))
        tracks = {_first(part): part for _, part in groups}
        canvas.marks(tracks, [str(kind) for kind in DRAWN])
        return f"{len(rows)} events on {len(tracks)} components: {listed(tracks, 4)}."

    return drawn(ORDER, case.incident, draw, gaps, bool(gaps))


def _place(severe: set[str], name: str, rows: pd.DataFrame) -> tuple:
    """Severely affected components above affected ones, and these above the others; then by their first event."""
    is_affected = rows["kind"].isin([str(Kind.FOUND), str(Kind.ENDED), str(Kind.ALERTED)]).any()
    return name not in severe, not is_affected, rows["at"].min(), name


def _first(rows: pd.DataFrame) -> str:
    one = rows.iloc[0]
    more = f" (+{len(rows) - 1})" if len(rows) > 1 else ""
    return cut(f"{one['component']}: {one['at']:%H:%M:%S} {one['kind']}, {one['words']}", MAX_NAME - len(more)) + more


def detection(case: Case, findings: Findings) -> Table:
    """From the last change before the first symptom to the first note, with the time between."""
    rows, first = timeline(case, findings), onset(case, findings)
    if not first:
        return _table(DETECTION, ["No problem is dated."], pd.DataFrame(), not_seen(case, findings))
    error_s = rows[(rows["kind"] == Kind.FOUND) & (rows["at"] == first.at)]["error_s"].max(skipna=False)
    sign = pd.Series(
        {"at": first.at, "error_s": error_s, "component": first.finding.component, "words": first.finding.because}
    )
    errors = pd.to_timedelta((rows["error_s"] + error_s).fillna(0), unit="s")
    before, after = rows[rows["at"] - errors <= sign["at"]], rows[rows["at"] >= sign["at"]]
    alerts_seen = case.instances("prom_alert_history") and not not_shown(case.read("prom_alert_history"))
    steps = [
        _step("the last change before it", _of(before, Kind.CHANGED).tail(1), sign, "none recorded"),
        _line("the first symptom", moment(sign["at"]), "", sign),
        _step(
            "the first alert after it", _of(after, Kind.ALERTED), sign, "none fired" if alerts_seen else "undetermined"
        ),
        _step("the first note", _of(after, Kind.SAID), sign, "none written"),
        _step("collected", _of(rows, Kind.ASKED), sign, ""),
    ]
    last = max(by_our_clock(case, one, one.rows.asked_at.max()) for one in findings.problems)
    ongoing = sum(finding.when == When.ONGOING for finding in findings.problems)
    words = [f"{ongoing} of {len(findings.problems)} findings were ongoing at the last collection, {moment(last)}."]
    words += ["The first symptom was already there at the collection: its onset is unknown."] * was_seen_only(
        first.finding
    )
    return _table(DETECTION, words, pd.DataFrame(steps), not_seen(case, findings))


def _of(rows: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    return rows[rows["kind"] == kind]


def _step(name: str, rows: pd.DataFrame, sign: pd.Series, none: str) -> dict:
    """The first of the rows, and how long before or after the first symptom it was."""
    if rows.empty:
        return _line(name, none)
    one = rows.iloc[0]
    return _line(name, moment(one["at"]), _apart(one, sign), one)


def _line(name: str, when: str, apart: str = "", one: pd.Series | None = None) -> dict:
    which = "" if one is None else cut(f"{one['component']}: {one['words']}", LONGEST_LINE)
    return {"": name, "UTC": when, "after the first symptom": apart, "which": which}


def _apart(one: pd.Series, sign: pd.Series) -> str:
    """The order of two events is unknown where they are closer together than the error of their clocks, or that is unknown."""
    seconds, error_s = (one["at"] - sign["at"]).total_seconds(), one["error_s"] + sign["error_s"]
    if math.isnan(error_s):
        return "order unknown: the offset of a clock is unknown"
    if abs(seconds) <= error_s:
        return f"at about the same time (± {in_seconds(error_s)})"
    return f"{in_seconds(abs(seconds))} {'before' if seconds < 0 else 'after'}"


def affected(case: Case, findings: Findings) -> Table:
    """One row per affected component, by its onset: ten findings on one workload are one component.

    Those without a severe and new problem come last: a command that is always slow is not where to begin.
    """
    components = findings.by_component()
    rows = [(not any(map(is_symptom, found)), _component(case, name, found)) for name, found in components.items()]
    rows.sort(key=lambda one: (one[0], not one[1]["since, UTC"], one[1]["since, UTC"]))
    words = (
        f"{len(findings.problems)} findings on {len(components)} components."
        if components
        else "None in the data available."
    )
    return _table(AFFECTED, [words], pd.DataFrame([row for _, row in rows]), not_judged(findings))


def _component(case: Case, name: str, found: list[Finding]) -> dict:
    first = onset(case, Findings(found))
    worst = found[0]  # findings are sorted so
    return {
        "component": cut(name, LONGEST_LINE),
        "since, UTC": f"{first.at:%Y-%m-%d %H:%M:%S}" if first else "",
        "findings": len(found),
        "now": _state(found),
        "severity": str(worst.severity),
        "worst finding": cut(worst.because, LONGEST_LINE),
    }


def _state(found: list[Finding]) -> str:
    """The latest known state: a problem inside the window may still be ongoing."""
    if any(one.when == When.ONGOING for one in found):
        return str(When.ONGOING)
    return f"{found[0].when}{', and before it' if all(one.recurring for one in found) else ''}"


def resolved(case: Case, findings: Findings) -> Table:
    """One row per broken rule: its subjects, what must hold, and how to check it again."""
    rules: dict[str, list[Finding]] = {}
    for finding in findings.problems:
        rules.setdefault(finding.check, []).append(finding)
    rows = [_rule(name, found) for name, found in rules.items()]
    words = (
        "Each rule below must hold again; `collect` adds a round, and `findings` then reports what is resolved."
        if rows
        else ""
    )
    return _table(
        RESOLVED, [words or "No rule is broken in the data available."], pd.DataFrame(rows), not_judged(findings)
    )


def _rule(name: str, found: list[Finding]) -> dict:
    check = load()[name]
    return {
        "must hold": Wording(check.rule).of(found[0].limits or check.limits),
        "broken by": cut(listed([finding.subject for finding in found], MAX_SUBJECTS), LONGEST_LINE),
        "now": _state(found),
        "check again": "nl-forensics collect CASE " + " ".join(f"--again {source}" for source in check.needs),
    }


def not_judged(findings: Findings) -> list[str]:
    """How many checks are undetermined."""
    rules = len({finding.check for finding in findings.unknowns})
    return [f"{rules} checks undetermined"] if rules else []


def not_seen(case: Case, findings: Findings) -> list[str]:
    """What may be missing in the timeline; a system that the platform does not have is not missing."""
    asked = [name for name in SOURCES if case.instances(name)]
    return list(dict.fromkeys([*not_judged(findings), *(gap for name in asked for gap in not_shown(case.read(name)))]))


def _table(question: str, words: list[str], rows: pd.DataFrame, gaps: list[str]) -> Table:
    return Table(" ".join(filter(None, [question, *words, shortened(gaps)])), rows.reset_index(drop=True))

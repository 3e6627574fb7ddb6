"""What a postmortem tells: what happened in which order, how it was noticed, what broke together, and when it is mended."""

import pandas as pd

from nl_forensics.charts.canvas import Canvas
from nl_forensics.charts.chart import Chart, drawn, not_shown, shortened
from nl_forensics.charts.labels import cut, listed, moment
from nl_forensics.charts.tables import LONGEST_LINE, Table
from nl_forensics.checks import load
from nl_forensics.conclusions.timeline import SOURCES, Kind, timeline
from nl_forensics.evidence.case import Case
from nl_forensics.facts.entities import by_our_clock, by_thing, onset, thing, was_seen_only
from nl_forensics.finding import Finding, Findings, When
from nl_forensics.units import Wording, in_seconds

ORDER = "What happened, and in which order?"
NOTICED = "How was it noticed, and how long after it began?"
TOGETHER = "What is broken, and since when?"
MENDED = "When is it mended?"
DRAWN = (Kind.CHANGED, Kind.FOUND, Kind.ENDED, Kind.WARNED, Kind.ALERTED, Kind.SAID)
MOST_ROWS, MOST_SUBJECTS = 60, 3
LONGEST_NAME = 116  # of a track, characters


def order(case: Case, findings: Findings) -> Table:
    """The timeline of an incident for people: one row per thing that happened, by our clock."""
    rows = timeline(case, findings)
    undated = sum(finding.at is None for finding in findings.problems)
    words = [f"{len(rows)} things are dated" + (f", and {undated} problems are not" if undated else "") + "."]
    if len(rows) > MOST_ROWS:  # what came first is nearer to the cause, and warnings follow what is told anyway
        words.append(f"The first {MOST_ROWS} that are no warnings are shown; `nl-forensics timeline` has all.")
        rows = rows[rows["kind"] != Kind.WARNED].head(MOST_ROWS)
    days = rows["at"].dt.strftime("%Y-%m-%d").unique()
    heading, pattern = (f"{days[0]}, UTC", "%H:%M:%S") if len(days) == 1 else ("UTC", "%Y-%m-%d %H:%M:%S")
    shown = pd.DataFrame(
        {
            heading: rows["at"].dt.strftime(pattern),
            "to": rows["until"].dt.strftime("%H:%M:%S").fillna(""),
            "± s": [f"{error:.1f}" if error >= 0.05 else "" for error in rows["error_s"]],
            "what": rows["kind"],
            "of": [cut(words, LONGEST_LINE) for words in rows["thing"]],
            "in words": [cut(words, LONGEST_LINE) for words in rows["words"]],
        }
    )
    return _table(ORDER, words, shown, not_seen(case, findings))


def what_happened(case: Case, findings: Findings) -> Chart:
    """The timeline as a picture: a track for each thing, the one that changed or broke first on top."""
    gaps = not_seen(case, findings)

    def draw(canvas: Canvas) -> str:
        rows = timeline(case, findings)
        old = (rows["kind"] == Kind.WARNED) & (rows["until"].fillna(rows["at"]) < case.incident.start)
        rows = rows[rows["kind"].isin([str(kind) for kind in DRAWN]) & ~old]
        if rows.empty:
            return canvas.say("Nothing that is dated happened.")
        groups = sorted(rows.groupby("thing"), key=_place)
        tracks = {_first(part): part for _, part in groups}
        canvas.marks(tracks, [str(kind) for kind in DRAWN])
        return f"{len(rows)} things happened to {len(tracks)}: {listed(tracks, 4)}."

    return drawn(ORDER, case.incident, draw, gaps, bool(gaps))


def _place(group: tuple[str, pd.DataFrame]) -> tuple:
    """What broke stands above what did not; then by what came first."""
    name, rows = group
    broken = rows["kind"].isin([str(Kind.FOUND), str(Kind.ENDED), str(Kind.ALERTED)]).any()
    return not broken, rows["at"].min(), name


def _first(rows: pd.DataFrame) -> str:
    one = rows.iloc[0]
    more = f" (+{len(rows) - 1})" if len(rows) > 1 else ""
    return cut(f"{one['thing']}: {one['at']:%H:%M:%S} {one['kind']}, {one['words']}", LONGEST_NAME - len(more)) + more


def noticed(case: Case, findings: Findings) -> Table:
    """From the last change before it to the first word of a person, with the time since the first sign."""
    rows, first = timeline(case, findings), onset(case, findings)
    if not first:
        return _table(NOTICED, ["No problem is dated."], pd.DataFrame(), not_seen(case, findings))
    error_s = rows[(rows["kind"] == Kind.FOUND) & (rows["at"] == first.at)]["error_s"].max()
    sign = pd.Series(
        {"at": first.at, "error_s": error_s, "thing": thing(case, first.finding), "words": first.finding.because}
    )
    errors = pd.to_timedelta(rows["error_s"] + error_s, unit="s")
    before, after = rows[rows["at"] - errors <= sign["at"]], rows[rows["at"] >= sign["at"]]
    alerts_seen = case.instances("prom_alert_history") and not not_shown(case.read("prom_alert_history"))
    told = [
        _step("the last change before it", _of(before, Kind.CHANGED).tail(1), sign, "none was seen"),
        _line("the first sign", moment(sign["at"]), "", sign),
        _step("the first alert after it", _of(after, Kind.ALERTED), sign, "none fired" if alerts_seen else "not seen"),
        _step("the first note of a person", _of(after, Kind.SAID), sign, "none was written"),
        _step("we asked", _of(rows, Kind.ASKED), sign, ""),
    ]
    last = max(by_our_clock(case, one, one.rows.asked_at.max()) for one in findings.problems)
    going_on = sum(finding.when == When.ONGOING for finding in findings.problems)
    words = [f"Of {len(findings.problems)} problems, {going_on} still went on when last asked, at {moment(last)}."]
    words += ["The first sign was there when we asked: when it began is not known."] * was_seen_only(first.finding)
    return _table(NOTICED, words, pd.DataFrame(told), not_seen(case, findings))


def _of(rows: pd.DataFrame, kind: Kind) -> pd.DataFrame:
    return rows[rows["kind"] == kind]


def _step(name: str, rows: pd.DataFrame, sign: pd.Series, none: str) -> dict:
    """The first of the rows, and how long before or after the first sign it was."""
    if rows.empty:
        return _line(name, none)
    one = rows.iloc[0]
    return _line(name, moment(one["at"]), _apart(one, sign), one)


def _line(name: str, when: str, apart: str = "", one: pd.Series | None = None) -> dict:
    which = "" if one is None else cut(f"{one['thing']}: {one['words']}", LONGEST_LINE)
    return {"": name, "UTC": when, "after the first sign": apart, "which": which}


def _apart(one: pd.Series, sign: pd.Series) -> str:
    """Nobody knows which of two came first that lie closer together than their clocks can be wrong."""
    seconds, error_s = (one["at"] - sign["at"]).total_seconds(), one["error_s"] + sign["error_s"]
    if abs(seconds) <= error_s:
        return f"at about the same time (± {in_seconds(error_s)})"
    return f"{in_seconds(abs(seconds))} {'before' if seconds < 0 else 'after'}"


def broken(case: Case, findings: Findings) -> Table:
    """One row per thing that is broken, by when its first problem began: ten findings about one workload are one."""
    things = by_thing(case, findings)
    told = [_thing(case, name, found) for name, found in things.items()]
    told.sort(key=lambda row: (not row["since, UTC"], row["since, UTC"]))
    words = f"{len(findings.problems)} problems of {len(things)} things." if things else "Nothing, in what was seen."
    return _table(TOGETHER, [words], pd.DataFrame(told), not_judged(findings))


def _thing(case: Case, name: str, found: list[Finding]) -> dict:
    dated = [by_our_clock(case, finding, finding.at) for finding in found if finding.at is not None]
    worst = found[0]  # findings come so
    return {
        "thing": cut(name, LONGEST_LINE),
        "since, UTC": f"{min(dated):%Y-%m-%d %H:%M:%S}" if dated else "",
        "problems": len(found),
        "now": _state(found),
        "severity": str(worst.severity),
        "worst of them": cut(worst.because, LONGEST_LINE),
    }


def _state(found: list[Finding]) -> str:
    """The latest that is known of them: a problem of the window need not be over."""
    return str(When.ONGOING if any(one.when == When.ONGOING for one in found) else found[0].when)


def mended(case: Case, findings: Findings) -> Table:
    """One row per rule that is broken: whom it is about, what must hold, and how to look again."""
    rules: dict[str, list[Finding]] = {}
    for finding in findings.problems:
        rules.setdefault(finding.check, []).append(finding)
    told = [_rule(name, found) for name, found in rules.items()]
    words = (
        "Each rule below must hold again; `collect` asks anew, and `findings` then says what is solved." if told else ""
    )
    return _table(MENDED, [words or "No rule is broken, in what was seen."], pd.DataFrame(told), not_judged(findings))


def _rule(name: str, found: list[Finding]) -> dict:
    check = load()[name]
    return {
        "must hold": Wording(check.rule).of(found[0].limits or check.limits),
        "broken by": cut(listed([finding.subject for finding in found], MOST_SUBJECTS), LONGEST_LINE),
        "now": _state(found),
        "look again": "nl-forensics collect CASE " + " ".join(f"--again {source}" for source in check.needs),
    }


def not_judged(findings: Findings) -> list[str]:
    """Of how many rules nobody knows whether they are broken."""
    rules = len({finding.check for finding in findings.unknowns})
    return [f"what {rules} questions would tell that are not answered"] if rules else []


def not_seen(case: Case, findings: Findings) -> list[str]:
    """What may be missing in the timeline; a system that the platform does not have is not missing."""
    asked = [name for name in SOURCES if case.instances(name)]
    return list(dict.fromkeys([*not_judged(findings), *(gap for name in asked for gap in not_shown(case.read(name)))]))


def _table(question: str, words: list[str], rows: pd.DataFrame, gaps: list[str]) -> Table:
    return Table(" ".join(filter(None, [question, *words, shortened(gaps)])), rows.reset_index(drop=True))

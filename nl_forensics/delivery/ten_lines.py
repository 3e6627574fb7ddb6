"""The findings in ten lines for a chat: affected components, onset, changes just before it, data gaps, and the next command."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from nl_forensics import sources
from nl_forensics.evidence.case import Case
from nl_forensics.facts.entities import (
    CONFIG,
    ROLLOUT,
    Symptom,
    onset,
    was_seen_only,
)
from nl_forensics.facts.kubernetes.field_managers import CONTROLLERS
from nl_forensics.facts.kubernetes.revisions import JUST_BEFORE
from nl_forensics.finding import NO_REMEDY, Finding, Findings, Severity, When
from nl_forensics.sanitize import printable

COLUMNS = 110
WIDTH = 10  # of the label of each line
MAX_COMPONENTS, MAX_CHANGES, MAX_GAPS, MAX_SKIPPED = 3, 2, 2, 6
MANUAL = "nothing_was_changed_manually"


class Change(NamedTuple):
    """A change. `at`: when, UTC."""

    at: pd.Timestamp
    namespace: str
    name: str
    words: str


def ten_lines(case: Case, findings: Findings, folder: str, notebooks: dict[str, str]) -> list[str]:
    """At most ten lines of at most 110 columns, plain text.

    folder      the case as the next command names it
    notebooks   {section: name of its notebook}, to name that of the worst component
    """
    components = _components(findings)
    first = onset(case, findings)
    counted = f"{case.incident.end:%Y-%m-%d %H:%M} UTC, window from {case.incident.start:%H:%M}: {findings.counts()}."
    lines = [("now", counted), *_affected(components, findings), *_since(case, first, findings)]
    lines += [("changed", words) for words in _changed(case, findings, first)]
    lines += _unseen(case, findings)
    notebook = notebooks.get(_worst(components[0][1]).section, "") if components else ""
    lines.append(("next", f"nl-forensics report {folder}" + (f" (or lab, {notebook})" if notebook else "")))
    return [_line(label, words) for label, words in lines]


def _line(label: str, words: str, most: int = COLUMNS) -> str:
    """One line of printable characters only, as logs and events are untrusted text. The command at the end is never cut."""
    line = f"{label:{WIDTH}}{' '.join(printable(words).split())}"
    return line if len(line) <= most or label == "next" else f"{line[: most - 1].rstrip()}…"


def _components(findings: Findings) -> list[tuple[str, list[Finding]]]:
    """The problems by component, the worst first."""
    return sorted(findings.by_component().items(), key=lambda one: _rank(one[1]))


def _affected(components: list[tuple[str, list[Finding]]], findings: Findings) -> Iterator[tuple[str, str]]:
    """The worst components, each with its worst finding; a preceding change has its own line."""
    if not components:
        yield "verdict", findings.verdict()
    shown = components if len(components) <= MAX_COMPONENTS else components[: MAX_COMPONENTS - 1]
    for place, found in shown:
        worst = _worst(found)
        label = f"{place} ({worst.severity}): "
        more = f" (+{len(found) - 1} findings)" if len(found) > 1 else ""
        yield "affected", label + _cut(worst.because, COLUMNS - WIDTH - len(label) - len(more)) + more
    if rest := [place for place, _ in components[len(shown) :]]:
        yield "affected", f"and {_more(len(rest), 'component')}: {', '.join(rest)}"


def _worst(found: list[Finding]) -> Finding:
    return next((finding for finding in found if finding.check not in (ROLLOUT, CONFIG)), found[0])


def _rank(found: list[Finding]) -> tuple[int, bool]:
    """The worst first; of equals, what is ongoing."""
    severity = min(list(Severity).index(Severity(finding.severity)) for finding in found)
    return severity, all(finding.when != When.ONGOING for finding in found)


def _cut(words: str, most: int) -> str:
    words = " ".join(words.split())
    return words if len(words) <= most else f"{words[: max(20, most) - 1].rstrip()}…"


def _since(case: Case, first: Symptom | None, findings: Findings) -> Iterator[tuple[str, str]]:
    if first and was_seen_only(first.finding):
        yield "since", f"unknown; seen at {first.at:%Y-%m-%d %H:%M:%S} UTC: {first.finding.component}"
    elif first:
        yield "since", f"{first.at:%Y-%m-%d %H:%M:%S} UTC (earliest symptom): {first.finding.component}"
    elif findings.problems:
        yield "since", "unknown: no finding has a time"


def _changed(case: Case, findings: Findings, first: Symptom | None) -> Iterator[str]:
    """Changes in the 30 minutes before the first symptom; without a symptom, since 30 minutes before the window."""
    if not case.instances("k8s_changes"):
        yield "undetermined: Kubernetes was not queried"
        return
    start, end = case.incident.start, case.incident.end
    period = (first.at - JUST_BEFORE, first.at) if first else (pd.Timestamp(start) - JUST_BEFORE, pd.Timestamp(end))
    blamed = _blamed(findings)
    listed = {(one.namespace, one.name) for one in blamed}
    changes = [*blamed, *(one for one in _others(case, period) if (one.namespace, one.name) not in listed)]
    if changes:
        more = len(changes) - MAX_CHANGES
        yield from (f"{one.at:%H:%M:%S} UTC {one.words}" for one in changes[: MAX_CHANGES - 1])
        if len(changes) >= MAX_CHANGES:
            one = changes[MAX_CHANGES - 1]
            yield _cut(f"{one.at:%H:%M:%S} UTC {one.words}", 85) + (f" (+{more} changes)" if more > 0 else "")
        return
    gap = next((f.because for f in findings.unknowns if f.check in (ROLLOUT, CONFIG, MANUAL)), "")
    yield f"no change seen from {period[0]:%H:%M} to {period[1]:%H:%M} UTC" + (f"; {gap}" if gap else "")


def _blamed(findings: Findings) -> list[Change]:
    """Changes that a finding names as a suspect."""
    found = []
    for finding in findings.problems:
        row = finding.rows.iloc[0] if len(finding.rows) else {}
        if finding.check == ROLLOUT:
            words = f"{row['namespace']}/{row['workload']} rolled out: {row['changed']}"
            found.append(Change(row["created_at"], row["namespace"], row["workload"], words))
        elif finding.check == CONFIG:
            words = f"config map {row['namespace']}/{row['name']} was changed by {row['changed_by']}"
            found.append(Change(row["changed_at"], row["namespace"], row["name"], words))
    return found


def _others(case: Case, period: tuple) -> list[Change]:
    """Changes by people and pipelines in that time, newest first; controllers of Kubernetes change objects all the time."""
    rows = case.read("k8s_changes").rows
    rows = rows[rows["at"].between(*period) & ~rows.is_creation & ~rows.manager.str.match(CONTROLLERS)]
    rows = rows.sort_values("at", ascending=False).drop_duplicates(["kind", "namespace", "name"])
    return [
        Change(row.at, row.namespace, row.name, f"{row.kind} {row.namespace}/{row.name} by {row.manager}: {row.fields}")
        for row in rows.itertuples()
    ]


def _unseen(case: Case, findings: Findings) -> Iterator[tuple[str, str]]:
    """The gaps that prevent most checks, then the systems that were not queried."""
    left_out = case.parameters.platform.left_out
    variables = [name for names in left_out.values() for name in names]
    to_set = f"set {', '.join(variables)}"
    causes = Findings(findings.blind_spots).gaps().to_dict("records")
    gaps = [gap for gap in causes if gap["remedy"] != to_set]
    shown = gaps[: MAX_GAPS - bool(left_out)]
    for gap in shown:
        rest = len(gaps) - len(shown) if gap is shown[-1] else 0
        more = f"; {_more(rest, 'cause')}" if rest else ""
        remedy = "" if gap["remedy"] == NO_REMEDY else f" → {_cut(gap['remedy'], 40)}"
        tail = f"{remedy} ({gap['checks']} {'check' if gap['checks'] == 1 else 'checks'}{more})"
        yield "data gap", _cut(_without_instance(case, gap["data gap"]), COLUMNS - WIDTH - len(tail)) + tail
    if left_out:
        rest = len(left_out) - MAX_SKIPPED
        names = [*list(left_out)[:MAX_SKIPPED], *([f"{rest} more"] if rest > 0 else [])]
        yield "skipped", f"{', '.join(names)}: set {', '.join(variables[:1])}{', …' if variables[1:] else ''}"


def _without_instance(case: Case, unseen: str) -> str:
    """`k8s_events of main: …` becomes `k8s_events: …` if there is only one instance."""
    source, _, rest = unseen.partition(" of ")
    instance, _, reason = rest.partition(": ")
    alone = source in sources.load() and case.instances(source) == [instance]
    return f"{source}: {reason}" if alone else unseen


def _more(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number > 1 else ''} more"

"""When an alert should have been firing: the state that Prometheus keeps at each evaluation of a rule, computed again.

A rule is evaluated every `interval_s`. A series that its expression returns is an alert: pending, then firing if it was there at every
evaluation of `for_s`; it keeps firing for `keep_s` after the series ended. Labels with templates are not compared.

ALERTS and ALERTS_FOR_STATE cannot replace this: Prometheus writes them only for alerts that its own evaluation made. A rule that fails,
exceeds the limit of its group, or makes duplicate labels writes neither, as a quiet one does; these are the faults to be found.
ALERTS is the other side of the comparison: what did fire.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from nl_forensics.runs import runs

TOLERANCE = 2  # evaluations: a sample arrives a moment after the evaluation that would need it, and others do the rule's sending
OWN_LABELS = ("__name__", "alertname", "alertstate")

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Rule:
    """How an alerting rule counts. Times are epoch seconds.

    loaded_s   since when Prometheus has these rules and their state for certain: when it last read its configuration, or started
    """

    interval_s: float
    for_s: float
    keep_s: float
    loaded_s: float
    labels: dict[str, str]

    @property
    def templated(self) -> set[str]:
        return {name for name, value in self.labels.items() if "{{" in value}

    def alert_of(self, series: dict[str, str]) -> Labels:
        """The labels of the alert that a series of the expression becomes."""
        return self.comparable(series | self.labels)

    def comparable(self, labels: dict[str, str]) -> Labels:
        """Without the labels that all alerts have, those that a template makes, and empty ones."""
        left_out = {*OWN_LABELS, *self.templated}
        return frozenset((name, value) for name, value in labels.items() if value and name not in left_out)


class Due(NamedTuple):
    """An episode in which an alert should have been firing. Times are epoch seconds.

    fired      whether it was; null where that can't be decided
    missed     the first and the last evaluation at which it should have been firing and was not; null when it always was
    """

    alert: Labels
    first_s: float
    last_s: float
    evaluations: int
    fired: bool | None
    fired_s: float | None
    missed: tuple[float, float] | None


def episodes(
    rule: Rule,
    steps: list[float],
    alive: set[float],
    truth: dict[Labels, set[float]],
    fired: dict[Labels, list[float]],
    start_s: float,
) -> Iterator[Due]:
    """Every episode from `start_s` on in which an alert of the rule should have been firing.

    steps   the moments of evaluation, from before `start_s`, so that what was pending then is known
    alive   those at which Prometheus had data at all
    truth   at which of them the expression returned a series, by alert
    fired   when each alert was seen firing, in order
    """
    sure = [at for at in steps if at >= rule.loaded_s and at in alive]
    for alert, true in truth.items():
        possible = firing(rule, [at for at in steps if at in alive], true, since_ever=True)
        # What happened in a hole is not known, so after it the count begins anew.
        counted = (at for part in _runs(sure, rule.interval_s) for at in firing(rule, part, true))
        # What the first evaluation after a start finds is not written into ALERTS.
        certain = {at for at in counted if at >= rule.loaded_s + rule.interval_s}
        due = [at for at in steps if at >= start_s and at in possible]
        for run in _runs(due, rule.interval_s):
            yield _judged(rule, alert, run, certain, fired.get(alert, []))


def firing(rule: Rule, steps: list[float], true: set[float], since_ever: bool = False) -> set[float]:
    """At which evaluations an alert is firing, when its series is there at those in `true`.

    since_ever   a series that is there at the first of them may have started at any time before
    """
    found, is_firing = set(), False
    active: float | None = None
    gone: float | None = None
    for number, at in enumerate(steps):
        if at in true:
            if active is None:
                active = float("-inf") if since_ever and number == 0 else at
            is_firing, gone = is_firing or at - active >= rule.for_s, None
        else:
            gone = at if gone is None else gone
            if not (is_firing and at - gone < rule.keep_s):
                is_firing, active = False, None
        if is_firing:
            found.add(at)
    return found


def _runs(steps: list[float], interval_s: float) -> Iterator[list[float]]:
    """Evaluations without one missing between them."""
    moments = pd.DataFrame({"at": pd.Series(steps, dtype="float64")})
    for _, run in moments.groupby(runs(moments, max_gap=1.5 * interval_s)):
        yield run["at"].tolist()


def _judged(rule: Rule, alert: Labels, run: list[float], certain: set[float], fired: list[float]) -> Due:
    """Compare an episode with the times at which the alert was firing."""
    reach = (TOLERANCE + 0.5) * rule.interval_s
    missed = [at for at in run if not within(fired, at - reach, at + reach)]
    seen = len(missed) < len(run)
    proven = max(_runs([at for at in missed if at in certain], rule.interval_s), key=len, default=[])
    verdict: bool | None = True
    if len(proven) > TOLERANCE:
        verdict = False
    elif len(missed) > TOLERANCE or not seen:
        verdict = None
    first = next((at for at in fired if run[0] - reach <= at <= run[-1] + reach), None)
    return Due(alert, run[0], run[-1], len(run), verdict, first, (proven[0], proven[-1]) if verdict is False else None)


def within(moments: list[float], first: float, last: float) -> bool:
    """Whether one of the moments, which are in order, lies between two others."""
    place = bisect_left(moments, first)
    return place < len(moments) and moments[place] <= last

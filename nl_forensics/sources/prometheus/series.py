"""A PromQL expression as a table over the incident and its baseline."""

import math
import re
from collections.abc import Generator, Iterator
from datetime import UTC as utc
from datetime import datetime
from typing import Any

import pandas as pd

from nl_forensics.sources import SOURCES, UTC, Column, Partial, Permission, Source
from nl_forensics.sources.kubernetes.reading import scope

SMALLEST_STEP_S = 15
RATE_S = 300  # at least four scrapes at the usual intervals, so that a rate has something to compare
LABEL = {"target": "instance", "database": "datname", "command": "cmd"}  # `instance` is the Prometheus that was asked
TARGET = ("target",)
METRIC = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(?=\{)|(?<=__name__=~")[^"]+')


def step_of(seconds: float, points: int) -> int:
    """Seconds between two values of a series over so long a time, with so many points at most."""
    return max(SMALLEST_STEP_S, math.ceil(seconds / points))


class _Matchers(dict):
    """Label matchers by exporter; one that the platform file does not name matches all."""

    def __missing__(self, name: str) -> str:
        return ""


def series(
    name: str,
    query: str,
    *,
    value: str,
    labels: tuple[str, ...] = TARGET,
    each: tuple[str, ...] = TARGET,
    sparse: bool = False,
    about: str = "",
    come_and_go: bool = False,
    doc: str,
    guide: tuple[str, ...] = (),
) -> None:
    """Declare one PromQL expression as a table: one row per series and step, over the incident and its baseline.

    query   PromQL; {postgres}, {redis}, {kubelet}, {volumes}, … stand for the label matchers of the platform file, {metrics.…} for the
            names that it gives to what the programs count, {queues} and {namespaces} for regular expressions of its queues and of
            the namespaces in scope, {range} for the duration of a rate, {window} and {step} for those of the whole answer
    value   name of the value column, with its unit
    labels  labels that become columns; `target` is the label `instance`, `database` is `datname`, `command` is `cmd`
    each    labels that tell apart of whom every step must have a value: of each target, or of each service. A service of the baseline
            must be there in the incident, too; another target may have taken the place of one
    sparse  steps without a value are normal (nothing happened that could be divided by), so they are no gap
    about   as in Source
    come_and_go   a series may begin and end within a window: only a hole between is a gap

    Columns besides these: `at` (UTC) and `window` (`incident` or `baseline`). The value of a rate covers the {range} that ends at `at`.
    """

    def fetch(prometheus, incident, platform):
        seen = {}
        for window_name, window in (("incident", incident), ("baseline", incident.baseline)):
            if window:
                step = step_of(window.seconds, platform.budget.prometheus_points)
                placeholders = _placeholders(incident, platform, window, step)
                asked = platform.promql.get(name) or query.format_map(placeholders)
                answer = yield from _ask(prometheus, asked, window_name, window, step)
                seen[window_name] = _seen(answer, each)
                yield from () if sparse else _holes(seen[window_name], window_name, window, step, come_and_go)
        if each != TARGET:
            yield from _gone(seen)

    def parse(records):
        return pd.DataFrame(
            [
                (record["window"], datetime.fromtimestamp(float(at), utc), *named, float(number))
                for record in records
                for named in [[record["metric"].get(LABEL.get(label, label), "") for label in labels]]
                for at, number in record["values"]
            ],
            columns=["window", "at", *labels, value],
        )

    columns = {"window": "str", "at": UTC} | dict.fromkeys(labels, "str") | {value: "float64"}
    SOURCES[name] = Source(
        name=name,
        system="prometheus",
        fetch=fetch,
        parse=parse,
        columns={column: Column(dtype) for column, dtype in columns.items()},
        covers="window",
        readings=1,
        needs=Permission(prometheus="/api/v1/query_range"),
        guide=guide,
        doc=doc,
        about=about,
    )


def _placeholders(incident, platform, window, step: int) -> dict[str, Any]:
    queues = [re.escape(queue.key) for queue in platform.redis.queues]
    namespaces = [re.escape(name).replace(r"\*", ".*") for name in scope(incident, platform)]
    own = {
        "range": f"{max(RATE_S, step)}s",
        "window": f"{math.ceil(window.seconds)}s",
        "step": f"{step}s",
        "queues": _any_of(queues),
        "namespaces": _any_of(namespaces) or ".*",
        "metrics": platform.metrics,
    }
    return _Matchers(platform.selectors | own)


def _any_of(patterns: list[str]) -> str:
    """One regular expression, as it is written within quotes."""
    return "|".join(patterns).replace("\\", "\\\\")


def _ask(prometheus, query: str, window_name: str, window, step: int) -> Generator[dict | Partial, None, list[dict]]:
    """One range query. Returns what was found."""
    answer = prometheus.range(query, window.start, window.end, step)
    for warning in answer["warnings"]:
        yield Partial(f"{window_name}: Prometheus warns: {warning}", window=window_name)
    for found in answer["result"]:
        yield {"window": window_name, "step_s": step, **found}
    if not answer["result"]:
        yield Partial(
            f"{window_name}: no series of {' or '.join(dict.fromkeys(METRIC.findall(query))) or query}",
            "let Prometheus scrape who has it, or correct names and labels in the platform file (selectors, metrics, promql)",
            window_name,
        )
    return answer["result"]


def _seen(result: list[dict], each: tuple[str, ...]) -> dict[str, set[int]]:
    """Of each target (or whatever `each` tells apart), the moments at which one of its series has a value."""
    seen: dict[str, set[int]] = {}
    for found in result:
        name = " · ".join(filter(None, (found["metric"].get(LABEL.get(label, label), "") for label in each)))
        seen.setdefault(name, set()).update(round(float(at)) for at, _ in found["values"])
    return seen


def _holes(seen: dict[str, set[int]], window_name: str, window, step: int, come_and_go: bool) -> Iterator[Partial]:
    """Steps without a value: a hole in a chart is not a quiet line. One missing step is the edge of the window."""
    start = round(window.start.timestamp())
    expected = range(start, start + int(window.seconds) + 1, step)
    for name, moments in sorted(seen.items()):
        first, last = (min(moments), max(moments)) if come_and_go else (expected[0], expected[-1])
        missing = [at for at in expected if at not in moments and first <= at <= last]
        if len(missing) > 1:
            where = f" ({name})" if name else ""
            unseen = f"{window_name}: no value {spans(missing, step)}{where}"
            yield Partial(unseen, "see whether its target was up", window_name)


def _gone(seen: dict[str, dict]) -> Iterator[Partial]:
    """Who is in the baseline and not in the incident: it must not look as if nothing were wrong with it."""
    if seen["incident"]:
        for name in sorted(seen.get("baseline", {}).keys() - seen["incident"].keys()):
            yield Partial(f"incident: no value of {name}, which has some in the baseline", "see whether it is there")


def spans(missing: list[int], step: int) -> str:
    """`from 14:02 to 14:10 UTC`, the first three of them."""
    moments = set(missing)
    starts = [at for at in missing if at - step not in moments]
    ends = [at for at in missing if at + step not in moments]
    shown = [
        f"from {datetime.fromtimestamp(first, utc):%H:%M:%S} to {datetime.fromtimestamp(last, utc):%H:%M:%S} UTC"
        for first, last in list(zip(starts, ends, strict=True))[:3]
    ]
    more = f", and {len(starts) - 3} stretches more" if len(starts) > 3 else ""
    return ", ".join(shown) + more

"""A PromQL expression as a table over the incident and its baseline."""

import math
import re
from collections.abc import Generator, Iterator
from datetime import UTC as utc
from datetime import datetime

import pandas as pd

from nl_forensics.sources import SOURCES, UTC, Partial, Permission, Source

SMALLEST_STEP_S = 15
RATE_S = 300  # at least four scrapes at the usual intervals, so that a rate has something to compare
LABEL = {"target": "instance", "database": "datname", "command": "cmd"}  # `instance` is the Prometheus that was asked
METRIC = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{")


class _Matchers(dict):
    """Label matchers by exporter; one that the platform file does not name matches all."""

    def __missing__(self, name: str) -> str:
        return ""


def series(
    name: str,
    query: str,
    *,
    value: str,
    labels: tuple[str, ...] = ("target",),
    sparse: bool = False,
    come_and_go: bool = False,
    doc: str,
    guide: tuple[str, ...] = (),
) -> None:
    """Declare one PromQL expression as a table: one row per series and step, over the incident and its baseline.

    query   PromQL; {postgres}, {redis}, {volumes}, … stand for the label matchers of the platform file, {queues} for a regular
            expression of its queues, {range} for the duration of a rate
    value   name of the value column, with its unit
    labels  labels that become columns; `target` is the label `instance`, `database` is `datname`, `command` is `cmd`
    sparse  steps without a value are normal (nothing happened that could be divided by), so they are no gap
    come_and_go   a series may begin and end within a window: only a hole between is a gap

    Columns besides these: `at` (UTC) and `window` (`incident` or `baseline`). The value of a rate covers the {range} that ends at `at`.
    """

    def fetch(prometheus, incident, platform):
        for window_name, window in (("incident", incident), ("baseline", incident.baseline)):
            if window:
                step = max(SMALLEST_STEP_S, math.ceil(window.seconds / platform.budget.prometheus_points))
                asked = platform.promql.get(name) or query.format_map(_placeholders(platform, step))
                found = yield from _ask(prometheus, asked, window_name, window, step)
                if found and not sparse:
                    yield from _gaps(found, window_name, window, step, come_and_go)

    def parse(records):
        return pd.DataFrame(
            [
                {"window": record["window"], "at": datetime.fromtimestamp(float(at), utc), value: float(number)}
                | {label: record["metric"].get(LABEL.get(label, label), "") for label in labels}
                for record in records
                for at, number in record["values"]
            ],
            columns=["window", "at", *labels, value],
        )

    columns = {"window": "str", "at": UTC} | dict.fromkeys(labels, "str") | {value: "float64"}
    needs = Permission(prometheus="/api/v1/query_range")
    SOURCES[name] = Source(name, "prometheus", fetch, parse, columns, frozenset(), "window", 1, needs, guide, doc)


def _placeholders(platform, step: int) -> dict[str, str]:
    queues = "|".join(re.escape(queue.key) for queue in platform.redis.queues)
    own = {"range": f"{max(RATE_S, step)}s", "queues": queues.replace("\\", "\\\\")}
    return _Matchers(platform.selectors | own)


def _ask(prometheus, query: str, window_name: str, window, step: int) -> Generator[dict | Partial, None, list[dict]]:
    """One range query. Returns the series."""
    answer = prometheus.range(query, window.start, window.end, step)
    for warning in answer["warnings"]:
        yield Partial(f"{window_name}: Prometheus warns: {warning}", window=window_name)
    for found in answer["result"]:
        yield {"window": window_name, "step_s": step, **found}
    if not answer["result"]:
        yield Partial(
            f"{window_name}: no series of {' or '.join(dict.fromkeys(METRIC.findall(query))) or query}",
            "let Prometheus scrape the exporter, or correct its labels in the platform file (selectors, promql)",
            window_name,
        )
    return answer["result"]


def _gaps(result: list[dict], window_name: str, window, step: int, come_and_go: bool) -> Iterator[Partial]:
    """Steps without a value are named: a hole in a chart is not a quiet line."""
    for target, unseen in _unseen(result, window, step, come_and_go):
        where = f" ({target})" if target else ""
        yield Partial(f"{window_name}: no value {unseen}{where}", "see whether its target was up", window_name)


def _unseen(result: list[dict], window, step: int, come_and_go: bool) -> Iterator[tuple[str, str]]:
    """Per target, the stretches in which none of its series has a value. One missing step is the edge of the window."""
    start = round(window.start.timestamp())
    expected = range(start, start + int(window.seconds) + 1, step)
    seen: dict[str, set[int]] = {}
    for found in result:
        moments = {round(float(at)) for at, _ in found["values"]}
        seen.setdefault(found["metric"].get("instance", ""), set()).update(moments)
    for target, moments in sorted(seen.items()):
        first, last = (min(moments), max(moments)) if come_and_go else (expected[0], expected[-1])
        missing = [at for at in expected if at not in moments and first <= at <= last]
        if len(missing) > 1:
            yield target, spans(missing, step)


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

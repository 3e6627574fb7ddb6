"""A PromQL expression as a table over the incident and its baseline."""

import math
import re
from collections.abc import Generator, Iterator
from datetime import UTC as utc
from datetime import datetime
from typing import Any

import pandas as pd

from nl_forensics.sources import SOURCES, UTC, Partial, Permission, Source
from nl_forensics.sources.column import Column

SMALLEST_STEP_S = 15
RATE_S = 300  # at least four scrapes at the usual intervals, so that a rate has something to compare
LABEL = {"target": "instance", "database": "datname", "command": "cmd"}  # `instance` is the Prometheus that was asked
TARGET = ("target",)
SHARED = {
    "window": Column("str", "`incident` or `baseline`"),
    "at": Column(UTC, "time of the step; a rate covers the range that ends here"),
    "target": Column("str", "target that was scraped (label `instance`)"),
    "job": Column("str", "job of the scrape configuration"),
    "database": Column("str", "name of the database"),
    "command": Column("str", "command, in lower case"),
    "state": Column("str", "`active`, `idle`, `idle in transaction`, `idle in transaction (aborted)`, …"),
    "key": Column("str", "key of the queue"),
    "group": Column("str", "rule group"),
    "integration": Column("str", "kind of receiver: `slack`, `pagerduty`, `webhook`, …"),
    "namespace": Column("str", "namespace; empty if the target has no such label"),
    "pod": Column("str", "name of the pod"),
    "container": Column("str", "name of the container"),
    "volume": Column("str", "claim, or mount point"),
    "service": Column("str", "service, by the label in the platform file"),
    "status": Column("str", "HTTP status (`200`, `503`); empty: the service was scraped"),
    "route": Column("str", "route of the service; empty: the service was scraped"),
    "tenant": Column("str", "tenant; empty if the counter has no such label"),
    "rcode": Column(
        "str", "`NOERROR`; `NXDOMAIN` (usual: clients try each search domain in turn); `SERVFAIL`, `REFUSED` (failed)"
    ),
}
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
    meaning: str,
    labels: tuple[str, ...] = TARGET,
    each: tuple[str, ...] = TARGET,
    sparse: bool = False,
    about: str = "",
    come_and_go: bool = False,
    doc: str,
    guide: tuple[str, ...] = (),
) -> None:
    """Declare one PromQL expression as a table: one row per series and step, over the incident and its baseline.

    query    PromQL; {postgres}, {redis}, {kubelet}, {volumes}, … stand for the label matchers of the platform file, {metrics.…} for the
             metric names in it, {queues} and {namespaces} for regular expressions of its queues and of the namespaces in scope, {range}
             for the duration of a rate, {window} and {step} for those of the whole answer
    value    name of the value column, with its unit; `meaning`: what it measures
    labels   labels that become columns; `target` is the label `instance`, `database` is `datname`, `command` is `cmd`
    each     labels that identify what must have a value at every step: each target, or each service. A service of the baseline must be
             in the incident, too; a target can be replaced by another
    sparse   steps without a value are normal (nothing to divide by), so they are no gap
    about    as in Source
    come_and_go   a series may begin and end within a window: only a hole in between is a gap

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

    columns = {label: SHARED[label] for label in ("window", "at", *labels)} | {value: Column("float64", meaning)}
    SOURCES[name] = Source(
        name=name,
        system="prometheus",
        fetch=fetch,
        parse=parse,
        columns=columns,
        covers="window",
        readings=1,
        needs=Permission(prometheus="/api/v1/query_range"),
        guide=guide,
        doc=doc,
        about=about,
    )


def _placeholders(incident, platform, window, step: int) -> dict[str, Any]:
    queues = [re.escape(queue.key) for queue in platform.redis.queues]
    namespaces = [re.escape(name).replace(r"\*", ".*") for name in incident.scope(platform)]
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
    return "|".join(patterns).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "n")


def _ask(prometheus, query: str, window_name: str, window, step: int) -> Generator[dict | Partial, None, list[dict]]:
    """One range query. Returns what was found."""
    answer = prometheus.range(query, window.start, window.end, step)
    for warning in answer["warnings"]:
        yield Partial(f"{window_name}: warning of Prometheus: {warning}", window=window_name)
    for found in answer["result"]:
        yield {"window": window_name, "step_s": step, **found}
    if not answer["result"]:
        yield Partial(
            f"{window_name}: no series of {' or '.join(dict.fromkeys(METRIC.findall(query))) or query}",
            "scrape a target that exports this metric, or correct names and labels in the platform file (selectors, metrics, promql)",
            window_name,
        )
    return answer["result"]


def _seen(result: list[dict], each: tuple[str, ...]) -> dict[str, set[int]]:
    """The steps at which each target (or whatever `each` identifies) has a value."""
    seen: dict[str, set[int]] = {}
    for found in result:
        name = " · ".join(filter(None, (found["metric"].get(LABEL.get(label, label), "") for label in each)))
        seen.setdefault(name, set()).update(round(float(at)) for at, _ in found["values"])
    return seen


def _holes(seen: dict[str, set[int]], window_name: str, window, step: int, come_and_go: bool) -> Iterator[Partial]:
    """Steps without a value: a gap in a chart is not a quiet line. One missing step is the edge of the window."""
    start = round(window.start.timestamp())
    expected = range(start, start + int(window.seconds) + 1, step)
    for name, moments in sorted(seen.items()):
        first, last = (min(moments), max(moments)) if come_and_go else (expected[0], expected[-1])
        missing = [at for at in expected if at not in moments and first <= at <= last]
        if len(missing) > 1:
            where = f" ({name})" if name else ""
            unseen = f"{window_name}: no value {spans(missing, step)}{where}"
            yield Partial(unseen, "check whether its target was up", window_name)


def _gone(seen: dict[str, dict]) -> Iterator[Partial]:
    """Targets and services of the baseline that are missing from the incident: they must not appear healthy."""
    if seen["incident"]:
        for name in sorted(seen.get("baseline", {}).keys() - seen["incident"].keys()):
            yield Partial(
                f"incident: no value of {name}, which has values in the baseline", "check whether it still exists"
            )


def spans(missing: list[int], step: int) -> str:
    """`from 14:02 to 14:10 UTC`, the first three periods."""
    moments = set(missing)
    starts = [at for at in missing if at - step not in moments]
    ends = [at for at in missing if at + step not in moments]
    shown = [
        f"from {datetime.fromtimestamp(first, utc):%H:%M:%S} to {datetime.fromtimestamp(last, utc):%H:%M:%S} UTC"
        for first, last in list(zip(starts, ends, strict=True))[:3]
    ]
    more = f", and {len(starts) - 3} more periods" if len(starts) > 3 else ""
    return ", ".join(shown) + more

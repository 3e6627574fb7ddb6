"""What Grafana says: whether it works, where it gets its data from, and what its dashboards ask for."""

import re
from collections.abc import Iterator

from nl_forensics.errors import BadAnswer, SourceError
from nl_forensics.sources import Partial, Permission, Proof, source

MOST_DASHBOARDS = 500
UNHEALTHY = (400, 500, 502, 503)
PROMETHEUS = "prometheus"  # the type of its data sources
STRINGS = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
BRACES = re.compile(r"\{[^{}]*\}")
LABEL_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", re.IGNORECASE)
COMMENTS = re.compile(r"#.*")
VARIABLES = re.compile(r"\$\{[^{}]*\}|\[\[\w+\]\]|\$\w+")
DURATIONS = re.compile(r"\[[^\[\]]*\]")
NAMES = re.compile(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)(?![\w:$]|\s*\()")
WORDS = {"and", "or", "unless", "bool", "offset", "inf", "nan", "group_left", "group_right"}
NAME_MATCHER = re.compile(r"""__name__\s*=\s*["']([a-zA-Z_:][\w:]*)["']""")


@source(
    columns={"version": "str", "database": "str"},
    covers="now",
    needs=Permission(),
    guide=("C123",),
)
def grafana_health(grafana):
    """How it is; one row.

    database   `ok`, or what is said instead of it: dashboards, users and alerts are kept there
    """
    health = grafana.get("/api/health", also=UNHEALTHY)
    yield {"version": health.get("version", ""), "database": health["database"]}


@source(
    columns={"uid": "str", "name": "str", "type": "str", "health": "str", "message": "str"},
    nullable=("health",),
    covers="now",
    needs=Permission(grafana="datasources:read datasources:query"),
    guide=("C124",),
)
def grafana_datasources(grafana):
    """Where its data come from; one row per data source.

    uid       which is what dashboards refer to; its number is nothing that newer versions know
    health    `OK`, `ERROR`, or null for a type that can't tell
    message   what it said, "" when nothing
    """
    found = grafana.get("/api/datasources")
    yield Proof(f"Grafana lists {len(found)} data sources")
    for one in found:
        row = {"uid": one["uid"], "name": one["name"], "type": one["type"], "health": None, "message": ""}
        try:
            said = grafana.get(f"/api/datasources/uid/{one['uid']}/health", also=UNHEALTHY)
        except SourceError as error:
            if not isinstance(error, BadAnswer):
                raise
            yield Partial(f"whether the data source {one['name']} works: {error}")
        else:
            row |= {"health": said.get("status"), "message": said.get("message", "")}
        yield row


@source(
    columns={"dashboard": "str", "title": "str", "panel": "str", "datasource": "str", "metric": "str"},
    covers="now",
    needs=Permission(grafana="dashboards:read"),
    guide=("C125",),
)
def grafana_queries(grafana):
    """What dashboards ask Prometheus for; one row per panel and metric.

    dashboard    its uid; title: its name; panel: the title of the panel
    datasource   uid of the data source, "" for the default one or one that a variable chooses
    metric       a name in the query; one that a variable makes (`${metric}_total`), and the query itself, are left out
    """
    found = grafana.get(f"/api/search?type=dash-db&limit={MOST_DASHBOARDS}")
    yield Proof(f"Grafana lists {len(found)} dashboards")
    if len(found) == MOST_DASHBOARDS:
        yield Partial(f"dashboards beyond the first {MOST_DASHBOARDS}")
    for one in found:
        dashboard = grafana.get(f"/api/dashboards/uid/{one['uid']}")["dashboard"]
        for panel, target in _targets(dashboard.get("panels") or []):
            chosen = target.get("datasource") or panel.get("datasource") or {}
            if isinstance(chosen, dict) and chosen.get("type", PROMETHEUS) != PROMETHEUS:
                continue
            for metric in metrics_in(target["expr"]):
                yield {
                    "dashboard": one["uid"],
                    "title": one["title"],
                    "panel": panel.get("title", ""),
                    "datasource": _uid(chosen),
                    "metric": metric,
                }


def _targets(panels: list[dict]) -> Iterator[tuple[dict, dict]]:
    """Every query in PromQL, also of panels inside a row that is folded."""
    for panel in panels:
        yield from _targets(panel.get("panels") or [])
        yield from ((panel, target) for target in panel.get("targets") or [] if target.get("expr"))


def _uid(chosen: dict | str) -> str:
    uid = chosen.get("uid") or "" if isinstance(chosen, dict) else chosen
    return "" if "$" in uid else uid


def metrics_in(expression: str) -> list[str]:
    """The names of metrics in PromQL as a dashboard has it, each once, in alphabetical order."""
    named = set(NAME_MATCHER.findall(expression))
    bare = COMMENTS.sub("", STRINGS.sub("", VARIABLES.sub("$", expression)))
    for part in (BRACES, DURATIONS, LABEL_LISTS):
        bare = part.sub(" ", bare)
    return sorted(named | {name for name in NAMES.findall(bare) if name.lower() not in WORDS})

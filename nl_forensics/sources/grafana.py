"""What Grafana says: whether it works, where it gets its data from, and what its dashboards ask for."""

import re
from collections.abc import Iterator

from nl_forensics.errors import BadAnswer, SourceError
from nl_forensics.redact import without_tokens
from nl_forensics.sources import Partial, Permission, Proof, source
from nl_forensics.sources.column import Column

MAX_DASHBOARDS = 500
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
    columns={
        "version": Column("str", "version of Grafana; empty if it does not show it"),
        "database": Column("str", "state of Grafana's own database of dashboards, users and alerts: `ok`, or an error"),
    },
    covers="now",
    needs=Permission(),
    guide=("C123",),
)
def grafana_health(grafana):
    """State of Grafana; one row."""
    health = grafana.get("/api/health", also=UNHEALTHY)
    yield {"version": health.get("version", ""), "database": health["database"]}


@source(
    columns={
        "uid": Column("str", "unique identifier, which dashboards refer to"),
        "name": Column("str", "name of the data source"),
        "type": Column("str", "type of the data source: `prometheus`, `loki`, …"),
        "health": Column(
            "str",
            "result of its health check: `OK` or `ERROR`",
            unknown="its type has no health check, or the check gave no answer",
        ),
        "message": Column("str", "message of the health check; empty if there is none"),
    },
    covers="now",
    needs=Permission(grafana="datasources:read datasources:query"),
    guide=("C124",),
)
def grafana_datasources(grafana):
    """Data sources of Grafana; one row per data source."""
    found = grafana.get("/api/datasources")
    yield Proof(f"Grafana lists {len(found)} data sources")
    for one in found:
        row = {"uid": one["uid"], "name": one["name"], "type": one["type"], "health": None, "message": ""}
        try:
            said = grafana.get("/api/datasources/uid/{}/health", one["uid"], also=UNHEALTHY)
        except SourceError as error:
            if not isinstance(error, BadAnswer):
                raise
            yield Partial(f"whether the data source {one['name']} works: {error}")
        else:
            row |= {"health": said.get("status"), "message": said.get("message", "")}
        yield row


@source(
    columns={
        "dashboard": Column("str", "unique identifier of the dashboard"),
        "title": Column("str", "title of the dashboard"),
        "panel": Column("str", "title of the panel"),
        "datasource": Column("str", "uid of the data source; empty for the default one, or if a variable selects it"),
        "metric": Column(
            "str",
            "metric in the query; names that a variable makes (`${metric}_total`), and the query itself, are not recorded",
        ),
    },
    covers="now",
    needs=Permission(grafana="dashboards:read"),
    guide=("C125",),
)
def grafana_queries(grafana):
    """Metrics that dashboards query from Prometheus; one row per panel and metric."""
    found = grafana.get(f"/api/search?type=dash-db&limit={MAX_DASHBOARDS}")
    yield Proof(f"Grafana lists {len(found)} dashboards")
    if len(found) == MAX_DASHBOARDS:
        yield Partial(f"dashboards beyond the first {MAX_DASHBOARDS}")
    for one in found:
        dashboard = grafana.get("/api/dashboards/uid/{}", one["uid"])["dashboard"]
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
    bare = COMMENTS.sub("", STRINGS.sub("", VARIABLES.sub("$", without_tokens(expression))))
    for part in (BRACES, DURATIONS, LABEL_LISTS):
        bare = part.sub(" ", bare)
    return sorted(named | {name for name in NAMES.findall(bare) if name.lower() not in WORDS})

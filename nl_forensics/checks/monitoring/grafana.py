"""Rules about dashboards: what people look at shows what there is."""

from nl_forensics.checks.rule import check


@check(
    section="10",
    severity="high",
    subject="{instance}",
    because="its database is not well: {database}",
    guide=("C123",),
)
def grafana_has_its_database(grafana_health):
    """Grafana reaches its database.

    Dashboards, users and data sources are there: without it nobody can log in, and no panel is shown.
    """
    return grafana_health[grafana_health.database != "ok"]


@check(
    section="10",
    severity="high",
    subject="{name}",
    because="the data source {name} ({type}, uid {uid}) does not work: {message}",
    guide=("C124",),
)
def every_data_source_works(grafana_datasources):
    """Every data source of Grafana works.

    Grafana asks it itself: the error is what every panel gets. A type that can't be asked is not known.
    """
    return grafana_datasources[grafana_datasources.health.str.upper() != "OK"]


@check(
    section="10",
    severity="medium",
    subject="{title}: {panel}",
    because="asks a data source that is not there (uid {datasource})",
    guide=("C125",),
)
def dashboards_have_their_data_sources(grafana_queries, grafana_datasources):
    """Every data source that a dashboard names is there.

    After a restore or a move its uid is another one, and the panel is empty.
    """
    built_in = ("", "grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --")
    known = {*grafana_datasources.uid, *grafana_datasources.name, *built_in}
    return grafana_queries[~grafana_queries.datasource.isin(known)].drop_duplicates(["instance", "dashboard", "panel"])


@check(
    section="10",
    severity="note",
    subject="{title}: {panel}",
    because="asks for {metric}, which no target had during the incident",
    guide=("C125",),
)
def dashboards_ask_for_what_there_is(grafana_queries, prom_metric_names):
    """Every metric that a dashboard asks for had a sample during the incident.

    An empty panel looks like a quiet one. A metric that is only there when something goes wrong is no fault.
    """
    rows = grafana_queries[~grafana_queries.metric.isin(set(prom_metric_names.metric))]
    return rows.drop_duplicates(["instance", "dashboard", "panel", "metric"])

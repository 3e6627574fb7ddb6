"""Rules about Grafana: its dashboards show data."""

from nl_forensics.checks.rule import check


@check(
    section="10",
    severity="high",
    subject="grafana/{instance}",
    because="database of Grafana is not available: {database}",
    guide=("C123",),
)
def grafana_has_its_database(grafana_health):
    """Grafana reaches its database.

    It holds dashboards, users and data sources: without it logins fail, and no panel is shown.
    """
    return grafana_health[grafana_health.database != "ok"]


@check(
    section="10",
    severity="high",
    subject="grafana/{instance}, {name}",
    because="health check of the data source fails; {type}, uid {uid}: {message}",
    guide=("C124",),
)
def every_data_source_works(grafana_datasources):
    """Every data source of Grafana passes its health check.

    Grafana runs the check itself; every panel of the data source gets the same error. Some types have no health check.
    """
    return grafana_datasources[grafana_datasources.health.str.upper() != "OK"]


@check(
    section="10",
    severity="medium",
    subject="grafana/{instance}, {title}: {panel}",
    because="panel queries a data source that does not exist (uid {datasource})",
    guide=("C125",),
)
def dashboards_have_their_data_sources(grafana_queries, grafana_datasources):
    """Every data source that a dashboard refers to exists.

    A restore or a migration can change its uid, and the panel is empty.
    """
    built_in = ("", "grafana", "-- Grafana --", "-- Mixed --", "-- Dashboard --")
    known = {*grafana_datasources.uid, *grafana_datasources.name, *built_in}
    return grafana_queries[~grafana_queries.datasource.isin(known)].drop_duplicates(["instance", "dashboard", "panel"])


@check(
    section="10",
    severity="note",
    subject="grafana/{instance}, {title}: {panel}",
    because="panel queries {metric}, which had no sample during the incident",
    guide=("C125",),
)
def dashboards_ask_for_what_there_is(grafana_queries, prom_metric_names):
    """Every metric that a dashboard queries had a sample during the incident.

    An empty panel resembles a quiet one. A metric that exists only after an error is no fault.
    """
    rows = grafana_queries[~grafana_queries.metric.isin(set(prom_metric_names.metric))]
    return rows.drop_duplicates(["instance", "dashboard", "panel", "metric"])

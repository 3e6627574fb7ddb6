"""Rules about Prometheus' own work: its configuration, and the evaluation of its rules."""

import pandas as pd

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each

GROUP = ["instance", "target", "group"]


@check(
    section="10",
    severity="high",
    subject="prometheus/{instance}",
    because="last load of the configuration failed; the active one was loaded at {loaded_at:%Y-%m-%d %H:%M:%S} UTC",
    guide=("C122",),
)
def prometheus_reads_its_configuration(prom_server):
    """The last load of Prometheus' configuration succeeded.

    After a failure it keeps the previous one: targets and rules added since are missing, and it does not start again after a restart.
    """
    return prom_server[~prom_server.reload_succeeded]


@check(
    section="10",
    severity="high",
    subject="prometheus/{instance}",
    because="no Alertmanager is configured or discovered, so alerts are not delivered",
    guide=("C122",),
)
def prometheus_knows_an_alertmanager(prom_server):
    """Prometheus has an Alertmanager to send its alerts to.

    Without one, no alert causes a notification (mixin of Prometheus).
    """
    return prom_server[prom_server.alertmanagers < 1]


@check(
    section="10",
    severity="high",
    subject="prometheus/{instance}, {group}: {rule}",
    because="last evaluation of the rule failed; {last_error}",
    guide=("C122",),
)
def every_rule_can_be_evaluated(prom_rules):
    """The last evaluation of every rule succeeded.

    A rule that fails records no series and sends no alert, and rules that depend on it fail as well.
    """
    return _without_label(prom_rules[prom_rules.health == "err"])


@check(
    section="10",
    severity="high",
    subject="prometheus/{instance}, {group}",
    because="{failures:number} rule evaluations failed in the 5 min before {worst_at:%H:%M:%S} UTC; failures {span}",
    at="at",
    guide=("C122",),
)
def no_evaluation_of_a_rule_failed(prom_rule_failures):
    """No evaluation of a rule failed during the incident.

    Its series or alert is missing for that time, even if it works again (mixin of Prometheus).
    """
    table = during(prom_rule_failures)
    return worst_of_each(table[table.failures >= 0.5], GROUP, "failures")


@check(
    section="10",
    severity="medium",
    subject="prometheus/{instance}, {group}",
    because="{skipped:number} rule evaluations were skipped in the 5 min before {worst_at:%H:%M:%S} UTC; skipped {span}",
    at="at",
    guide=("C122",),
)
def no_evaluation_of_a_rule_is_left_out(prom_rule_skips):
    """No evaluation of a rule was skipped during the incident.

    It is skipped if the previous one is not finished: `for` takes longer than configured, and short conditions are missed (mixin of
    Prometheus).
    """
    table = during(prom_rule_skips)
    return worst_of_each(table[table.skipped >= 0.5], GROUP, "skipped")


@check(
    section="10",
    severity="medium",
    subject="prometheus/{instance}, {group}",
    because="one evaluation of the group takes {took_s:seconds} (interval {interval_s:seconds}), mostly {rule} ({evaluation_s:seconds})",
    guide=("C122",),
)
def groups_of_rules_are_fast_enough(prom_rules):
    """Every rule group is evaluated in less time than its interval.

    A slower group skips evaluations (mixin of Prometheus).
    """
    took = prom_rules.groupby(["instance", "group"]).evaluation_s.transform("sum")
    rows = prom_rules.assign(took_s=took).sort_values("evaluation_s", ascending=False)
    return _without_label(rows[rows.took_s > rows.interval_s].drop_duplicates(["instance", "group"]))


def _without_label(rules: pd.DataFrame) -> pd.DataFrame:
    """The severity of an alert is a label of its rule, not that of the finding."""
    return rules.rename(columns={"severity": "severity_label"})

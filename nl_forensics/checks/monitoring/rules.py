"""Rules about Prometheus' own work: its configuration, and the evaluation of its rules."""

from nl_forensics.checks.rule import check
from nl_forensics.facts.episodes import during, worst_of_each

GROUP = ["instance", "target", "group"]


@check(
    section="10",
    severity="high",
    subject="{instance}",
    because="could not read its configuration when it last tried; what runs was read at {loaded_at:%Y-%m-%d %H:%M:%S} UTC",
    guide=("C122",),
)
def prometheus_reads_its_configuration(prom_server):
    """Prometheus could read its configuration when it last tried.

    Otherwise it goes on with the one before: a target or a rule that was added since is not there, and a restart ends it.
    """
    return prom_server[~prom_server.reload_succeeded]


@check(
    section="10",
    severity="high",
    subject="{instance}",
    because="sends its alerts to no Alertmanager: it knows none",
    guide=("C122",),
)
def prometheus_knows_an_alertmanager(prom_server):
    """Prometheus knows an Alertmanager to send its alerts to.

    Without one, alerts are firing on a page that nobody looks at (mixin of Prometheus).
    """
    return prom_server[prom_server.alertmanagers < 1]


@check(
    section="10",
    severity="high",
    subject="{group}: {rule}",
    because="can't be evaluated: {last_error}",
    guide=("C122",),
)
def every_rule_can_be_evaluated(prom_rules):
    """Every rule could be evaluated when it was last tried.

    A rule that fails records nothing and alerts nobody, and what rests on it fails with it.
    """
    return prom_rules[prom_rules.health == "err"].assign(severity="high")  # that of the rule is another thing


@check(
    section="10",
    severity="high",
    subject="{group}",
    because="{failures:number} evaluations failed in the minutes before {worst_at:%H:%M:%S} UTC; failures {span}",
    at="at",
    guide=("C122",),
)
def no_evaluation_of_a_rule_failed(prom_rule_failures):
    """No evaluation of a rule failed during the incident.

    What it would have recorded or told is missing from then on, also where it works again by now (mixin of Prometheus).
    """
    table = during(prom_rule_failures)
    return worst_of_each(table[table.failures >= 0.5], GROUP, "failures")


@check(
    section="10",
    severity="medium",
    subject="{group}",
    because="{skipped:number} evaluations were left out in the minutes before {worst_at:%H:%M:%S} UTC; left out {span}",
    at="at",
    guide=("C122",),
)
def no_evaluation_of_a_rule_is_left_out(prom_rule_skips):
    """No evaluation of a rule was left out during the incident.

    The one before was not ready: `for` takes longer than it says, and what is short is missed (mixin of Prometheus).
    """
    table = during(prom_rule_skips)
    return worst_of_each(table[table.skipped >= 0.5], GROUP, "skipped")


@check(
    section="10",
    severity="medium",
    subject="{group}",
    because="takes {took_s:seconds} to evaluate its rules every {interval_s:seconds}, most of all {rule} ({evaluation_s:seconds})",
    guide=("C122",),
)
def groups_of_rules_are_fast_enough(prom_rules):
    """Every group of rules is evaluated in less time than its interval.

    A slower one leaves evaluations out (mixin of Prometheus).
    """
    took = prom_rules.groupby(["instance", "group"]).evaluation_s.transform("sum")
    rows = prom_rules.assign(took_s=took).sort_values("evaluation_s", ascending=False)
    slow = rows[rows.took_s > rows.interval_s].drop_duplicates(["instance", "group"])
    return slow.assign(severity="medium")

"""Rules about every system: it answers."""

from nl_forensics.checks.rule import check


@check(
    section="05",
    severity="critical",
    subject="{instance}",
    because="did not answer: {why}",
    at="at",
    guide=("C002", "C020", "C021"),
)
def every_system_answers(systems_reached):
    """Every system answers.

    A refused connection, no free connection, or no answer within a client's timeout is an outage, whatever the dashboards show; so is
    an answer that no client of this system can read. A rejected login is an answer.
    """
    return systems_reached[~systems_reached.answered]

"""Requests that the API server denied, as programs report it: in log lines and in events."""

import re

import pandas as pd

from nl_forensics.facts.kubernetes.lines import dated_lines
from nl_forensics.facts.kubernetes.rbac import Access, Identity, Request

DENIAL = re.compile(
    r'User \\*"(?P<user>[^"\\]+)\\*" cannot (?P<verb>[\w*]+) '
    r'(?:resource \\*"(?P<resource>[^"\\]+)\\*" in API group \\*"(?P<group>[^"\\]*)\\*"'
    r'(?: in the namespace \\*"(?P<namespace>[^"\\]+)\\*"| at the cluster scope)?|path \\*"(?P<url>[^"\\]+)\\*")'
)
COLUMNS = ["instance", "asked_at", "at", "place", "said"]


def denials(k8s_unhealthy_logs: pd.DataFrame, k8s_logs: pd.DataFrame, k8s_events: pd.DataFrame) -> pd.DataFrame:
    """One row per report of a denial: `user`, `verb`, `resource`, `group`, `namespace`, `url`, and `place`, where it was reported."""
    logs = dated_lines(k8s_unhealthy_logs, k8s_logs)
    logs = logs.assign(place=logs.namespace + "/" + logs.workload, said=logs.message)
    events = k8s_events.assign(place=k8s_events.namespace + "/" + k8s_events.name, said=k8s_events.message)
    rows = pd.concat([logs[COLUMNS], events[COLUMNS]], ignore_index=True)
    rows = rows[rows["at"].notna() & rows.said.str.contains(" cannot ", regex=False)]
    rows = rows.assign(**rows.said.str.extract(DENIAL).fillna(""))
    return rows[rows.user.fillna("") != ""].sort_values("at", kind="stable")


def asked_by(row) -> tuple[Identity, Request]:
    """The identity and its request, of a row of `denials`."""
    asked = Request(row.verb, row.resource, row.group, row.namespace, url=row.url)
    return Identity.of_user(row.user), asked


def explained(rows: pd.DataFrame, access: dict[str, Access]) -> list[str]:
    """Of each denied request, what is lacking; or that it is allowed since."""
    found = []
    for row in rows.itertuples():
        who, asked = asked_by(row)
        grant = access[row.instance].allows(who, asked)
        found.append(f"allowed since, by {grant.binding.shown}" if grant else access[row.instance].missing(who, asked))
    return found

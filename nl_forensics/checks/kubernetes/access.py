"""Rules about rights: denied requests, bindings that lead nowhere, and rights that are too wide."""

import pandas as pd

from nl_forensics.checks.rows import counted
from nl_forensics.checks.rule import check
from nl_forensics.facts.kubernetes.denials import asked_by, denials, explained
from nl_forensics.facts.kubernetes.powers import powerful, rules_in_words
from nl_forensics.facts.kubernetes.rbac import ACCOUNTS, ANONYMOUS, AUTHENTICATED, Access, Binding

EVERYONE = (*ANONYMOUS, AUTHENTICATED, ACCOUNTS)
REQUEST = ["instance", "user", "verb", "resource", "group", "namespace", "url"]
BINDING = ["instance", "kind", "namespace", "name"]


def _access(rows: pd.DataFrame, k8s_role_rules: pd.DataFrame, k8s_bindings: pd.DataFrame) -> dict[str, Access]:
    """Roles and bindings of each cluster that the rows are of."""
    return {instance: Access.of(k8s_role_rules, k8s_bindings, instance) for instance in rows.instance.unique()}


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """With the binding and its subject in words."""
    place = rows.namespace.where(rows.namespace == "", rows.namespace + "/")
    home = rows.subject_namespace.where(rows.subject_namespace == "", rows.subject_namespace + "/")
    return rows.assign(
        binding=rows.kind + " " + place + rows.name, subject_name=rows.subject_kind + " " + home + rows.subject
    )


@check(
    section="09",
    severity="high",
    subject="{instance}: {identity}",
    because="denied to {what}: {number} from {first_at:%H:%M:%S} to {last_at:%H:%M:%S} UTC, reported by {place}; {why}",
    at="first_at",
    guide=("C115", "C116", "C117"),
)
def no_request_to_the_api_is_denied(k8s_unhealthy_logs, k8s_logs, k8s_events, k8s_role_rules, k8s_bindings):
    """No program reports that the API server denied its request.

    By the message of RBAC ("User … cannot list resource …") in logs and events. What is lacking is decided by the roles and bindings at the
    time of collection, as the API server does; other authorizers are not known.
    """
    rows = denials(k8s_unhealthy_logs, k8s_logs, k8s_events)
    rows = rows.groupby(REQUEST, as_index=False, sort=False).agg(
        reports=("said", "size"),
        place=("place", "first"),
        first_at=("at", "min"),
        last_at=("at", "max"),
        asked_at=("asked_at", "max"),
    )
    pairs = [asked_by(row) for row in rows.itertuples()]
    why = explained(rows, _access(rows, k8s_role_rules, k8s_bindings))
    rows = rows.assign(identity=[one.shown for one, _ in pairs], what=[asked.shown for _, asked in pairs], why=why)
    return rows.assign(number=counted(rows.reports, "report")).sort_values("reports", ascending=False)


@check(
    section="09",
    severity="high",
    subject="{instance}: {binding}",
    because="grants {role_kind} {role}, which does not exist: its subjects get nothing; last changed by {changed_by} at"
    " {changed_at:%Y-%m-%d %H:%M:%S} UTC",
    at="changed_at",
    guide=("C116",),
)
def every_binding_grants_a_role_that_exists(k8s_bindings):
    """Every binding grants a role that exists.

    The API server accepts a binding before its role; a role that is created later under this name is granted at once.
    """
    rows = k8s_bindings[~k8s_bindings.built_in]
    return _named(rows[~rows.role_exists]).drop_duplicates(BINDING)


@check(
    section="09",
    severity="medium",
    subject="{instance}: {binding}",
    because="is for the service account {subject_namespace}/{subject}, which does not exist; if it is created, it gets {role_kind} {role}",
    at="changed_at",
    guide=("C116", "C118"),
)
def every_bound_service_account_exists(k8s_bindings):
    """Every service account that a binding names exists.

    Either a name is misspelt and a program lacks its rights, or the account was deleted and its rights wait for the next of that name.
    """
    rows = k8s_bindings[~k8s_bindings.built_in]
    return _named(rows[~rows.subject_exists])


@check(
    section="09",
    severity="high",
    critical="is_anonymous",
    subject="{instance}: {binding}",
    because="grants {role_kind} {role} to {subject}: {said}; last changed by {changed_by} at {changed_at:%Y-%m-%d %H:%M:%S} UTC",
    at="changed_at",
    guide=("C116", "C118"),
)
def no_binding_is_for_everyone(k8s_bindings, k8s_role_rules):
    """No binding is for all authenticated identities, all service accounts, or anonymous requests.

    Those of Kubernetes itself (discovery, health, its own version) are left out. Critical where no login is needed.
    """
    rows = k8s_bindings[k8s_bindings.subject.isin(EVERYONE) & ~k8s_bindings.built_in]
    known = _access(rows, k8s_role_rules, k8s_bindings)
    said = [rules_in_words(known[row["instance"]], row) for row in rows.to_dict("records")]
    return _named(rows.assign(is_anonymous=rows.subject.isin(ANONYMOUS), said=said))


@check(
    section="09",
    severity="medium",
    critical="is_total",
    high="is_everywhere",
    subject="{instance}: {subject_name}",
    because="may {powers} {where}, by {binding} → {role_kind} {role}; last changed by {changed_by} at {changed_at:%Y-%m-%d %H:%M:%S} UTC",
    at="changed_at",
    guide=("C115", "C117", "C118"),
)
def no_service_account_has_too_wide_rights(k8s_role_rules, k8s_bindings):
    """No service account may read secrets, run commands in pods, or get more rights than it was given.

    Critical where it amounts to all rights in the whole cluster, high in the whole cluster, medium in one namespace. Rules that are
    restricted to names of objects are left out, as are service accounts in `access.administrators` of the platform file.
    """
    rows = _named(k8s_bindings[~k8s_bindings.built_in & ~k8s_bindings.is_administrator])
    found = []
    for instance, part in rows.groupby("instance"):
        access = Access.of(k8s_role_rules, k8s_bindings, instance)
        powers = dict(powerful(Access(access.roles, [_binding(row) for row in part.to_dict("records")])))
        found += [_power(row, powers[one]) for row in part.to_dict("records") if (one := _binding(row)) in powers]
    order = ["is_total", "is_everywhere", "changed_at"]
    columns = [*rows.columns, "powers", "where", "is_everywhere", "is_total"]
    return pd.DataFrame(found, columns=columns).sort_values(order, ascending=False, kind="stable")


def _binding(row: dict) -> Binding:
    return Binding(*(row[name] for name in Binding._fields))


def _power(row: dict, powers: list) -> dict:
    """A row of a binding, with what it allows in words."""
    everywhere = row["kind"] == "ClusterRoleBinding"
    return dict(row) | {
        "powers": ", ".join(one.means for one in powers),
        "where": "in the whole cluster" if everywhere else f"in {row['namespace']}",
        "is_everywhere": everywhere,
        "is_total": everywhere and any(one.total for one in powers),
    }


@check(
    section="09",
    severity="critical",
    subject="{instance}: {subject_name}",
    because="of tenant {subject_tenant}, has rights {where}, by {binding}: {said}; last changed by {changed_by} at"
    " {changed_at:%Y-%m-%d %H:%M:%S} UTC",
    at="changed_at",
    guide=("C115", "C118"),
)
def tenants_have_rights_in_their_namespace_only(k8s_bindings, k8s_role_rules):
    """No identity of a tenant has rights in the whole cluster, or in the namespace of another.

    By the subjects of all bindings, also by the group of the service accounts of its namespace; names of bindings prove nothing.
    """
    rows = k8s_bindings[(k8s_bindings.subject_tenant != "") & ~k8s_bindings.is_administrator]
    rows = rows[(rows.kind == "ClusterRoleBinding") | (rows.tenant != rows.subject_tenant)]
    known = _access(rows, k8s_role_rules, k8s_bindings)
    said = [rules_in_words(known[row["instance"]], row) for row in rows.to_dict("records")]
    where = ("in " + rows.namespace).where(rows.namespace != "", "in the whole cluster")
    return _named(rows.assign(said=said, where=where))


@check(
    section="09",
    severity="medium",
    subject="{instance}: {subject_namespace}/default",
    because="the default service account has {role_kind} {role}, by {binding}; so has every pod of its namespace that names no other",
    at="changed_at",
    guide=("C115", "C116"),
)
def default_service_accounts_have_no_rights(k8s_bindings):
    """No default service account has rights.

    A pod that names no service account gets it, whatever program it runs. Give the program that needs the rights an account of its own.
    """
    rows = k8s_bindings[(k8s_bindings.subject_kind == "ServiceAccount") & (k8s_bindings.subject == "default")]
    return _named(rows[~rows.is_administrator & ~rows.built_in])

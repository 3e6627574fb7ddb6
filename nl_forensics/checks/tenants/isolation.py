"""Rules about what one tenant reaches of another: pods, rows, keys. Roles of the cluster: section 9."""

import pandas as pd

from nl_forensics.checks.rule import Unseen, check
from nl_forensics.facts.network_policy import policies_of
from nl_forensics.facts.tenants import MAX_KINDS, TooMany, matrix, pods_of


@check(
    section="07",
    severity="high",
    subject="{instance}: tenant {tenant}",
    because="no network policy limits what {workload} receives ({workloads} of its workloads)",
    guide=("C100", "C102"),
)
def tenants_deny_by_default(k8s_tenant_ends, k8s_policy_rules):
    """A network policy limits what every pod of a tenant receives.

    A pod that no policy selects is open to the whole cluster: to new neighbours, too. Pods with the network of their node are open in any
    case. Whether the network plugin enforces policies is not visible here.
    """
    found = []
    for instance, rows in k8s_tenant_ends.groupby("instance", sort=False):
        limits = {}
        for policy in policies_of(k8s_policy_rules, instance):
            if policy.direction == "ingress":
                limits.setdefault(policy.namespace, []).append(policy)
        is_limited = [any(policy.limits(pod) for policy in limits.get(pod.namespace, ())) for pod in pods_of(rows)]
        found.append(rows[[not one for one in is_limited]])
    rows = pd.concat(found) if found else k8s_tenant_ends
    rows = rows.assign(workloads=rows.groupby(["instance", "tenant"]).workload.transform("size"))
    return rows.drop_duplicates(["instance", "tenant"])


@check(
    section="07",
    severity="critical",
    subject="{instance}: tenant {tenant}",
    because="pods of {others} can connect to it: {what}; {why}",
    guide=("C100", "C101", "C102"),
)
def no_tenant_reaches_another(k8s_tenant_ends, k8s_policy_rules):
    """No network policy lets a pod of one tenant connect to a pod of another.

    Judged by the semantics of the API, as in section 4: both ends must allow a connection. A name that resolves is no leak: DNS answers
    names of every namespace. Whether the network plugin enforces policies, and policies of its own kinds, are not visible here.
    """
    try:
        reached = [one for one in matrix(k8s_tenant_ends, k8s_policy_rules) if one.verdict.allowed]
    except TooMany as many:
        raise Unseen(
            f"which tenants reach each other: their policies differ in {many.number} ways, more than the {MAX_KINDS} that are compared",
            "set `tenant` in the parameters to judge one of them",
        ) from None
    firsts = k8s_tenant_ends.drop_duplicates(["instance", "tenant"])
    found = {}
    for one in reached:
        for tenant in one.server.tenants:
            others = [name for name in one.client.tenants[:2] if name != tenant]
            number = len(one.client.tenants) - (tenant in one.client.tenants)
            words = others[0] if number == 1 else f"{others[0]} and {number - 1} other{'s' if number > 2 else ''}"
            found.setdefault(tenant, {"tenant": tenant, "others": words, "what": one.what, "why": one.verdict.why})
    leaks = pd.DataFrame(list(found.values()), columns=["tenant", "others", "what", "why"])
    return firsts.merge(leaks, on="tenant")


@check(
    section="07",
    severity="critical",
    subject="{instance}: {database}, {schema}.{table}",
    because="{readers} of {tenant_roles} roles of tenants may read the rows of every tenant, {reader} among them: {why}",
    guide=("C101",),
)
def rows_of_tenants_are_separated(pg_tenant_tables):
    """No database role of a tenant may read the rows of another tenant.

    Where each tenant has a role of its own, row-level security must be enabled on every table with their rows, for the role as well: owners
    and roles with BYPASSRLS are exempt. Where all tenants share one role, the programs separate them, which is not visible here.
    """
    rows = pg_tenant_tables[pg_tenant_tables.readers > 0]
    why = pd.Series("row-level security is off", rows.index, "str")
    why = why.mask(rows.row_security, "they are exempt: owner, superuser or BYPASSRLS")
    why = why.mask(rows.row_security & rows.policy_is_open, "a policy admits every row: USING (true)")
    return rows.assign(why=why).sort_values("readers", ascending=False)


@check(
    section="07",
    severity="critical",
    subject="{instance}: user {user}",
    because="may read keys of other tenants: {reaches}",
    guide=("C101",),
)
def keys_of_tenants_are_separated(redis_tenant_users):
    """No Redis user of a tenant may read the keys of another tenant.

    Redis itself answers (ACL DRYRUN) for a key of a tenant that does not exist. Where all tenants share one user, the programs separate
    them, which is not visible here.
    """
    return redis_tenant_users[redis_tenant_users.reaches != ""]

"""Rules about what is left of tenants that no longer exist."""

import pandas as pd

from nl_forensics.checks.rule import Unseen, check

MISSING = "the database lists no tenants"
REMEDY = "correct tenants.table in the platform file"


@check(
    section="07",
    severity="medium",
    subject="{instance}: namespace {namespace}",
    because="is left of tenant {tenant}, which no longer exists; created at {created_at:%Y-%m-%d %H:%M:%S} UTC",
    guide=("C094",),
)
def no_namespace_is_left_of_a_tenant(k8s_tenant_namespaces):
    """Every namespace of a tenant has its tenant.

    Its pods run, its data is kept, and it is billed to no customer. One that is being deleted is not counted.
    """
    rows = k8s_tenant_namespaces[k8s_tenant_namespaces.deletion_requested_at.isna()]
    return rows[~rows.known]


@check(
    section="07",
    severity="medium",
    subject="{instance}: {database}, {schema}.{table}",
    because="has rows of {orphans} tenants that no longer exist, {column} {orphan} among them",
    guide=("C101",),
)
def no_row_is_left_of_a_tenant(pg_tenant_tables):
    """Every row of a tenant has its tenant.

    Data of a deleted customer has to be gone; and a tenant that is created anew with that id would inherit it. A foreign key proves it.
    """
    return pg_tenant_tables[pg_tenant_tables.orphans > 0].sort_values("orphans", ascending=False)


@check(
    section="07",
    severity="medium",
    subject="{instance}: {pattern}",
    because="{keys} keys of {tenants} tenants that no longer exist, {tenant} among them",
    guide=("C101",),
)
def no_key_is_left_of_a_tenant(redis_tenant_keys, pg_tenants):
    """Every Redis key of a tenant has its tenant.

    Usage of a tenant that is gone can't be billed, and keys without a TTL stay for ever. The tenants are those that the database lists.
    """
    if pg_tenants.empty and len(redis_tenant_keys):
        raise Unseen(MISSING, REMEDY)
    known = redis_tenant_keys.tenant.isin(pg_tenants.id).where(
        redis_tenant_keys.by_number, redis_tenant_keys.tenant.isin(pg_tenants.tenant)
    )
    rows = redis_tenant_keys[~known.astype(bool)]
    key = ["instance", "pattern"]
    sums = rows.groupby(key, as_index=False).agg(
        keys=("keys", "sum"), tenants=("tenant", "nunique"), tenant=("tenant", "first"), asked_at=("asked_at", "max")
    )
    return sums.sort_values("keys", ascending=False)


@check(
    section="07",
    severity="high",
    subject="{instance}: tenant {tenant}",
    because="is not in the database: its plan is {plan}, its id is {number}",
    at="created_at",
    guide=("C092",),
)
def every_tenant_is_in_the_database(k8s_tenants, pg_tenants):
    """Every tenant that the operator knows is in the table of tenants.

    Its log lines and its usage refer to that row: without it they are rejected, or stored for no tenant. Joined by id, by name where the
    operator's object has none.
    """
    if pg_tenants.empty and len(k8s_tenants):
        raise Unseen(MISSING, REMEDY)
    rows = k8s_tenants[k8s_tenants.deletion_requested_at.isna()]
    by_id = rows.id.isin(pg_tenants.id)
    known = by_id.where(rows.id != "", rows.tenant.isin(pg_tenants.tenant))
    return rows.assign(number=rows.id.replace("", "not set"))[~pd.Series(known, rows.index).astype(bool)]

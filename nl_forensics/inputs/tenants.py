"""How the platform names its tenants: as objects of an operator, as namespaces, and as rows of a database."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

PLACE, NUMBER = "{tenant}", "{tenant_id}"
Resource = Annotated[str, StringConstraints(pattern=r"^([a-z0-9-]+\.[a-z0-9.-]+)?$")]
# Of a database: each part is a plain name, so that it can be quoted, and is nothing else than a name.
Table = Annotated[str, StringConstraints(pattern=r"^([A-Za-z_][A-Za-z0-9_$]{0,62}\.)?[A-Za-z_][A-Za-z0-9_$]{0,62}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_$]{0,62}$")]
Workload = Annotated[str, StringConstraints(pattern=r"^([a-z0-9-]+/[a-z0-9.-]+)?$")]
# What the operator may create for a tenant, as `kubectl get` names it. Secrets are never listed, so they are no step.
StepKind = Literal[
    "namespaces",
    "resourcequotas",
    "limitranges",
    "serviceaccounts",
    "roles",
    "rolebindings",
    "networkpolicies",
    "configmaps",
    "services",
    "deployments",
    "statefulsets",
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TenantTable(_Model):
    """The table of a database that lists the tenants.

    name     the table, with its schema unless that is in the search path
    id       column that other tables refer to; it may be the same as `tenant`
    tenant   column with the name that Kubernetes and the metrics use
    plan     column with the plan; empty: none
    """

    name: Table
    id: Name = "id"
    tenant: Name = "name"
    plan: Name | None = None


class TenantSpec(_Model):
    """Fields in the spec of the operator's object that hold no secret: these, and no others, are recorded. Empty: there is none.

    id, plan    number and plan of the tenant
    suspended   true while the tenant may not run
    """

    id: Name | None = None
    plan: Name | None = None
    suspended: Name | None = None


class Step(_Model):
    """One step of provisioning: what exists, and is ready, when it is done.

    step     its name, `quota`
    kind     kind of the object, in the namespace of the tenant; `namespaces`: that namespace
    object   name of the object, with {tenant} where it is in it; empty: any of that kind
    """

    step: str
    kind: StepKind
    object: str = ""


class Tenants(_Model):
    """What belongs to a tenant.

    resource    the operator's kind of object, as `kubectl get` names it (`tenants.neurallog.io`); its name is that of the tenant
    spec        fields of that object
    operator    namespace/workload: its log says why provisioning stopped
    namespace   namespace of a tenant, with {tenant} for its name; empty: tenants have no namespaces of their own
    steps       what provisioning creates, in this order
    table       the table that lists them; none: tenants are in no database
    columns     columns with the id of a tenant, in other tables: row-level security and orphaned rows are judged there
    role        database role of a tenant, with {tenant} or {tenant_id}; empty: all tenants share one
    keys        Redis keys of a tenant: {tenant} or {tenant_id} once, `*` for any characters
    user        Redis user of a tenant, with {tenant} or {tenant_id}; empty: all tenants share one
    shares      by plan, the largest share of a shared resource that a tenant may use, 0 to 1
    """

    resource: Resource = ""
    spec: TenantSpec = TenantSpec()
    operator: Workload = ""
    namespace: str = ""
    steps: tuple[Step, ...] = ()
    table: TenantTable | None = None
    columns: tuple[Name, ...] = ()
    role: str = ""
    keys: tuple[str, ...] = ()
    user: str = ""
    shares: dict[str, Annotated[float, Field(gt=0, le=1)]] = {}

    @field_validator("role", "user")
    @classmethod
    def _names_one(cls, pattern: str) -> str:
        return _with_one_place(pattern)

    @field_validator("keys")
    @classmethod
    def _name_one(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_with_one_place(pattern) for pattern in patterns)

    @field_validator("namespace")
    @classmethod
    def _has_one_place(cls, pattern: str) -> str:
        if pattern and (pattern.count(PLACE) != 1 or not re.fullmatch(r"[a-z0-9-]*", pattern.replace(PLACE, ""))):
            raise ValueError(f"write {PLACE} once, and small letters, digits and `-` around it: tenant-{PLACE}")
        return pattern

    def namespace_of(self, tenant: str) -> str:
        """The namespace of a tenant; empty if tenants have none."""
        return self.namespace.replace(PLACE, tenant)

    def tenant_of(self, namespace: str) -> str:
        """The tenant that a namespace belongs to; empty if it belongs to none."""
        if not self.namespace:
            return ""
        before, after = self.namespace.split(PLACE)
        inside = namespace[len(before) : len(namespace) - len(after)]
        return inside if namespace == before + inside + after else ""


def _with_one_place(pattern: str) -> str:
    if pattern and pattern.count(PLACE) + pattern.count(NUMBER) != 1:
        raise ValueError(f"write {PLACE} or {NUMBER} once: usage:{NUMBER}:*")
    return pattern


def finder(pattern: str) -> re.Pattern[str]:
    """A regular expression with the group `tenant`, the name or the number in what fits a pattern; `*` is any characters."""
    place = PLACE if PLACE in pattern else NUMBER
    before, after = (re.escape(part).replace(r"\*", ".*") for part in pattern.split(place))
    return re.compile(f"{before}(?P<tenant>[^:/|]+?){after}", re.DOTALL)


def by_number(pattern: str) -> bool:
    """Whether a pattern holds the number of a tenant, not its name."""
    return NUMBER in pattern

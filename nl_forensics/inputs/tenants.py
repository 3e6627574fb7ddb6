"""How the platform names its tenants: as objects of an operator, as namespaces, and as rows of a database."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints, field_validator

PLACE = "{tenant}"
Resource = Annotated[str, StringConstraints(pattern=r"^([a-z0-9-]+\.[a-z0-9.-]+)?$")]
# Of a database: each part is a plain name, so that it can be quoted, and is nothing else than a name.
Table = Annotated[str, StringConstraints(pattern=r"^([A-Za-z_][A-Za-z0-9_$]{0,62}\.)?[A-Za-z_][A-Za-z0-9_$]{0,62}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_$]{0,62}$")]


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


class Tenants(_Model):
    """What belongs to a tenant.

    resource    the operator's kind of object, as `kubectl get` names it (`tenants.neurallog.io`); its name is that of the tenant
    namespace   namespace of a tenant, with {tenant} for its name; empty: tenants have no namespaces of their own
    table       the table that lists them; none: tenants are in no database
    """

    resource: Resource = ""
    namespace: str = ""
    table: TenantTable | None = None

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

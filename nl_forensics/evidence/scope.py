"""What a case shows of one tenant: its rows and those of the platform itself, and none of another tenant.

With `tenant` in the parameters, every table is read this way, so that charts, findings and the report are about no other.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from nl_forensics.inputs.tenants import Tenants

TENANT = "tenant"
NAMESPACES = ("namespace", "client_namespace", "server_namespace")  # columns
OF_NAMESPACES = "k8s_namespaces"  # where the name of a row is a namespace
OF_OPERATORS = "k8s_custom"  # where it may be a tenant


@dataclass(frozen=True)
class Scope:
    """names: how the platform names its tenants; tenant: the one; own: its name and its numbers."""

    names: Tenants
    tenant: str
    own: frozenset[str]

    def __str__(self) -> str:
        return f"tenant {self.tenant} and the platform itself"

    def of(self, rows: pd.DataFrame, table: str = "") -> pd.DataFrame:
        """The rows that are not those of another tenant."""
        others = pd.Series(False, rows.index)
        if TENANT in rows:
            others |= self._names_another(rows[TENANT])
        for column in NAMESPACES:
            if column in rows:
                others |= self._is_of_another(rows[column])
        if table == OF_NAMESPACES:
            others |= self._is_of_another(rows["name"])
        if table == OF_OPERATORS:
            kind = rows["kind"] + "." + rows["group"]
            others |= (kind == self.names.resource) & self._names_another(rows["name"])
        return rows[~others] if others.any() else rows

    def _names_another(self, tenants: pd.Series) -> pd.Series:
        others = [name for name in tenants.dropna().unique() if self._is_another(name)]
        return tenants.isin(others)

    def _is_another(self, name: str) -> bool:
        return name not in self.own and bool(name) and not name.startswith("(")

    def _is_of_another(self, namespaces: pd.Series) -> pd.Series:
        others = [one for one in namespaces.dropna().unique() if self._is_another(self.names.tenant_of(one))]
        return namespaces.isin(others)


def scope_of(names: Tenants | None, tenant: str, listed: Iterable[pd.DataFrame]) -> Scope | None:
    """The scope of one tenant; None for all of them. `listed`: tables with `tenant` and `id`."""
    if not tenant or not names:
        return None
    numbers = {str(number) for rows in listed for number in rows.loc[rows[TENANT] == tenant, "id"] if number}
    return Scope(names, tenant, frozenset({tenant, *numbers}))

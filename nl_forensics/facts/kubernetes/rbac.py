"""What an identity may do, and why: as the RBAC authorizer of the API server decides.

Pure: roles and bindings go in, the granting rule with its binding comes out. Rights are additive, there is no denial. Not judged:
other authorizers (node, webhook, those of a cloud) and admission, which can deny or allow more.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

ACCOUNTS, AUTHENTICATED = "system:serviceaccounts", "system:authenticated"
ANONYMOUS = ("system:anonymous", "system:unauthenticated")
ACCOUNT = "system:serviceaccount:"
MAX_NEAREST = 2


class Identity(NamedTuple):
    """A user, and the groups that the API server knows of it."""

    name: str
    groups: tuple[str, ...] = ()

    @classmethod
    def of_account(cls, namespace: str, name: str) -> "Identity":
        """A service account, as the API server authenticates its token."""
        return cls(f"{ACCOUNT}{namespace}:{name}", (ACCOUNTS, f"{ACCOUNTS}:{namespace}", AUTHENTICATED))

    @classmethod
    def of_user(cls, name: str) -> "Identity":
        """A user by name; beside a service account, only the group of all is known."""
        if name.startswith(ACCOUNT) and name.count(":") == 3:
            return cls.of_account(*name.removeprefix(ACCOUNT).split(":"))
        return cls(name, (ANONYMOUS[1],) if name == ANONYMOUS[0] else (AUTHENTICATED,))

    @property
    def shown(self) -> str:
        """`namespace/name` of a service account, else its name."""
        return self.name.removeprefix(ACCOUNT).replace(":", "/", 1) if self.name.startswith(ACCOUNT) else self.name


class Request(NamedTuple):
    """What is asked for: a verb on a resource (`pods/log`), in a namespace or (empty) in the cluster; or on a URL."""

    verb: str
    resource: str = ""
    group: str = ""
    namespace: str = ""
    name: str = ""
    url: str = ""

    @property
    def shown(self) -> str:
        """`list pods in tenant-acme`."""
        if self.url:
            return f"{self.verb} {self.url}"
        what = f"{self.resource}{f'.{self.group}' if self.group else ''}{f' {self.name}' if self.name else ''}"
        return f"{self.verb} {what} {f'in {self.namespace}' if self.namespace else 'in the whole cluster'}"


class Rule(NamedTuple):
    """One rule of a role, as the API has it."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...]
    urls: tuple[str, ...]

    def allows(self, asked: Request) -> bool:
        if not self.has_verb(asked.verb):
            return False
        if asked.url:
            return any(_is_below(url, asked.url) for url in self.urls)
        return self.is_about(asked) and (not self.names or asked.name in self.names)

    def has_verb(self, verb: str) -> bool:
        return "*" in self.verbs or verb in self.verbs

    def is_about(self, asked: Request) -> bool:
        """The resource and its group, whatever the verb and the name."""
        _, _, subresource = asked.resource.partition("/")
        resources = {"*", asked.resource, *([f"*/{subresource}"] if subresource else [])}
        return not asked.url and bool({"*", asked.group} & {*self.groups}) and bool(resources & {*self.resources})

    @property
    def shown(self) -> str:
        """`get, list on pods, services.apps`."""
        names = f" named {', '.join(self.names)}" if self.names else ""
        return f"{', '.join(self.verbs)} on {', '.join(self.urls or self.resources) or 'nothing'}{names}"


class Binding(NamedTuple):
    """A binding with one of its subjects. `namespace`: of the binding; empty for the whole cluster."""

    kind: str
    namespace: str
    name: str
    role_kind: str
    role: str
    subject_kind: str
    subject_namespace: str
    subject: str

    def is_for(self, who: Identity) -> bool:
        match self.subject_kind:
            case "User":
                return self.subject == who.name
            case "Group":
                return self.subject in who.groups
            case "ServiceAccount":
                return bool(self.subject_namespace) and who.name == f"{ACCOUNT}{self.subject_namespace}:{self.subject}"
        return False

    @property
    def of_role(self) -> tuple[str, str, str]:
        """(kind, namespace, name) of the role that it grants."""
        return self.role_kind, self.namespace if self.role_kind == "Role" else "", self.role

    @property
    def shown(self) -> str:
        """`RoleBinding tenant-acme/reader → ClusterRole view`."""
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name} → {self.role_kind} {self.role}"


class Grant(NamedTuple):
    """A rule that applies to an identity, and the binding it comes by."""

    binding: Binding
    rule: Rule


class Access:
    """Roles and bindings of one cluster."""

    def __init__(self, roles: dict[tuple[str, str, str], list[Rule]], bindings: Iterable[Binding]):
        self.roles, self.bindings = roles, list(bindings)

    @classmethod
    def of(cls, k8s_role_rules: pd.DataFrame, k8s_bindings: pd.DataFrame, instance: str) -> "Access":
        """Those of one cluster, by the tables."""
        roles: dict[tuple[str, str, str], list[Rule]] = {}
        for row in k8s_role_rules[k8s_role_rules.instance == instance].itertuples():
            lists = (row.verbs, row.groups, row.resources, row.resource_names, row.urls)
            roles.setdefault((row.kind, row.namespace, row.name), []).append(
                Rule(*(tuple(json.loads(one)) for one in lists))
            )
        rows = k8s_bindings[k8s_bindings.instance == instance].itertuples()
        return cls(roles, (Binding(*(getattr(row, name) for name in Binding._fields)) for row in rows))

    def grants(self, who: Identity, namespace: str = "") -> Iterator[Grant]:
        """Every rule that applies to an identity: in the whole cluster, and in this namespace."""
        for binding in self.bindings:
            is_here = binding.kind == "ClusterRoleBinding" or (namespace and binding.namespace == namespace)
            if is_here and binding.is_for(who):
                for rule in self.roles.get(binding.of_role, []):
                    yield Grant(binding, rule)

    def allows(self, who: Identity, asked: Request) -> Grant | None:
        """The first rule that allows a request; None: it is denied."""
        return next((grant for grant in self.grants(who, asked.namespace) if grant.rule.allows(asked)), None)

    def missing(self, who: Identity, asked: Request) -> str:
        """What is lacking for a request that is denied: a verb or a name in a rule of its roles, a role, or a binding."""
        grants = list(self.grants(who, asked.namespace))
        near = [grant for grant in grants if grant.rule.is_about(asked)]
        if near:
            lacks = "the name" if any(grant.rule.has_verb(asked.verb) for grant in near) else f"the verb {asked.verb}"
            return f"{near[0].binding.shown} lacks {lacks} (has {near[0].rule.shown})"
        own = [one for one in self.bindings if one.subject_kind in ("ServiceAccount", "User") and one.is_for(who)]
        here = [one for one in own if one.kind == "ClusterRoleBinding" or one.namespace == asked.namespace]
        if gone := next((one for one in here if not self.roles.get(one.of_role)), None):
            return f"{gone.shown}, a role that does not exist"
        if here:
            shown = " or of ".join(one.shown for one in here[:MAX_NEAREST])
            return f"no rule of {shown} is about {asked.resource or asked.url}"
        return f"it is bound elsewhere only: {own[0].shown}" if own else "no binding names it"


def _is_below(pattern: str, url: str) -> bool:
    return pattern in ("*", url) or (pattern.endswith("*") and url.startswith(pattern.rstrip("*")))

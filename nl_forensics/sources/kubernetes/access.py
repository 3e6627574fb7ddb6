"""Rights of the collecting identity, as the API server reports them; no access is attempted."""

from collections.abc import Iterator

from nl_forensics.errors import SourceError
from nl_forensics.sources import Partial, Permission, asked_of_kubernetes, source
from nl_forensics.sources.column import Column
from nl_forensics.sources.kubernetes.kinds import (
    ACCESS_REVIEWS,
    CUSTOM,
    NODE_METRICS,
    RULES_REVIEWS,
    is_namespaced,
)

NO_NAMESPACE = "no_namespace"  # no namespace can have this name: the rules that hold there hold everywhere
MAX_REVIEWS = 100  # of single rights, in total
OPTIONAL = frozenset(kind.group for kind in (*CUSTOM, NODE_METRICS))  # groups that a cluster may lack

# Rights that no read-only identity needs, worst first.
BEYOND = Permission(
    kubernetes="get,list secrets; create pods/exec; create,delete pods; patch deployments.apps"
).of_kubernetes()


@source(
    columns={
        "verb": Column("str", "verb of the API, such as `list`"),
        "resource": Column(
            "str", "resource as `kubectl auth can-i` writes it: `deployments.apps`, `pods/log`, `/readyz`"
        ),
        "namespace": Column(
            "str", "namespace where it was checked; empty for the whole cluster, or for the patterns of the scope"
        ),
        "needed": Column(
            "boolean",
            "a source needs it; false: a right to change objects or to read secrets, which administrators have",
        ),
        "allowed": Column("boolean", "the collecting identity has the right"),
        "reason": Column("str", "reason given by the authorizer; empty if RBAC rules decide"),
    },
    covers="now",
    needs=Permission(kubernetes=f"get /apis; create {RULES_REVIEWS.resource} {ACCESS_REVIEWS.resource}"),
)
def k8s_access(kubernetes, incident, platform):
    """One row per right that a source needs, or that no read-only identity needs, and place where it was checked.

    Kinds that this cluster does not serve are left out. One request returns all RBAC rules, so that it is cheap enough for every
    collection. Only where other authorizers decide as well (identities of a cloud), each right that RBAC does not grant is reviewed
    individually.
    """
    rights, wanted = _Rights(kubernetes), incident.scope(platform)
    declared = {pair: also for pair, also in asked_of_kubernetes().items() if _is_served(kubernetes, pair[1])}
    for (verb, resource), also_in in declared.items():
        for row in rights.rows(verb, resource, _places(resource, wanted, also_in)):
            yield row | {"needed": True}
    for verb, resource in [pair for pair in BEYOND if pair not in declared]:
        for row in rights.rows(verb, resource, rights.namespaces()):
            yield row | {"needed": False}
    if rights.not_asked:
        unseen = f"{rights.not_asked} rights: only {MAX_REVIEWS} are reviewed individually"
        yield Partial(unseen, "grant the ClusterRole that `nl-forensics permissions` prints")


def _is_served(kubernetes, resource: str) -> bool:
    group = resource.partition(".")[2]
    try:
        return group not in OPTIONAL or group in kubernetes.groups()
    except SourceError:  # then nothing of these groups is asked
        return False


def _places(resource: str, wanted: tuple[str, ...], also_in: set[str]) -> list[str]:
    """Where a right is needed that we don't have everywhere; "" stands for namespaces with unknown names."""
    if not is_namespaced(resource):
        return [""]
    exact = [name for name in wanted if "*" not in name]
    return [""] * (exact != list(wanted) or not wanted) + sorted({*exact, *also_in})


class _Rights:
    """Our rights, by namespace; "" is the whole cluster. Each namespace is asked for once.

    not_asked   number of unknown rights: too many would have needed an individual review
    """

    def __init__(self, kubernetes):
        self._kubernetes, self._rules, self._reviews = kubernetes, {}, 0
        self.not_asked = 0

    def namespaces(self) -> list[str]:
        return list(self._rules)

    def rows(self, verb: str, resource: str, places: list[str]) -> Iterator[dict]:
        """One row when we have the right everywhere, else one for each place."""
        everywhere = self._row(verb, resource, "")
        if everywhere and everywhere["allowed"]:
            places = [""]
        for place in places:
            row = self._row(verb, resource, place) if place else everywhere
            if row:
                yield row
            else:
                self.not_asked += 1

    def _row(self, verb: str, resource: str, namespace: str) -> dict | None:
        rules = self._rules_in(namespace)
        allowed, reason = _permit(rules, verb, resource), ""
        if not allowed and rules["incomplete"]:
            if self._reviews >= MAX_REVIEWS:
                return None
            allowed, reason = self._review(verb, resource, namespace)
        return {"verb": verb, "resource": resource, "namespace": namespace, "allowed": allowed, "reason": reason}

    def _rules_in(self, namespace: str) -> dict:
        if namespace not in self._rules:
            answer = self._kubernetes.review(RULES_REVIEWS, {"namespace": namespace or NO_NAMESPACE})
            answer["incomplete"] = answer.get("incomplete") or bool(answer.get("evaluationError"))
            if answer["incomplete"] and self._review("*", "*.*", namespace)[0]:
                answer["resourceRules"] = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
            self._rules[namespace] = answer
        return self._rules[namespace]

    def _review(self, verb: str, resource: str, namespace: str) -> tuple[bool, str]:
        self._reviews += 1
        if resource.startswith("/"):
            asked: dict = {"nonResourceAttributes": {"verb": verb, "path": resource}}
        else:
            name, _, group = resource.partition(".")
            plural, _, subresource = name.partition("/")
            place = {"verb": verb, "group": group, "resource": plural, "subresource": subresource}
            asked = {"resourceAttributes": place | {"namespace": namespace}}
        answer = self._kubernetes.review(ACCESS_REVIEWS, asked)
        return bool(answer.get("allowed")), answer.get("reason") or answer.get("evaluationError") or ""


def _permit(rules: dict, verb: str, resource: str) -> bool:
    """As RBAC reads them. A rule about objects of certain names is none about all of a kind."""
    if resource.startswith("/"):
        return any(
            {verb, "*"} & {*rule["verbs"]} and any(_fits(url, resource) for url in rule.get("nonResourceURLs") or [])
            for rule in rules.get("nonResourceRules") or []
        )
    name, _, group = resource.partition(".")
    names = {name, "*", f"*/{name.partition('/')[2]}"}
    return any(
        {verb, "*"} & {*rule["verbs"]}
        and {group, "*"} & {*(rule.get("apiGroups") or [])}
        and names & {*(rule.get("resources") or [])}
        and not rule.get("resourceNames")
        for rule in rules.get("resourceRules") or []
    )


def _fits(pattern: str, url: str) -> bool:
    return pattern == url or (pattern.endswith("*") and url.startswith(pattern[:-1]))

"""The kinds of objects that are listed, and which of their fields are never kept: data of config maps, values of environment variables."""

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from nl_forensics.errors import BadAnswer
from nl_forensics.inputs.tenants import Tenants
from nl_forensics.redact import excerpt
from nl_forensics.sources.digest import digest

NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class Kind(NamedTuple):
    """A kind of objects. `keep` removes fields on arrival, so that secrets are never kept."""

    group: str
    version: str
    plural: str
    namespaced: bool = True
    keep: Callable[[dict], dict] = dict

    @property
    def resource(self) -> str:
        """As `kubectl auth can-i` writes it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", part: str = "") -> str:
        """Of a list, of one object, or of a part of it (`log`). Raises BadAnswer for a name that would lead to another path."""
        start = ["apis", self.group, self.version] if self.group else ["api", self.version]
        within = ["namespaces", namespace] if namespace else []
        parts = [*start, *within, self.plural, *filter(None, (name, part))]
        for one in parts:
            if not NAME.fullmatch(one):
                raise BadAnswer(f"{excerpt(one, 80)!r} is no name of Kubernetes: nothing is asked under it")
        return "/" + "/".join(parts)


def is_inside(namespace: str, scope: Iterable[str]) -> bool:
    """Whether a namespace is in scope; an empty scope means all."""
    scope = tuple(scope)
    return not scope or any(fnmatchcase(namespace, pattern) for pattern in scope)


def _without_fields(one: dict) -> dict:
    one["metadata"].pop("managedFields", None)
    return one


def _without_values(spec: dict) -> None:
    """The names of environment variables stay, and the digest of what was written there; the values go."""
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        env = container.pop("env", None) or []
        container["envDigest"] = digest(
            [env, container.get("envFrom"), container.get("command"), container.get("args")]
        )
        container["env"] = [{key: value for key, value in one.items() if key != "value"} for one in env]
        container.pop("command", None)
        container.pop("args", None)


def _pod(one: dict) -> dict:
    _without_values(one.get("spec") or {})
    return _without_fields(one)


def _with_template(one: dict) -> dict:
    _without_values(template(one).get("spec") or {})
    (one["metadata"].get("annotations") or {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return one


def template(one: dict) -> dict:
    """The pod template: a cron job has it inside that of its jobs, a controller revision inside its data."""
    for path in (("spec", "template"), ("spec", "jobTemplate", "spec", "template"), ("data", "spec", "template")):
        found = one
        for key in path:
            found = (found or {}).get(key) or {}
        if found:
            return found
    return {}


def _config_map(one: dict) -> dict:
    """Names, sizes and digests. The annotation of `kubectl apply` repeats the data."""
    data, binary = one.pop("data", None) or {}, one.pop("binaryData", None) or {}
    one["keys"] = sorted([*data, *binary])
    one["dataBytes"] = sum(len(str(value)) for value in [*data.values(), *binary.values()])
    one["dataDigest"] = digest([data, binary])
    one["metadata"].pop("annotations", None)
    return one


def _custom(one: dict) -> dict:
    """Of operator-defined objects only the common fields: a spec may contain secrets."""
    spec = one.pop("spec", None)
    status = one.get("status") or {}
    known = ("phase", "state", "conditions", "observedGeneration", "notAfter", "renewalTime", "message", "reason")
    one["status"] = {key: status[key] for key in known if key in status}
    one["specDigest"] = digest(spec)
    one["metadata"].pop("annotations", None)
    return one


@cache
def keeping(fields: tuple[str, ...]) -> Callable[[dict], dict]:
    """The same, with those fields of the spec that are declared to hold no secret."""

    def keep(one: dict) -> dict:
        spec = one.get("spec") or {}
        kept = {name: spec[name] for name in fields if name in spec}
        one = _without_fields(_custom(one))
        one["spec"] = kept
        return one

    return keep


def tenant_kind(tenants: Tenants) -> Kind:
    """The operator's kind of tenants, as the platform file names it."""
    plural, _, group = tenants.resource.partition(".")
    return Kind(group, "v1", plural, False, keeping(tuple(filter(None, tenants.spec.model_dump().values()))))


def _certificate(one: dict) -> dict:
    """The spec of a Certificate of cert-manager contains no secret: names and its issuer."""
    _without_fields(one)["metadata"].pop("annotations", None)
    return one


def _monitor(one: dict) -> dict:
    """Its selectors, without the credentials for its targets."""
    spec = one.get("spec") or {}
    endpoints = spec.get("endpoints") or spec.get("podMetricsEndpoints") or []
    one["spec"] = {
        "selector": spec.get("selector"),
        "namespaceSelector": spec.get("namespaceSelector"),
        "endpoints": [{"port": endpoint.get("port")} for endpoint in endpoints],
    }
    one["metadata"].pop("annotations", None)
    return _without_fields(one)


NAMESPACES = Kind("", "v1", "namespaces", False)
NODES = Kind("", "v1", "nodes", False)
PODS = Kind("", "v1", "pods", keep=_pod)
EVENTS = Kind("", "v1", "events", keep=_without_fields)
SERVICES = Kind("", "v1", "services")
CONFIG_MAPS = Kind("", "v1", "configmaps", keep=_config_map)
SERVICE_ACCOUNTS = Kind("", "v1", "serviceaccounts", keep=_without_fields)
QUOTAS = Kind("", "v1", "resourcequotas")
LIMIT_RANGES = Kind("", "v1", "limitranges")
VOLUMES = Kind("", "v1", "persistentvolumes", False, keep=_without_fields)
CLAIMS = Kind("", "v1", "persistentvolumeclaims")

DEPLOYMENTS = Kind("apps", "v1", "deployments", keep=_with_template)
REPLICA_SETS = Kind("apps", "v1", "replicasets", keep=_with_template)
STATEFUL_SETS = Kind("apps", "v1", "statefulsets", keep=_with_template)
DAEMON_SETS = Kind("apps", "v1", "daemonsets", keep=_with_template)
REVISIONS = Kind("apps", "v1", "controllerrevisions", keep=_with_template)
JOBS = Kind("batch", "v1", "jobs", keep=_with_template)
CRON_JOBS = Kind("batch", "v1", "cronjobs", keep=_with_template)
AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers")
DISRUPTION_BUDGETS = Kind("policy", "v1", "poddisruptionbudgets")

ENDPOINT_SLICES = Kind("discovery.k8s.io", "v1", "endpointslices", keep=_without_fields)
INGRESSES = Kind("networking.k8s.io", "v1", "ingresses")
INGRESS_CLASSES = Kind("networking.k8s.io", "v1", "ingressclasses", False)
NETWORK_POLICIES = Kind("networking.k8s.io", "v1", "networkpolicies")

STORAGE_CLASSES = Kind("storage.k8s.io", "v1", "storageclasses", False)
ATTACHMENTS = Kind("storage.k8s.io", "v1", "volumeattachments", False, keep=_without_fields)

ROLES = Kind("rbac.authorization.k8s.io", "v1", "roles")
CLUSTER_ROLES = Kind("rbac.authorization.k8s.io", "v1", "clusterroles", False)
ROLE_BINDINGS = Kind("rbac.authorization.k8s.io", "v1", "rolebindings")
CLUSTER_ROLE_BINDINGS = Kind("rbac.authorization.k8s.io", "v1", "clusterrolebindings", False)

LEASES = Kind("coordination.k8s.io", "v1", "leases", keep=_without_fields)
API_SERVICES = Kind("apiregistration.k8s.io", "v1", "apiservices", False, keep=_without_fields)
NODE_METRICS = Kind("metrics.k8s.io", "v1beta1", "nodes", False)
POD_METRICS = Kind("metrics.k8s.io", "v1beta1", "pods")
RULES_REVIEWS = Kind("authorization.k8s.io", "v1", "selfsubjectrulesreviews", False)
ACCESS_REVIEWS = Kind("authorization.k8s.io", "v1", "selfsubjectaccessreviews", False)

CERTIFICATES = Kind("cert-manager.io", "v1", "certificates", keep=_certificate)

# Operator-defined objects: listed where this cluster knows their group, in the version that it prefers.
CUSTOM = tuple(
    Kind(group, "v1", plural, namespaced, _custom)
    for group, plural, namespaced in (
        ("neurallog.io", "tenants", False),
        ("cert-manager.io", "certificates", True),
        ("cert-manager.io", "certificaterequests", True),
        ("cert-manager.io", "issuers", True),
        ("cert-manager.io", "clusterissuers", False),
        ("acme.cert-manager.io", "orders", True),
        ("acme.cert-manager.io", "challenges", True),
        ("gateway.networking.k8s.io", "gateways", True),
        ("gateway.networking.k8s.io", "httproutes", True),
        ("monitoring.coreos.com", "prometheuses", True),
        ("monitoring.coreos.com", "servicemonitors", True),
        ("monitoring.coreos.com", "podmonitors", True),
        ("velero.io", "backups", True),
        ("postgresql.cnpg.io", "clusters", True),
        ("postgresql.cnpg.io", "backups", True),
    )
)

# Their selectors matter.
MONITORS = {
    plural: Kind("monitoring.coreos.com", "v1", plural, keep=_monitor) for plural in ("servicemonitors", "podmonitors")
}
OF_THE_CLUSTER = frozenset(
    kind.resource for kind in [*vars().values(), *CUSTOM] if isinstance(kind, Kind) and not kind.namespaced
)


def is_namespaced(resource: str) -> bool:
    """Of a resource as a permission names it: `pods/log` is in a namespace, `nodes` and `/readyz` are in none."""
    return not resource.startswith("/") and resource.partition("/")[0] not in OF_THE_CLUSTER

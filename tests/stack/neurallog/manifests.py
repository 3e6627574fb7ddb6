"""What the small NeuralLog is in Kubernetes: pods that run our Python programs on the real node, and what belongs to them.

The image is busybox under the name that a release would have. Interpreter, packages and programs are this machine's own,
mounted read-only: nothing has to be packed or pulled. Used by the tests and, inside its pod, by the operator.
"""

import json
import sys

from tests.stack.kubernetes import real_node

# What Python needs of this machine: {volume: (folder of the node, folder in the container)}.
MOUNTED = {
    **{name: (f"/{name}", f"/{name}") for name in ("usr", "lib", "lib64")},
    **{name: (str(real_node.SHARED / name), f"/opt/{name}") for name in real_node.SHARED_FOLDERS},
}
PYTHON = {"PYTHONHOME": "/opt/python", "PYTHONPATH": "/opt/packages", "LD_LIBRARY_PATH": "/opt/python/lib"}
INTERPRETER = f"/opt/python/bin/python3.{sys.version_info.minor}"
SYSTEM, OPERATOR_SYSTEM, DATA = "neurallog-system", "neurallog-operator-system", "neurallog-data"
RELEASE = "1.4.0"
PORT = 8080
OPERATOR = "neurallog-operator-controller-manager"

PROGRAMS = {  # application: module
    "api-gateway": "api_gateway",
    "auth-service": "auth_service",
    "billing-service": "billing_service",
    "log-server": "log_server",
    OPERATOR: "operator",
}
SETTINGS = {
    "api-gateway": {"database_connections": 0, "requests_per_minute": 6000},
    "auth-service": {"database_connections": 3, "key_cache_s": 60},
    "billing-service": {"database_connections": 3, "flush_every_s": 5, "payment_every_s": 1},
    "log-server": {"database_connections": 3, "store_lines": 500, "store_every_s": 0.5},
    OPERATOR: {"database_connections": 0, "look_every_s": 1},
}
RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "160Mi"}}
SECRET = "connections"
# The level restricted of the Pod Security Standards.
OF_POD = {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}}
OF_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def image(app, release=RELEASE):
    return f"registry.neurallog.example/{app}:{release}"


def thing(version, kind, name, namespace=None, **parts):
    """An object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def namespace(name, **labels):
    made = thing("v1", "Namespace", name)
    made["metadata"]["labels"] = labels
    return made


def application(app, namespace, replicas=1, environment=None, settings=None, release=RELEASE, account="default"):
    """Settings, deployment and service of one program."""
    labels = {"app": app, "app.kubernetes.io/part-of": "neurallog"}
    return [
        settings_of(app, namespace, settings),
        thing(
            "apps/v1",
            "Deployment",
            app,
            namespace,
            spec={
                "replicas": replicas,
                "selector": {"matchLabels": {"app": app}},
                "template": {
                    "metadata": {"labels": labels, "annotations": {"prometheus.io/scrape": "true"}},
                    "spec": _pod(app, environment or {}, release, account),
                },
            },
        ),
        thing(
            "v1",
            "Service",
            app,
            namespace,
            spec={"selector": {"app": app}, "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
        ),
    ]


def settings_of(app, namespace, changed=None):
    """The config map that a program reads when it starts."""
    content = json.dumps(SETTINGS[app] | (changed or {}), indent=1)
    return thing("v1", "ConfigMap", f"{app}-settings", namespace, data={"settings.json": content})


def _pod(app, environment, release, account):
    return {
        **real_node.ON_REAL_NODE,
        "serviceAccountName": account,
        "automountServiceAccountToken": app == OPERATOR,
        "securityContext": OF_POD,
        "terminationGracePeriodSeconds": 2,
        "containers": [
            {
                "name": app,
                "image": image(app, release),
                "imagePullPolicy": "IfNotPresent",
                "command": [INTERPRETER, "-m", f"tests.stack.neurallog.programs.{PROGRAMS[app]}"],
                "workingDir": "/opt/programs",
                "env": _environment(app, environment, release),
                "ports": [{"name": "http", "containerPort": PORT}],
                "resources": RESOURCES,
                "securityContext": OF_CONTAINER,
                "readinessProbe": _probe("/health", periodSeconds=2),
                "livenessProbe": _probe("/health/live", periodSeconds=3),
                "startupProbe": _probe("/health/live", periodSeconds=1, failureThreshold=90),
                "volumeMounts": [
                    {"name": "settings", "mountPath": "/etc/neurallog"},
                    *({"name": name, "mountPath": path, "readOnly": True} for name, (_, path) in MOUNTED.items()),
                ],
            }
        ],
        "volumes": [
            {"name": "settings", "configMap": {"name": f"{app}-settings"}},
            *({"name": name, "hostPath": {"path": folder}} for name, (folder, _) in MOUNTED.items()),
        ],
    }


def _environment(app, environment, release):
    values = {
        "NL_SERVICE": app,
        "NL_VERSION": release,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    } | PYTHON
    return [
        *({"name": name, "value": value} for name, value in (values | environment).items()),
        {"name": "NL_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        *({"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": name}}} for name in connections_of(app)),
    ]


def connections_of(app):
    """The names of the addresses, with passwords, that a program gets from a secret."""
    return {"api-gateway": ["NL_REDIS_URL"], OPERATOR: []}.get(app, ["NL_REDIS_URL", "NL_DATABASE_URL"])


def _probe(path, **timing):
    return {"httpGet": {"path": path, "port": "http"}, "timeoutSeconds": 2, "failureThreshold": 3, **timing}


# --- tenants ---------------------------------------------------------------------------------------------------------

TENANT_GROUP = "neurallog.io"
RBAC = "rbac.authorization.k8s.io"
QUOTA = {"requests.cpu": "1", "requests.memory": "1Gi", "limits.memory": "2Gi", "pods": "10"}


def tenant_definition():
    """The kind Tenant. It has no namespace: it is what namespaces are made from."""
    spec = {
        "type": "object",
        "required": ["id", "plan"],
        "properties": {
            "id": {"type": "integer"},
            "plan": {"type": "string", "enum": ["free", "team", "enterprise"]},
            "replicas": {"type": "integer", "minimum": 0, "default": 1},
            "suspended": {"type": "boolean", "default": False},
            "release": {"type": "string", "default": RELEASE},
            "quota": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
        "additionalPrinterColumns": [{"name": "Phase", "type": "string", "jsonPath": ".status.phase"}],
    }
    names = {"kind": "Tenant", "listKind": "TenantList", "plural": "tenants", "singular": "tenant"}
    return thing(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        f"tenants.{TENANT_GROUP}",
        spec={"group": TENANT_GROUP, "scope": "Cluster", "names": names, "versions": [version]},
    )


def tenant(name, number, plan="team", **spec):
    return thing(f"{TENANT_GROUP}/v1", "Tenant", name, spec={"id": number, "plan": plan, **spec})


def tenant_namespace(name):
    return f"tenant-{name}"


def tenant_steps(tenant, connections):
    """Everything that the operator makes for a tenant, {step: objects} in order; `connections` are the data of the secret."""
    name, spec = tenant["metadata"]["name"], tenant["spec"]
    where = tenant_namespace(name)
    home = namespace(where, **{f"{TENANT_GROUP}/tenant": name, f"{TENANT_GROUP}/plan": spec["plan"]})
    # When the tenant is deleted, so is all that it has.
    owner = {"apiVersion": tenant["apiVersion"], "kind": "Tenant", "name": name, "uid": tenant["metadata"]["uid"]}
    home["metadata"]["ownerReferences"] = [owner]
    replicas = 0 if spec.get("suspended") else spec.get("replicas", 1)
    environment = {"NL_TENANT": name, "NL_TENANT_ID": str(spec["id"])}
    release = spec.get("release", RELEASE)
    return {
        "Namespace": [home],
        "Quota": [thing("v1", "ResourceQuota", "tenant", where, spec={"hard": QUOTA | spec.get("quota", {})})],
        "Access": _access(where),
        "NetworkPolicy": [
            thing("networking.k8s.io/v1", "NetworkPolicy", "default-deny", where, spec=_deny()),
            thing("networking.k8s.io/v1", "NetworkPolicy", "only-neurallog", where, spec=_only_from_the_system()),
        ],
        "Workload": [
            thing("v1", "Secret", SECRET, where, data=connections),
            *application("log-server", where, replicas, environment, release=release),
        ],
    }


def _access(where):
    """The tenant's own identity: it may look at its pods."""
    role = {"apiGroup": RBAC, "kind": "Role", "name": "tenant"}
    subject = {"kind": "ServiceAccount", "name": "tenant", "namespace": where}
    rules = [{"apiGroups": [""], "resources": ["pods", "configmaps"], "verbs": ["get", "list"]}]
    return [
        thing("v1", "ServiceAccount", "tenant", where),
        thing(f"{RBAC}/v1", "Role", "tenant", where, rules=rules),
        thing(f"{RBAC}/v1", "RoleBinding", "tenant", where, roleRef=role, subjects=[subject]),
    ]


def _deny():
    return {"podSelector": {}, "policyTypes": ["Ingress"]}


def _only_from_the_system():
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": SYSTEM}}}
    return {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [system]}]}

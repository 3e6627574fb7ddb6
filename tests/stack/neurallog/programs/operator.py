"""The operator: makes for each Tenant a namespace, a quota, a network policy and a log-server, and says how far it is."""

from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import Counter

from tests.stack.kubernetes.api import Api, Refused, rolled_out
from tests.stack.neurallog import manifests
from tests.stack.neurallog.programs.logs import log
from tests.stack.neurallog.programs.service import Service

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

RECONCILED = Counter("tenants_reconciled", "Rounds of work on a tenant", ["result"])

service = Service("look_every_s")
api = Api(
    "https://kubernetes.default.svc",
    ACCOUNT / "ca.crt",
    (ACCOUNT / "token").read_text(),
    field_manager="neurallog-operator",
)


@service.background(service.settings["look_every_s"])
def reconcile_all():
    for tenant in api.get("Tenant"):
        try:
            reconcile(tenant)
        except Refused as refused:
            RECONCILED.labels("failed").inc()
            name = tenant["metadata"]["name"]
            log("error", f"tenant={name} can't be reconciled: {refused}", tenant=name, status=refused.status)
            report(tenant, "Failed", "ReconcileFailed", str(refused))


def reconcile(tenant):
    """Make what is not there, and report what is."""
    name, metadata, status = tenant["metadata"]["name"], tenant["metadata"], tenant.get("status", {})
    where = manifests.tenant_namespace(name)
    workload = api.get("Deployment", "log-server", where)
    if status.get("observedGeneration") != metadata["generation"] or not workload:
        log("info", f"tenant={name} reconciling", tenant=name, generation=metadata["generation"])
        connections = api.get("Secret", manifests.SECRET, manifests.OPERATOR_SYSTEM)["data"]
        api.apply(manifests.tenant_objects(tenant, connections))
        workload = api.get("Deployment", "log-server", where)
        RECONCILED.labels("applied").inc()
    if tenant["spec"].get("suspended"):
        report(tenant, "Suspended", "Suspended", "the tenant is suspended")
    elif rolled_out(workload):
        report(tenant, "Ready", "LogServerAvailable", "the log-server is available")
    else:
        report(tenant, "Provisioning", "LogServerUnavailable", "the log-server is not available")


def report(tenant, phase, reason, message):
    """Write the tenant's status, if it changed."""
    name, before = tenant["metadata"]["name"], tenant.get("status", {})
    generation = tenant["metadata"]["generation"]
    if (before.get("phase"), before.get("message"), before.get("observedGeneration")) == (phase, message, generation):
        return
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = "True" if phase == "Ready" else "False"
    condition = {"type": "Ready", "status": ready, "reason": reason, "message": message, "lastTransitionTime": at}
    status = {
        "phase": phase,
        "message": message,
        "namespace": manifests.tenant_namespace(name),
        "observedGeneration": generation,
        "conditions": [condition],
    }
    api.patch("Tenant", name, {"status": status}, subresource="/status")
    log("info", f"tenant={name} is {phase}", tenant=name, phase=phase, reason=reason)


if __name__ == "__main__":
    service.run()

"""The operator: makes for each Tenant what it needs, step by step, and says in its conditions how far it is."""

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
        name = tenant["metadata"]["name"]
        try:
            reconcile(tenant)
        except Stopped as stopped:
            RECONCILED.labels("failed").inc()
            log("error", f"tenant={name} can't be reconciled: {stopped}", tenant=name, step=stopped.step)
            report(tenant, "Failed", "ReconcileFailed", str(stopped), stopped.done, stopped.step)


class Stopped(Exception):
    """A step that the API server refused; `done` are those before it."""

    def __init__(self, step, done, refused):
        super().__init__(f"{step}: {refused.said}")
        self.step, self.done = step, done


def reconcile(tenant):
    """Make what is not there, and report what is."""
    name, metadata, status = tenant["metadata"]["name"], tenant["metadata"], tenant.get("status", {})
    where = manifests.tenant_namespace(name)
    workload = api.get("Deployment", "log-server", where)
    steps = manifests.tenant_steps(tenant, api.get("Secret", manifests.SECRET, manifests.OPERATOR_SYSTEM)["data"])
    if status.get("observedGeneration") != metadata["generation"] or not workload:
        log("info", f"tenant={name} reconciling", tenant=name, generation=metadata["generation"])
        make(steps)
        workload = api.get("Deployment", "log-server", where)
        RECONCILED.labels("applied").inc()
    if tenant["spec"].get("suspended"):
        report(tenant, "Suspended", "Suspended", "the tenant is suspended", steps)
    elif rolled_out(workload):
        report(tenant, "Ready", "LogServerAvailable", "the log-server is available", steps)
    else:
        report(tenant, "Provisioning", "LogServerUnavailable", "the log-server is not available", steps)


def make(steps):
    done = []
    for step, objects in steps.items():
        try:
            api.apply(objects)
        except Refused as refused:
            raise Stopped(step, done, refused) from refused
        done.append(step)


def report(tenant, phase, reason, message, done, failed=""):
    """Write the tenant's status, if it changed."""
    name, before = tenant["metadata"]["name"], tenant.get("status", {})
    generation = tenant["metadata"]["generation"]
    if (before.get("phase"), before.get("message"), before.get("observedGeneration")) == (phase, message, generation):
        return
    since = {one["type"]: (one["status"], one["lastTransitionTime"]) for one in before.get("conditions", [])}
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def condition(kind, holds, reason, message=""):
        status = "True" if holds else "False"
        changed = since[kind][1] if since.get(kind, ("",))[0] == status else at
        return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": changed}

    conditions = [condition(step, True, "Done") for step in done]
    conditions += [condition(failed, False, reason, message)] if failed else []
    status = {
        "phase": phase,
        "message": message,
        "namespace": manifests.tenant_namespace(name),
        "observedGeneration": generation,
        "conditions": [*conditions, condition("Ready", phase == "Ready", reason, message)],
    }
    api.patch("Tenant", name, {"status": status}, subresource="/status")
    log("info", f"tenant={name} is {phase}", tenant=name, phase=phase, reason=reason)


if __name__ == "__main__":
    service.run()

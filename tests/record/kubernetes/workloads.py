"""Rollouts, autoscalers and disruption budgets."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.record.kubernetes.objects import (
    RESOURCES,
    SYSTEM,
    UNREADY,
    container,
    deployment,
    home,
    state,
    thing,
    workload,
)
from tests.record.specimens import specimen
from tests.stack.kubernetes.api import rolled_out

MINUTE = timedelta(minutes=1)
SETTLED_S = 1.2  # times of Kubernetes have whole seconds


@contextmanager
def _second_revision(server, **changed):
    """A deployment that works, and a revision of it that does not."""
    home(server)
    server.apply(deployment("api-gateway", container(), replicas=2))
    server.wait("Deployment", "api-gateway", SYSTEM, until=rolled_out)
    time.sleep(SETTLED_S)
    server.apply(deployment("api-gateway", container(**changed), replicas=2))
    server.wait("Deployment", "api-gateway", SYSTEM, until=lambda seen: seen["status"].get("updatedReplicas") == 1)
    yield


@specimen("every_rollout_completes", sources=("k8s_deployments",), later=5 * MINUTE)
@contextmanager
def rollout_stuck(server):
    with _second_revision(server, readinessProbe=UNREADY):
        yield


@specimen(
    "no_rollout_precedes_a_symptom",
    sources=("k8s_replica_sets", "k8s_controller_revisions", "k8s_containers", "k8s_pods"),
)
@contextmanager
def new_revision_crashes(server):
    less = {"requests": RESOURCES["requests"], "limits": {"cpu": "500m", "memory": "32Mi"}}
    env = [{"name": "BATCH", "value": "large"}]
    script = "echo reading; x=$(head -c 100m /dev/zero | tr '\\0' x)"
    with _second_revision(server, command=["sh", "-c", script], resources=less, env=env):
        server.wait(
            "Pod", None, SYSTEM, until=lambda pods: any(state(seen)[1].get("reason") == "OOMKilled" for seen in pods)
        )
        yield


@specimen("no_config_change_precedes_a_symptom", sources=("k8s_config_maps", "k8s_containers", "k8s_pods"))
@contextmanager
def config_change_breaks_a_restart(server):
    """A running pod goes on with what it read; it is restarted after the config map was changed."""
    home(server)
    settings = thing("v1", "ConfigMap", "settings", SYSTEM, data={"limit": "10"})
    volumes = {"volumes": [{"name": "settings", "configMap": {"name": "settings"}}]}
    mounts = [{"name": "settings", "mountPath": "/etc/settings"}]
    script = "grep -q 10 /etc/settings/limit || exit 1; sleep 4; exit 0"
    server.apply([settings, deployment("auth-service", container(script, volumeMounts=mounts), pod_parts=volumes)])
    server.wait("Deployment", "auth-service", SYSTEM, until=rolled_out)
    time.sleep(SETTLED_S)
    server.apply(settings | {"data": {"limit": "ten"}})
    server.wait("Pod", None, SYSTEM, until=lambda pods: any(state(seen)[1].get("exitCode") == 1 for seen in pods))
    yield


@specimen("nothing_was_changed_manually", sources=("k8s_changes",))
@contextmanager
def scaled_by_hand(server):
    home(server)
    server.apply(deployment("api-gateway", container(), replicas=1))
    server.wait("Deployment", "api-gateway", SYSTEM, until=rolled_out)
    time.sleep(SETTLED_S)
    server.kubectl("set", "env", "deployment/api-gateway", "MODE=debug", "-n", SYSTEM)
    yield


@specimen("every_change_was_taken_up", sources=("k8s_deployments", "k8s_stateful_sets", "k8s_daemon_sets"))
@contextmanager
def controllers_hang(server):
    home(server)
    server.apply(deployment("api-gateway", container(), replicas=1))
    server.wait("Deployment", "api-gateway", SYSTEM, until=rolled_out)
    server.freeze("kube-controller-manager")
    server.patch("Deployment", "api-gateway", {"spec": {"replicas": 2}}, SYSTEM)
    yield
    server.thaw("kube-controller-manager")


@specimen("no_deployment_is_paused", sources=("k8s_deployments",))
@contextmanager
def rollout_paused(server):
    home(server)
    server.apply(deployment("api-gateway", container(), paused=True))
    yield


@specimen("every_daemon_set_is_where_it_should_be", sources=("k8s_daemon_sets",))
@contextmanager
def daemon_misplaced(server):
    """The count of its controller, which hangs, is written by hand: a node that is no longer meant for it, and has a pod of it still."""
    home(server)
    server.apply(workload("DaemonSet", "collector", container()))
    server.wait("DaemonSet", "collector", SYSTEM, until=lambda seen: seen["status"].get("numberReady") == 1)
    server.freeze("kube-controller-manager")
    server.patch("DaemonSet", "collector", {"status": {"numberMisscheduled": 1}}, SYSTEM, subresource="/status")
    yield
    server.thaw("kube-controller-manager")


# --- Autoscalers and disruption budgets -------------------------------------------------------------------------------


def _autoscaler(target="api-gateway"):
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        "minReplicas": 1,
        "maxReplicas": 4,
        "metrics": [{"type": "Resource", "resource": resource}],
    }
    return thing("autoscaling/v2", "HorizontalPodAutoscaler", "api-gateway", SYSTEM, spec=spec)


@specimen("every_autoscaler_works", sources=("k8s_autoscalers",), later=5 * MINUTE)
@contextmanager
def autoscaler_without_metrics(server):
    home(server)
    server.apply([deployment("api-gateway", container()), _autoscaler()])
    server.wait("HorizontalPodAutoscaler", "api-gateway", SYSTEM, until=_is_blind, within_s=60)
    yield


def _is_blind(seen):
    conditions = seen.get("status", {}).get("conditions") or []
    return any(each["type"] == "ScalingActive" and each["status"] == "False" for each in conditions)


@specimen("no_autoscaler_is_at_its_maximum", sources=("k8s_autoscalers",))
@contextmanager
def autoscaler_at_its_maximum(server):
    """To see load, an autoscaler needs minutes of a metrics server: the status is written as its controller writes it, which hangs."""
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas"}
    limited |= {"message": "the desired replica count is more than the maximum replica count"}
    limited |= {"lastTransitionTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    home(server)
    server.freeze("kube-controller-manager")
    server.apply([deployment("api-gateway", container(), replicas=4), _autoscaler()])
    status = {"currentReplicas": 4, "desiredReplicas": 4, "conditions": [limited]}
    server.patch("HorizontalPodAutoscaler", "api-gateway", {"status": status}, SYSTEM, subresource="/status")
    yield
    server.thaw("kube-controller-manager")


def _budget(**parts):
    selector = {"matchLabels": {"app": "api-gateway"}}
    return thing("policy/v1", "PodDisruptionBudget", "api-gateway", SYSTEM, spec={"selector": selector} | parts)


@specimen("disruption_budgets_allow_evictions", sources=("k8s_disruption_budgets",))
@contextmanager
def budget_that_blocks(server):
    home(server)
    broken = deployment("api-gateway", container(readinessProbe=UNREADY), replicas=2)
    server.apply([broken, _budget(minAvailable=1)])
    server.wait(
        "PodDisruptionBudget", "api-gateway", SYSTEM, until=lambda seen: seen.get("status", {}).get("expectedPods") == 2
    )
    yield


@specimen("every_disruption_budget_finds_pods", sources=("k8s_disruption_budgets",), later=5 * MINUTE)
@contextmanager
def budget_for_nobody(server):
    home(server)
    server.apply(_budget(minAvailable=1))
    server.wait("PodDisruptionBudget", "api-gateway", SYSTEM, until=lambda seen: seen.get("status"))
    yield

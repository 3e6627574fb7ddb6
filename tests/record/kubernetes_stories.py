"""Incidents of what runs in Kubernetes: containers, releases and settings. Each begins on a platform that is well."""

import json
import time

from tests.record.kubernetes.objects import state
from tests.record.postgres_stories import SETTLED_S
from tests.record.stories import now, story
from tests.stack.kubernetes.api import rolled_out
from tests.stack.neurallog import manifests
from tests.stack.neurallog.manifests import SYSTEM

NEXT = "1.5.0"  # the release that comes after the one that runs
LEAK_BYTES_PER_S = 1_200_000  # a container of 160 MiB is full within a minute and a half
TOLD_S = 75  # a pod may start for a minute before it counts as one that is not ready


def faults(**switches):
    """The environment of a release that has these faults from its start; see programs/faults.py."""
    return {"NL_FAULTS": json.dumps(switches)}


def restarts(pod):
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses", []))


def wait_for_pod(platform, app, holds, within_s=180):
    """Until one of the pods of a program is as wanted."""

    def seen(pods):
        return any(pod["metadata"]["labels"].get("app") == app and holds(pod) for pod in pods)

    platform.cluster.wait("Pod", None, SYSTEM, until=seen, within_s=within_s)


def waits_for(pod, *reasons):
    return state(pod)[0].get("reason") in reasons


def deployment_of(app, spec=None, container=None, **changed):
    """The deployment of a program, with other parts in its spec and in its container."""
    made = next(one for one in manifests.application(app, SYSTEM, **changed) if one["kind"] == "Deployment")
    made["spec"] |= spec or {}
    made["spec"]["template"]["spec"]["containers"][0] |= container or {}
    return made


@story("Usage is billed late since the release of this morning")
def out_of_memory(stage):
    """The new release of the billing service gives no memory back: it is killed at its limit, starts, and is killed again."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.deploy("billing-service", release=NEXT, environment=faults(leak_bytes_per_s=LEAK_BYTES_PER_S))
        wait_for_pod(
            platform,
            "billing-service",
            lambda pod: restarts(pod) >= 2 and waits_for(pod, "CrashLoopBackOff"),
            within_s=900,
        )
        stage.record(platform.environment(), since)


@story("The new release of the billing service does not start")
def crash_loop(stage):
    """It came with a setting that it can't read. The old pod serves on."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.deploy("billing-service", release=NEXT, settings={"payment_every_s": "1s"})
        wait_for_pod(platform, "billing-service", lambda pod: restarts(pod) >= 3 and waits_for(pod, "CrashLoopBackOff"))
        stage.record(platform.environment(), since)


@story("Nobody can log in since a node was emptied")
def config_changed(stage):
    """Somebody edited the settings of the auth service. The running pod did not mind; its successor, a minute later, can't read them."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        wrong = manifests.settings_of("auth-service", SYSTEM, {"key_cache_s": "10min"})["data"]
        change = json.dumps({"data": wrong})
        platform.cluster.kubectl(
            "patch", "configmap", "auth-service-settings", "-n", SYSTEM, "--type=merge", "-p", change
        )
        time.sleep(TOLD_S)
        (pod,) = platform.pods("auth-service")
        platform.cluster.delete("Pod", pod["metadata"]["name"], SYSTEM)
        wait_for_pod(platform, "auth-service", lambda pod: restarts(pod) >= 3 and waits_for(pod, "CrashLoopBackOff"))
        stage.record(platform.environment(), since, service="auth-service")


@story("The release of the gateway does not arrive")
def image_pull(stage):
    """Its image can't be pulled: the registry does not answer. The old pods serve on."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.apply(deployment_of("api-gateway", release=NEXT, replicas=2))
        wait_for_pod(platform, "api-gateway", lambda pod: waits_for(pod, "ImagePullBackOff"))
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since)


@story("The release of the gateway does not arrive, and nobody misses it")
def bad_rollout(stage):
    """The pod of the new revision is never ready; those of the old one are well and take all requests."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.processes["containerd"].add_image(manifests.image("api-gateway", NEXT))
        unready = deployment_of("api-gateway", release=NEXT, replicas=2, environment=faults(unready=True))
        unready["spec"]["progressDeadlineSeconds"] = 60
        platform.cluster.apply(unready)
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since, service="api-gateway")


@story("Log-ins fail every few seconds")
def probe_kills(stage):
    """The auth service answers slowly, but it answers, until somebody made its liveness probe more eager than it is fast."""
    slow = {"environment": faults(latency_ms=1200)}
    probes = deployment_of("auth-service", **slow)["spec"]["template"]["spec"]["containers"][0]
    eager = probes["livenessProbe"] | {"timeoutSeconds": 1, "failureThreshold": 2}
    with stage.platform() as platform:
        platform.deploy("auth-service", **slow)
        platform.cluster.wait("Deployment", "auth-service", SYSTEM, until=rolled_out, within_s=60)
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.apply(deployment_of("auth-service", container={"livenessProbe": eager}, **slow))
        wait_for_pod(platform, "auth-service", lambda pod: restarts(pod) >= 3)
        stage.record(platform.environment(), since, service="auth-service")


@story("Every request is answered with 503 since the gateway was restarted")
def service_without_endpoints(stage):
    """A label in the selector of the auth service was misspelt: it leads to none of its pods, which are well.

    Connections that were open went on. The new pods of the gateway open their own, and can't.
    """
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        change = json.dumps({"spec": {"selector": {"app": "auth-servce"}}})
        platform.cluster.kubectl("patch", "service", "auth-service", "-n", SYSTEM, "--type=merge", "-p", change)
        time.sleep(SETTLED_S)
        for pod in platform.pods("api-gateway"):
            platform.cluster.delete("Pod", pod["metadata"]["name"], SYSTEM)
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since, service="auth-service")


@story("New log lines are accepted, and don't appear")
def ingestion_stalled(stage):
    """The log-servers of all tenants take lines into the queue, and none moves them to the database any more."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        for name in platform.tenants:
            platform.fail("log-server", manifests.tenant_namespace(name), stalled=True)
        time.sleep(2 * TOLD_S)
        stage.record(platform.environment(), since)

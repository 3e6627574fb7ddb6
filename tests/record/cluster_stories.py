"""Incidents of the cluster itself: nodes, room, volumes and the API server."""

import time
from datetime import UTC, datetime

from tests.record.kubernetes.objects import container, deployment, service
from tests.record.kubernetes.storage import attach_to_fake_node, claim, move_to_real_node
from tests.record.kubernetes_stories import TOLD_S
from tests.record.postgres_stories import SETTLED_S
from tests.record.stories import now, story
from tests.stack.kubernetes.api import is_true, rolled_out
from tests.stack.kubernetes.real_node import NAME
from tests.stack.neurallog import manifests
from tests.stack.neurallog.manifests import SYSTEM

GIVEN_UP_S = 130  # a claim may wait for its volume for two minutes; the kubelet gives up a mount after as long
EVERYWHERE = {"nodeSelector": None, "tolerations": [{"operator": "Exists"}]}


@story("Four deployments have fewer pods than they want")
def unschedulable(stage):
    """One asks for more than a node has, one was not told of a new taint, one wants a label that no node has, one has a quota."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        server = platform.cluster
        server.kubectl("taint", "node", NAME, "dedicated=database:NoSchedule")
        large = {"requests": {"cpu": "200", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}
        labelled = EVERYWHERE | {"nodeSelector": {"disk": "nvme"}}
        server.apply(
            [
                deployment("report-service", container(resources=large), pod_parts=EVERYWHERE),
                deployment("log-archiver", container(), pod_parts={"nodeSelector": None}),
                deployment("index-builder", container(), pod_parts=labelled),
                manifests.tenant("globex", 2, replicas=2, quota={"requests.memory": "100Mi"}),
            ]
        )
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since)


@story("Reports fail, one after the other")
def node_pressure(stage):
    """A node runs out of memory and evicts a pod. All services have two pods, so that their customers notice nothing."""
    with stage.platform() as platform:
        server = platform.cluster
        in_pairs(platform)
        home = {"nodeSelector": {"kubernetes.io/hostname": "node-0"}, "tolerations": [{"operator": "Exists"}]}
        server.apply([deployment("report-service", container(), replicas=3, pod_parts=home), service("report-service")])
        server.wait("Deployment", "report-service", SYSTEM, until=rolled_out)
        since = now()
        time.sleep(SETTLED_S)
        run_out_of_memory(server, "node-0")
        evict(server, platform.pods("report-service")[0]["metadata"]["name"])
        server.wait("Pod", None, SYSTEM, until=lambda pods: len(of(pods, "report-service")) == 4)
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since)


def of(pods, app):
    return [pod for pod in pods if pod["metadata"]["labels"].get("app") == app]


def in_pairs(platform):
    """Two pods of each program."""
    for app in ("auth-service", "billing-service"):
        platform.deploy(app, replicas=2)
    for number, name in enumerate(platform.tenants, 1):
        platform.cluster.apply(manifests.tenant(name, number, replicas=2))
        home = manifests.tenant_namespace(name)
        platform.cluster.wait(
            "Deployment",
            "log-server",
            home,
            until=lambda seen: seen["status"].get("availableReplicas") == 2,
            within_s=90,
        )
    platform.wait_until_ready()


def moment():
    """Now, as Kubernetes writes it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def run_out_of_memory(server, name):
    """The machine that runs the tests is not for filling: the fake node is given the condition that a kubelet writes."""
    at = moment()
    pressure = {"type": "MemoryPressure", "status": "True", "reason": "KubeletHasInsufficientMemory"}
    pressure |= {"message": "kubelet has insufficient memory available", "lastTransitionTime": at}
    others = [one for one in server.get("Node", name)["status"]["conditions"] if one["type"] != pressure["type"]]
    conditions = {"conditions": [*others, pressure | {"lastHeartbeatTime": at}]}
    server.patch("Node", name, {"status": conditions}, subresource="/status")


def evict(server, pod):
    message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 61Mi."
    ready = {"type": "Ready", "status": "False", "reason": "PodFailed", "lastTransitionTime": moment()}
    status = {"phase": "Failed", "reason": "Evicted", "message": message, "conditions": [ready]}
    server.patch("Pod", pod, {"status": status}, SYSTEM, subresource="/status")


@story("Everything is slow to come back, and nothing can be changed on one node")
def node_lost(stage):
    """The kubelet of a node hangs, so that the node counts as lost."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.freeze("kubelet")
        platform.cluster.wait("Node", NAME, until=lambda seen: not is_true(seen, "Ready"), within_s=90)
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since)
        platform.cluster.thaw("kubelet")


@story("Logs of last year can't be searched")
def volume_stuck(stage):
    """A release needs a volume of a class that there is not, and moves another pod away from where its volume is."""
    with stage.platform() as platform:
        server = platform.cluster
        attach_to_fake_node(server)
        since = now()
        time.sleep(SETTLED_S)
        volumes = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "index"}}]}
        server.apply([claim("index", "fast"), deployment("log-search", container(), pod_parts=volumes)])
        move_to_real_node(server)
        time.sleep(GIVEN_UP_S)
        stage.record(platform.environment(), since)


@story("Deployments hang, and kubectl with them")
def api_degraded(stage):
    """etcd hangs, and the metrics server is gone: nothing can be changed, while all that runs goes on."""
    with stage.platform() as platform:
        environment = platform.environment()
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.processes["metrics-server"].kill()
        platform.cluster.wait(
            "APIService", "v1beta1.metrics.k8s.io", until=lambda seen: not is_true(seen, "Available"), within_s=90
        )
        platform.cluster.freeze("etcd")
        time.sleep(SETTLED_S)
        stage.record(environment, since)
        platform.cluster.thaw("etcd")

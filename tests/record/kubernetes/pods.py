"""Pods that find no node, don't become ready, or don't go. And workloads that lack pods."""

from contextlib import contextmanager
from datetime import timedelta

from tests.record.kubernetes.objects import (
    SYSTEM,
    UNREADY,
    container,
    deployment,
    eventually,
    home,
    pod,
    thing,
    wait_for_event,
    workload,
)
from tests.record.specimens import specimen
from tests.stack.kubernetes import fake_nodes
from tests.stack.kubernetes.api import is_true, rolled_out
from tests.stack.kubernetes.real_node import NAME

PODS = ("k8s_pods",)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@contextmanager
def _unschedulable(server, *containers, **parts):
    home(server)
    server.apply(pod("log-processor", *(containers or [container()]), **parts))
    wait_for_event(server, "FailedScheduling")
    yield


@specimen("every_pod_is_scheduled", sources=PODS, later=MINUTE)
@contextmanager
def requests_too_much(server):
    with _unschedulable(server, container(resources={"requests": {"cpu": "200"}})):
        yield


@specimen("every_pod_is_scheduled", sources=PODS, later=MINUTE)
@contextmanager
def tolerates_no_taint(server):
    """The fake node is tainted anyway."""
    server.kubectl("taint", "node", NAME, "dedicated=database:NoSchedule")
    with _unschedulable(server, nodeSelector=None):
        yield


@specimen("every_pod_is_scheduled", sources=PODS, later=MINUTE)
@contextmanager
def fits_no_label(server):
    with _unschedulable(server, nodeSelector={"disk": "nvme"}):
        yield


@specimen("every_pod_is_scheduled", sources=PODS, later=MINUTE)
@contextmanager
def needs_a_volume_that_is_not_there(server):
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    with _unschedulable(server, volumes=[volume]):
        yield


@specimen("no_pod_is_held_by_a_gate", sources=PODS, later=10 * MINUTE)
@contextmanager
def held_by_a_gate(server):
    home(server)
    server.apply(pod("report", container(), schedulingGates=[{"name": "neurallog.io/budget"}]))
    yield


@specimen("every_pod_is_ready", sources=PODS, later=20 * MINUTE)
@contextmanager
def long_unready(server):
    home(server)
    server.apply(pod("api-gateway", container(readinessProbe=UNREADY)))
    wait_for_event(server, "Unhealthy")
    yield


@specimen("no_pod_hangs_in_deletion", sources=PODS, later=5 * MINUTE)
@contextmanager
def held_by_a_finalizer(server):
    home(server)
    server.apply(pod("log-server", container(), metadata={"finalizers": ["neurallog.io/archive"]}))
    server.wait("Pod", "log-server", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
    server.delete("Pod", "log-server", SYSTEM)
    yield
    server.patch("Pod", "log-server", {"metadata": {"finalizers": None}}, SYSTEM)


@specimen("no_pod_was_evicted", sources=PODS)
@contextmanager
def evicted(server):
    """The machine that runs the tests is not for filling: the state is what a kubelet writes, given to a pod of the fake node."""
    message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 61Mi."
    with _failed(server, {"reason": "Evicted", "message": message}):
        yield


@specimen("no_pod_has_failed", sources=PODS)
@contextmanager
def failed_for_good(server):
    home(server)
    server.apply(pod("migration", container("exit 3"), restartPolicy="Never"))
    server.wait("Pod", "migration", SYSTEM, until=lambda seen: seen["status"].get("phase") == "Failed")
    yield


@contextmanager
def _failed(server, status):
    home(server)
    server.apply(pod("log-processor", container(), real=False))
    server.wait("Pod", "log-processor", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
    server.patch("Pod", "log-processor", {"status": {"phase": "Failed"} | status}, SYSTEM, subresource="/status")
    yield


@specimen("replicas_are_spread_over_nodes", sources=("k8s_pods", "k8s_nodes"))
@contextmanager
def all_on_one_node(server):
    """A second node without a taint that takes pods, and nothing that leads them there."""
    home(server)
    server.apply(fake_nodes.node(1, tainted=False))
    server.wait("Node", "node-1", until=lambda seen: is_true(seen, "Ready"))
    server.apply(deployment("api-gateway", container(), replicas=3))
    server.wait("Deployment", "api-gateway", SYSTEM, until=rolled_out)
    yield


# --- Workloads that lack pods -----------------------------------------------------------------------------------------


@specimen(
    "every_workload_has_its_replicas",
    sources=("k8s_deployments", "k8s_stateful_sets", "k8s_daemon_sets"),
    later=5 * MINUTE,
)
@contextmanager
def replicas_missing(server):
    home(server)
    server.apply(
        [
            deployment("api-gateway", container(readinessProbe=UNREADY), replicas=2),
            workload(
                "StatefulSet", "log-server", container(readinessProbe=UNREADY), serviceName="log-server", replicas=2
            ),
        ]
    )
    server.wait("Deployment", "api-gateway", SYSTEM, until=lambda seen: seen["status"].get("unavailableReplicas") == 2)
    server.wait("StatefulSet", "log-server", SYSTEM, until=lambda seen: seen["status"].get("replicas") == 1)
    yield


def _quota(**hard):
    return thing("v1", "ResourceQuota", "system", SYSTEM, spec={"hard": hard})


@contextmanager
def _refused_by_a_quota(server, wanted):
    home(server)
    server.apply(_quota(**{"requests.memory": "40Mi"}))
    eventually(lambda: server.get("ResourceQuota", "system", SYSTEM).get("status", {}).get("used"))
    server.apply(wanted)
    wait_for_event(server, "FailedCreate")
    yield


@specimen("every_replica_set_can_make_its_pods", sources=("k8s_replica_sets",))
@contextmanager
def quota_stops_a_replica_set(server):
    with _refused_by_a_quota(server, deployment("api-gateway", container(), replicas=3)):
        server.wait("Deployment", "api-gateway", SYSTEM, until=lambda seen: is_true(seen, "ReplicaFailure"))
        yield


@specimen("no_pod_is_refused", sources=("k8s_events", "k8s_replica_sets"))
@contextmanager
def quota_refuses_pods(server):
    at_once = {"serviceName": "log-server", "replicas": 3, "podManagementPolicy": "Parallel"}
    with _refused_by_a_quota(server, workload("StatefulSet", "log-server", container(), **at_once)):
        yield


@specimen("every_quota_leaves_room", sources=("k8s_quotas",))
@contextmanager
def quota_used_up(server):
    home(server)
    server.apply([_quota(pods="2", **{"requests.memory": "1Gi"}), pod("one", container()), pod("two", container())])
    eventually(lambda: server.get("ResourceQuota", "system", SYSTEM)["status"].get("used", {}).get("pods") == "2")
    yield


@specimen("no_job_has_failed", sources=("k8s_jobs",))
@contextmanager
def job_failed(server):
    home(server)
    server.apply(_job("close-invoices", "exit 1"))
    server.wait("Job", "close-invoices", SYSTEM, until=lambda seen: is_true(seen, "Failed"))
    yield


def _job(name, script, **parts):
    template = {"spec": pod(name, container(script), restartPolicy="Never")["spec"]}
    return thing("batch/v1", "Job", name, SYSTEM, spec={"backoffLimit": 0, "template": template} | parts)


@specimen("no_job_runs_long", sources=("k8s_jobs",), later=13 * HOUR)
@contextmanager
def job_without_end(server):
    home(server)
    server.apply(_job("rebuild-index", "exec sleep 1000"))
    server.wait("Job", "rebuild-index", SYSTEM, until=lambda seen: seen.get("status", {}).get("active"))
    yield


def _cron_job(name, schedule, script="exit 0", **parts):
    job = {"spec": _job(name, script)["spec"]}
    return thing("batch/v1", "CronJob", name, SYSTEM, spec={"schedule": schedule, "jobTemplate": job} | parts)


@specimen("every_cron_job_keeps_its_schedule", sources=("k8s_cron_jobs",), later=2 * HOUR)
@contextmanager
def cron_job_that_never_ran(server):
    """The controllers hang, so that nothing is started."""
    home(server)
    server.freeze("kube-controller-manager")
    server.apply(_cron_job("close-invoices", "0 * * * *"))
    yield
    server.thaw("kube-controller-manager")


@specimen("every_cron_job_succeeds", sources=("k8s_cron_jobs",))
@contextmanager
def cron_job_that_fails(server):
    home(server)
    server.apply(_cron_job("close-invoices", "* * * * *", "exit 1"))
    server.wait("Job", None, SYSTEM, until=lambda jobs: jobs and is_true(jobs[0], "Failed"), within_s=90)
    server.wait("CronJob", "close-invoices", SYSTEM, until=lambda seen: not seen["status"].get("active"))
    yield


@specimen("no_cron_job_is_suspended", sources=("k8s_cron_jobs",))
@contextmanager
def cron_job_suspended(server):
    home(server)
    server.apply(_cron_job("clean-up", "0 3 * * *", suspend=True))
    yield

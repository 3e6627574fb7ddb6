"""Containers that crash, can't start, or are killed."""

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from tests.record.kubernetes.objects import (
    SLEEP,
    SYSTEM,
    UNREADY,
    container,
    deployment,
    eventually,
    home,
    pod,
    state,
    wait_for_event,
    wait_for_reason,
)
from tests.record.specimens import specimen
from tests.stack.kubernetes import fake_nodes, metrics_server
from tests.stack.kubernetes.api import Refused, is_true, rolled_out
from tests.stack.process import ServerFailed, new_folder

CONTAINERS = ("k8s_containers",)
GROWS = "echo reading the whole table; x=$(head -c 100m /dev/zero | tr '\\0' x); echo never"


@contextmanager
def _running(server, *manifests):
    home(server)
    server.apply(list(manifests))
    yield


@specimen("no_container_crash_loops", sources=CONTAINERS)
@contextmanager
def crash_loop(server):
    with _running(server, pod("billing-service", container("echo KeyError: DATABASE_URL; exit 1"))):
        wait_for_reason(server, "billing-service", "CrashLoopBackOff")
        yield


@specimen("no_container_runs_out_of_memory", sources=CONTAINERS)
@contextmanager
def killed_for_memory(server):
    with _running(server, pod("log-server", container(GROWS))):
        server.wait("Pod", "log-server", SYSTEM, until=lambda seen: state(seen)[1].get("reason") == "OOMKilled")
        yield


@specimen("every_image_can_be_pulled", sources=CONTAINERS)
@contextmanager
def image_that_is_not_there(server):
    unknown = {"image": "registry.neurallog.example/api-gateway:1.5.0", "imagePullPolicy": "IfNotPresent"}
    with _running(server, pod("api-gateway", container(**unknown))):
        wait_for_reason(server, "api-gateway", "ImagePullBackOff", "ErrImagePull")
        yield


@specimen("every_container_can_be_started", sources=CONTAINERS)
@contextmanager
def config_map_missing(server):
    missing = [{"name": "LIMITS", "valueFrom": {"configMapKeyRef": {"name": "limits", "key": "per_minute"}}}]
    with _running(server, pod("api-gateway", container(env=missing))):
        wait_for_reason(server, "api-gateway", "CreateContainerConfigError")
        yield


@specimen("every_container_can_be_started", sources=CONTAINERS)
@contextmanager
def command_missing(server):
    with _running(server, pod("auth-service", container() | {"command": ["/no/such/program"]})):
        wait_for_reason(server, "auth-service", "CrashLoopBackOff", "RunContainerError", "StartError")
        yield


@specimen("containers_seldom_restart", sources=CONTAINERS, later=timedelta(minutes=15))
@contextmanager
def restarts_again_and_again(server):
    """It crashed three times, and runs since a quarter of an hour."""
    script = f"echo started >> /data/starts; [ $(wc -l < /data/starts) -gt 3 ] || exit 1; {SLEEP}"
    kept = container(script, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    with _running(server, pod("log-processor", kept, volumes=[{"name": "data", "emptyDir": {}}])):
        server.wait("Pod", "log-processor", SYSTEM, until=lambda seen: _restarts(seen) == 3, within_s=90)
        yield


def _restarts(seen):
    return (seen["status"].get("containerStatuses") or [{}])[0].get("restartCount", 0)


def _pod_with_keys():
    """It mounts a secret that is not there."""
    mounts = [{"name": "keys", "mountPath": "/etc/keys"}]
    volume = {"name": "keys", "secret": {"secretName": "signing-keys"}}
    return pod("auth-service", container(volumeMounts=mounts), volumes=[volume])


@specimen("no_container_waits_long", sources=CONTAINERS, later=timedelta(minutes=10))
@contextmanager
def waits_for_a_secret(server):
    with _running(server, _pod_with_keys()):
        wait_for_event(server, "FailedMount")
        yield


@specimen("every_volume_can_be_mounted", sources=("k8s_events", "k8s_pods"))
@contextmanager
def mounts_a_secret_that_is_missing(server):
    with _running(server, _pod_with_keys()):
        wait_for_event(server, "FailedMount", holds=lambda event: (event.get("count") or 1) >= 2)
        yield


@specimen("every_container_says_what_it_needs", sources=CONTAINERS)
@contextmanager
def says_nothing_of_its_needs(server):
    with _running(server, deployment("report", container(resources={}))):
        server.wait("Deployment", "report", SYSTEM, until=rolled_out)
        yield


# --- Probes -----------------------------------------------------------------------------------------------------------


@specimen("probes_succeed", sources=("k8s_events", "k8s_pods"))
@contextmanager
def never_ready(server):
    with _running(server, pod("api-gateway", container(readinessProbe=UNREADY))):
        wait_for_event(server, "Unhealthy", holds=lambda event: (event.get("count") or 1) >= 5)
        yield


@specimen("no_container_is_killed_by_its_probe", sources=("k8s_events",))
@contextmanager
def killed_by_its_probe(server):
    with _running(server, pod("api-gateway", container(livenessProbe=UNREADY))):
        wait_for_event(server, "Killing")
        yield


@specimen("liveness_probes_leave_time_to_start", sources=CONTAINERS)
@contextmanager
def probe_too_eager(server):
    """It needs 30 s to start; its liveness probe gives it 4."""
    eager = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 2, "failureThreshold": 2}
    slow = container("sleep 30; touch /tmp/up; " + SLEEP, livenessProbe=eager, readinessProbe=UNREADY)
    with _running(server, pod("auth-service", slow)):
        server.wait("Pod", "auth-service", SYSTEM, until=lambda seen: _restarts(seen) >= 1)
        yield


# --- What they use ----------------------------------------------------------------------------------------------------


@contextmanager
def _measured(server, name, script, enough, **parts):
    """A container at work, and a metrics server that has seen enough of it."""
    path = f"namespaces/{SYSTEM}/pods/{name}"
    with _running(server, pod(name, container(script, **parts))):
        server.processes["metrics-server"] = metrics_server.start(server.api, server.keys)
        try:
            eventually(lambda: enough(_usage(server, path)), within_s=90)
            yield
        finally:
            server.processes.pop("metrics-server").close()


def _usage(server, path):
    try:
        return server.api.request("GET", f"/apis/metrics.k8s.io/v1beta1/{path}")
    except Refused:
        return {}


@specimen("no_container_nears_its_memory_limit", sources=("k8s_pod_metrics", "k8s_containers"))
@contextmanager
def memory_nearly_used_up(server):
    fill = "head -c 58m /dev/zero > /dev/shm/cache; " + SLEEP
    with _measured(server, "log-server", fill, lambda seen: _memory_mib(seen) > 58):
        yield


def _memory_mib(seen):
    amount = (seen.get("containers") or [{"usage": {"memory": "0Ki"}}])[0]["usage"]["memory"]
    return int(amount.removesuffix("Ki")) / 1024 if amount.endswith("Ki") else 0


@specimen("no_container_nears_its_cpu_limit", sources=("k8s_pod_metrics", "k8s_containers"))
@contextmanager
def cpu_used_up(server):
    little = {"requests": {"cpu": "10m"}, "limits": {"cpu": "100m", "memory": "64Mi"}}
    with _measured(server, "log-processor", "while :; do :; done", lambda seen: _cores(seen) > 0.093, resources=little):
        yield


def _cores(seen):
    amount = (seen.get("containers") or [{"usage": {"cpu": "0n"}}])[0]["usage"]["cpu"]
    return int(amount.removesuffix("n")) / 1e9 if amount.endswith("n") else 0


# --- What they write --------------------------------------------------------------------------------------------------

LOGS = ("k8s_unhealthy_logs", "k8s_logs")
REFUSED = '{"level":"error","message":"FATAL: sorry, too many clients already"}'
FAILED = '{"level":"error","message":"could not store batch 17 of tenant acme"}'


def _writes(line, times, then=SLEEP):
    return f"for n in $(seq {times}); do echo '{line}'; done; {then}"


@specimen("no_log_shows_a_known_failure", sources=LOGS)
@contextmanager
def log_of_refused_connections(server):
    with _running(server, pod("billing-service", container(_writes(REFUSED, 3)))):
        server.wait("Pod", "billing-service", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
        time.sleep(0.5)  # its lines reach the log a moment later
        yield


@specimen("no_log_bursts_into_errors", sources=LOGS)
@contextmanager
def burst_of_errors(server):
    with _running(server, pod("log-server", container(_writes(FAILED, 30)))):
        server.wait("Pod", "log-server", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
        time.sleep(0.5)
        yield


NOT_GENUINE = (
    '{"level":"error","message":"webhook rejected","error":"No signatures found matching the expected signature for payload.'
    ' Are you passing the raw request body you received from Stripe?"}'
)


@specimen("webhook_signatures_are_valid", sources=LOGS)
@contextmanager
def signatures_rejected(server):
    """The secret of the endpoint was changed at Stripe, and not here."""
    with _running(server, pod("billing-service", container(_writes(NOT_GENUINE, 4)))):
        server.wait("Pod", "billing-service", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
        time.sleep(0.5)
        yield


ANSWERED = '{"level":"info","method":"GET","route":"%s","status":200,"duration_ms":%d,"upstream_ms":%d}'


@specimen("no_slow_route_takes_most_of_the_time", sources=LOGS)
@contextmanager
def one_route_is_slow(server):
    slow, quick = ANSWERED % ("/v1/invoices", 2400, 2380), ANSWERED % ("/v1/logs", 12, 9)
    with _running(server, pod("api-gateway", container(_writes(slow, 20, _writes(quick, 60))))):
        server.wait("Pod", "api-gateway", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
        time.sleep(0.5)
        yield


@specimen("slow_answers_are_slow_by_themselves", sources=LOGS)
@contextmanager
def the_gateway_waits(server):
    with _running(server, pod("api-gateway", container(_writes(ANSWERED % ("/v1/invoices", 2400, 2380), 20)))):
        server.wait("Pod", "api-gateway", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
        time.sleep(0.5)
        yield


def _steady(lines):
    return f'for n in $(seq {lines}); do echo \'{{"level":"info","message":"stored"}}\'; sleep 0.1; done; {SLEEP}'


@specimen("no_log_falls_silent", sources=("k8s_logs",), later=timedelta(minutes=10))
@contextmanager
def log_falls_silent(server):
    with _running(server, pod("log-server", container(_steady(25)))):
        server.wait("Pod", "log-server", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
        time.sleep(3)
        yield


@specimen("no_new_error_appears", sources=LOGS)
@contextmanager
def error_that_is_new(server):
    """The log of a pod on the fake node is a file of ours: 15 minutes of it need no 15 minutes."""
    now = datetime.now(UTC)
    quiet = [(now - timedelta(seconds=900 - 30 * n), '{"level":"info","message":"stored"}') for n in range(25)]
    failing = [(now - timedelta(seconds=20 - n), FAILED.replace("17", str(n))) for n in range(5)]
    log = new_folder("log") / "log"
    log.write_text("".join(f"{at:%Y-%m-%dT%H:%M:%S.%f}000Z stdout F {line}\n" for at, line in quiet + failing))
    with _running(server, pod("log-server", container(), real=False)):
        server.wait("Pod", "log-server", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
        server.apply(fake_nodes.logs("log-server", SYSTEM, "main", log))
        eventually(lambda: "could not store" in _log(server, "log-server"))
        yield


def _log(server, name):
    try:
        return server.kubectl("logs", name, "-n", SYSTEM)
    except ServerFailed:
        return ""


@specimen("no_warning_is_repeated", sources=("k8s_events",))
@contextmanager
def hook_fails_again_and_again(server):
    hook = {"postStart": {"exec": {"command": ["false"]}}}
    with _running(server, pod("api-gateway", container(lifecycle=hook))):
        wait_for_event(server, "FailedPostStartHook", within_s=120, holds=lambda event: (event.get("count") or 1) >= 5)
        yield

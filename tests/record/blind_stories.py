"""Incidents of which little or nothing can be seen: what could not be asked must never look like health."""

import time
from contextlib import suppress

import requests

from nl_forensics import permissions
from tests.record.stories import DNS, IDENTITY, KUBERNETES, PROBE, story
from tests.stack import postgres, redis
from tests.stack.kubernetes.api import is_true
from tests.stack.kubernetes.cluster import cluster
from tests.stack.neurallog.manifests import SYSTEM
from tests.stack.process import program, run

FORGOTTEN_S = 75  # a pod that is older by a minute than any event proves that events are missing
TOKEN_CACHE_S = 11  # of the API server


@story("Nothing is wrong, as far as can be seen")
def partial(stage):
    """A healthy platform, seen by halves.

    PostgreSQL    a role without pg_monitor; one database lets nobody in
    Redis         a short slow log
    Kubernetes    config maps may not be listed; no metrics API; events are forgotten within seconds; a log begins long after the
                  incident, and that of the run before a restart is gone
    """
    settings = {"slowlog-log-slower-than": 50, "slowlog-max-len": 5}  # microseconds: every SCAN pushes an older one out
    short = {"metrics": False, "api_options": ["--event-ttl=5s"]}
    with stage.platform(redis_settings=settings, **short) as platform:
        close(platform.servers.postgres)
        restart_without_a_trace(platform, "billing-service")
        time.sleep(FORGOTTEN_S)
        rules = [without("configmaps", rule) for rule in permissions.kubernetes_rules()]
        halves = {KUBERNETES: str(platform.cluster.kubeconfig("half", rules))}
        stage.record(platform.servers.environment() | halves, budget={"kubernetes_log_lines": 30})


def close(database):
    """What the role may not see any more."""
    database.execute("CREATE DATABASE archive", database="postgres")
    database.execute("REVOKE CONNECT ON DATABASE archive FROM PUBLIC", database="postgres")
    database.execute("REVOKE pg_monitor FROM nl_forensics", database="postgres")


def without(resource, rule):
    """A rule of a ClusterRole that leaves a resource out."""
    return (
        rule | {"resources": [name for name in rule["resources"] if name != resource]} if "resources" in rule else rule
    )


def restart_without_a_trace(platform, app):
    """Its process ends and is started again; what the former one wrote is cleared away on the node."""
    with suppress(requests.ConnectionError):  # it ends before it answers
        platform.fail(app, exit_code=1)
    runtime = platform.cluster.processes["containerd"]
    platform.cluster.wait("Pod", None, SYSTEM, until=lambda pods: any(restarted(pod) for pod in pods))
    remove = f"rm /var/log/pods/{SYSTEM}_{app}-*/{app}/0.log"
    run([program("nsenter"), f"--target={runtime.first_process()}", "--mount", "sh", "-c", remove])


def restarted(pod):
    """Whether it runs again, and serves."""
    return is_true(pod, "Ready") and any(status["restartCount"] for status in pod["status"]["containerStatuses"])


@story("Nobody can tell")
def blind(stage):
    """The passwords are those of last year, the account was removed, and nobody told us the other addresses."""
    with postgres.start() as database, redis.start() as cache, cluster() as nodes:
        old = "of-last-year"
        kubeconfig = nodes.kubeconfig("left", permissions.kubernetes_rules())
        nodes.revoke("left")
        time.sleep(TOKEN_CACHE_S)
        addresses = {"NL_POSTGRES_DSN": database.dsn(password=old), "NL_REDIS_URL": cache.url(password=old)}
        stage.record(addresses | {KUBERNETES: str(kubeconfig), PROBE: "", DNS: "", IDENTITY: ""})

"""Incidents in which the platform answers slowly, and two whose first suspect has nothing to do with it."""

import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from tests.record.kubernetes_stories import NEXT, TOLD_S, deployment_of, faults
from tests.record.postgres_sessions import session
from tests.record.postgres_stories import UNGUARDED
from tests.record.stories import now, story
from tests.stack.kubernetes.api import rolled_out
from tests.stack.neurallog.manifests import RESOURCES, SYSTEM

AFTER_START_S = 30  # until what began with the platform is over
LASTING = timedelta(minutes=2)  # of the incident, and of the baseline before it
ROLLED_OUT_WITHIN_S = 240
# A leak counts as one once it has been seen for 15 minutes: the pod's start, and what the kubelet's figures lag behind, come on top.
GROWING = timedelta(minutes=17)
SLOW_LEAK_BYTES_PER_S = 60_000  # 57 MiB in 17 minutes: its 160 MiB are not reached, but would be 20 minutes later
CLEANERS, CLEANED_S = 4, 0.6  # whoever wants to read waits behind all of them: 2.4 s, less than the gateway's patience


def nothing(platform):
    """What is done to the platform, in most stories."""


@contextmanager
def incident(stage, lasting=LASTING, before=nothing, begins=nothing, postgres_settings=None, **question):
    """A platform that ran well for a while, the baseline. What the block does to it is collected when it has lasted long enough.

    Yields the platform, and an ExitStack for what goes on until the case is collected.

    before   what was done to the platform long ago
    begins   what was done to it since the baseline, before anybody complained
    """
    with (
        stage.platform(postgres_settings=postgres_settings) as platform,
        ExitStack() as until_then,
    ):
        before(platform)
        time.sleep(AFTER_START_S)
        healthy_since = now()
        time.sleep(LASTING.total_seconds())
        baseline = {"start": healthy_since.isoformat(), "end": now().isoformat()}
        begins(platform)
        since = now()
        yield platform, until_then
        time.sleep(max(0, (since + lasting - now()).total_seconds()))
        stage.record(platform.environment(), since, baseline=baseline, **question)


def wait_for_rollout(platform, app):
    platform.cluster.wait("Deployment", app, SYSTEM, until=rolled_out, within_s=ROLLED_OUT_WITHIN_S)


@story("The API is slow")
def slow_api(stage):
    """A clean-up of old log lines locks the log table, batch after batch: its workers take turns, and every search waits behind them.

    No service is slow by itself, and no statement: each search takes a millisecond, once it may begin.
    """
    with incident(stage, service="api-gateway") as (platform, until_then):
        until_then.enter_context(cleaning(platform.servers.postgres))


@contextmanager
def cleaning(server):
    """Workers of a job that deletes old log lines; each locks the table for its batch, and then does something else with it."""
    ended = threading.Event()

    def work():
        with server.connect("app", application_name="log-cleaner") as connection:
            while not ended.is_set():
                with connection.transaction():
                    connection.execute("LOCK TABLE log_entries IN ACCESS EXCLUSIVE MODE")
                    connection.execute("DELETE FROM log_entries WHERE recorded_at < now() - interval '1 year'")
                    ended.wait(CLEANED_S)

    workers = [threading.Thread(target=work) for _ in range(CLEANERS)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        ended.set()
        for worker in workers:
            worker.join()


@story("Every request takes a second")
def slow_upstream(stage):
    """The auth service takes 0.8 s for whatever it is asked, and waits for nobody meanwhile. The gateway asks it before anything else."""
    with incident(stage, service="api-gateway") as (platform, _):
        platform.fail("auth-service", latency_ms=800)


@story("Everything is slow since the costs of the cluster were cut")
def cpu_throttled(stage):
    """The auth service works 20 ms for each answer, ten times a second; its CPU limit was lowered to half of what that takes."""
    works = {"environment": faults(cpu_ms=20)}
    little = {"resources": RESOURCES | {"limits": RESOURCES["limits"] | {"cpu": "100m"}}}

    def working(platform):
        platform.deploy("auth-service", **works)
        wait_for_rollout(platform, "auth-service")

    def saving(platform):
        platform.cluster.apply(deployment_of("auth-service", container=little, **works))
        wait_for_rollout(platform, "auth-service")
        time.sleep(AFTER_START_S)

    with incident(stage, before=working, begins=saving, service="auth-service"):
        pass  # it needs nothing but to go on


@story("The auth service uses more memory each time one looks")
def memory_leak(stage):
    """Its new release keeps a little of each second for ever. It is not killed yet: it will be, within the hour."""
    with incident(stage, lasting=GROWING, service="auth-service") as (platform, _):
        leak = faults(leak_bytes_per_s=SLOW_LEAK_BYTES_PER_S)
        platform.deploy("auth-service", release=NEXT, environment=leak)


@story("Invoices can't be opened")
def pool_exhausted(stage):
    """The billing service has taken all three connections of its pool, and gives none back; the database has plenty.

    Its readiness does not ask for the database, as many advise: it goes on getting requests, and lets them wait until they give up.
    """

    def ready_without_database(platform):
        container = deployment_of("billing-service")["spec"]["template"]["spec"]["containers"][0]
        probe = container["readinessProbe"] | {"httpGet": container["livenessProbe"]["httpGet"]}
        platform.cluster.apply(deployment_of("billing-service", container={"readinessProbe": probe}))
        wait_for_rollout(platform, "billing-service")

    lasting = 1.5 * LASTING  # somebody has to be seen waiting at each scrape of a minute
    with incident(stage, lasting, before=ready_without_database, service="billing-service") as (platform, _):
        platform.fail("billing-service", leaked_connections=3)


@story("Invoices can't be opened since the release of the gateway")
def harmless_rollout(stage):
    """The gateway was released, and is well. Then somebody changed a table by hand, and went to lunch before the COMMIT."""
    with incident(stage, postgres_settings=UNGUARDED, service="api-gateway") as (platform, until_then):
        platform.deploy("api-gateway", release=NEXT, replicas=2)
        wait_for_rollout(platform, "api-gateway")
        change = "ALTER TABLE invoices ADD COLUMN due_on date"
        until_then.enter_context(session(platform.servers.postgres, "BEGIN", change, application="psql"))
        time.sleep(TOLD_S)


@story("Requests fail, and the billing service's log is full of errors")
def noisy_log(stage):
    """It has always been: receipts bounce, and nobody minds. What fails is the auth service, every third time, and all behind it."""

    def noise(platform):
        platform.fail("billing-service", noise_per_s=2)

    with incident(stage, before=noise, service="api-gateway") as (platform, _):
        platform.fail("auth-service", error_ratio=0.33)

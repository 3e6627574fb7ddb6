"""Incidents of access: rejected tokens and keys, denied requests, and rights that are too wide. Each begins on a platform that is well."""

import random
import threading
import time
from contextlib import contextmanager

import requests

from tests.record.access import READ, account, binding, of_account, role
from tests.record.kubernetes.objects import container, pod
from tests.record.kubernetes_stories import TOLD_S
from tests.record.postgres_stories import SETTLED_S
from tests.record.stories import now, story
from tests.stack.kubernetes.api import is_true
from tests.stack.neurallog.manifests import SYSTEM, tenant_namespace
from tests.stack.neurallog.traffic import address_of


@story("Customers with a token are logged out, those with a key are not")
def token_rejected(stage):
    """The issuer changed its key. The auth service reads the key set once, and rejects each token of the new key."""
    with stage.platform() as platform:
        platform.fail("auth-service", keys_kept=True)
        time.sleep(SETTLED_S)
        since = now()
        time.sleep(SETTLED_S)
        platform.issuer.rotate()
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since, service="auth-service")


@story("The nightly import of one customer fails since an hour")
def token_expired(stage):
    """A client got a token once, and goes on with it after its end. It is the one that is given for examination."""
    with stage.platform() as platform:
        old = platform.issuer.token(lasting_s=SETTLED_S)
        since = now()
        with sending(platform, {"Authorization": f"Bearer {old}"}, per_second=2, customer=40):
            time.sleep(SETTLED_S + TOLD_S)
            stage.record(platform.environment() | {"NL_TOKEN": old}, since, service="auth-service")


@story("The auth service answers thousands of requests with 401")
def auth_burst(stage):
    """Somebody tries API keys, from one address."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        with sending(platform, None, per_second=8, customer=66):
            time.sleep(TOLD_S)
            stage.record(platform.environment(), since, service="auth-service")


@contextmanager
def sending(platform, headers, per_second, customer):
    """Send requests of one customer until the end of `with`; without headers, each with another API key."""
    stopped, url = threading.Event(), f"{platform.url('api-gateway')}/v1/logs"

    def send():
        session = requests.Session()
        session.trust_env = False
        while not stopped.wait(1 / per_second):
            credential = headers or {"X-Api-Key": f"guess-{random.getrandbits(64):x}"}
            session.get(url, headers=credential | {"X-Forwarded-For": address_of(customer)}, timeout=5)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@contextmanager
def small_faults(platform):
    """For a story about something else: every pod of a namespace may list all pods, and one client goes on with an expired token."""
    reads = binding("dashboard", "pod-reader", of_account("default"), where=SYSTEM)
    platform.cluster.apply([role("pod-reader", READ), reads])
    old = platform.issuer.token(lasting_s=1)
    with sending(platform, {"Authorization": f"Bearer {old}"}, per_second=0.5, customer=40):
        yield


@story("No tenant can be changed since this morning")
def rbac_denied(stage):
    """Somebody took a verb out of the role of the operator: it lists tenants, and may not write what they need."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        name = "neurallog-operator-controller-manager"
        rules = platform.cluster.get("ClusterRole", name)["rules"]
        less = [rule | {"verbs": ["get", "list"]} if "deployments" in rule["resources"] else rule for rule in rules]
        platform.cluster.apply(role(name) | {"rules": less})
        platform.cluster.patch("Tenant", "acme", {"spec": {"replicas": 2}})
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since)


@story("A tenant saw the pods of another")
def rbac_too_wide(stage):
    """For a night of support, the worker of a tenant was bound to a role in the whole cluster; with it, it reads every secret."""
    acme = tenant_namespace("acme")
    with stage.platform() as platform:
        platform.cluster.apply([account("worker", acme), role("support", READ, (["get", "list"], [""], ["secrets"]))])
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.apply(binding("support-4711", "support", of_account("worker", acme)))
        time.sleep(SETTLED_S)
        stage.record(platform.environment(), since)


@story("A program that nobody knows runs on a node")
def privileged_pod(stage):
    """A debugging pod was left behind: privileged, with the processes and all files of its node."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        mounts = [{"name": "node", "mountPath": "/host"}]
        debug = container(securityContext={"privileged": True}, volumeMounts=mounts)
        volumes = [{"name": "node", "hostPath": {"path": "/"}}]
        platform.cluster.apply(pod("node-debugger", debug, real=False, hostPID=True, volumes=volumes))
        platform.cluster.wait("Pod", "node-debugger", SYSTEM, until=lambda seen: is_true(seen, "Ready"))
        time.sleep(SETTLED_S)
        stage.record(platform.environment(), since)

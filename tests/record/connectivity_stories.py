"""Incidents on the way to a service: names, policies, ingresses, certificates and clocks. Each begins on a platform that is well."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from tests.record.kubernetes.certificates import have, issuing_failed
from tests.record.kubernetes.services import ingress, ingress_class
from tests.record.kubernetes_stories import TOLD_S
from tests.record.past import past
from tests.record.postgres_stories import SETTLED_S
from tests.record.probe import STRANGER
from tests.record.stories import now, story
from tests.stack.history import SERVICES
from tests.stack.neurallog.manifests import DATA, PORT, SYSTEM, TENANT_GROUP, thing
from tests.stack.process import program, run
from tests.stack.tls import LIFE, our_authority

HOST_NAME = "localhost"  # of the door
NOBODY = "02:00:00:00:00:01"  # a network card that there is not
BEHIND = timedelta(minutes=10)


def of(seconds):
    """As a share of a certificate's life."""
    return timedelta(seconds=seconds) / LIFE


@story("The gateway does not come back since it was restarted at night")
def dns_failing(stage):
    """The cluster's DNS was started anew and knows no names: it answers SERVFAIL, as CoreDNS does when the API server does not let it in.

    Connections that were open go on, and are enough while no customer is awake. The new pods of the gateway look for Redis in vain.
    """
    with stage.platform(customers=False) as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.processes["services"].forget_names()
        time.sleep(SETTLED_S)
        for pod in platform.pods("api-gateway"):
            platform.cluster.delete("Pod", pod["metadata"]["name"], SYSTEM)
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since, service="api-gateway")


@story("Every request is answered with 503, after three seconds")
def policy_blocks(stage):
    """A policy lists what the gateway may send to, and forgets the auth service.

    The network of the tests' cluster enforces no policies. What a plugin that does would drop, from the gateway to the auth service, is
    lost by a route in the network of each of its pods.
    """
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.apply(_gateway_may_send())
        (address,) = [platform.cluster.get("Service", "auth-service", SYSTEM)["spec"]["clusterIP"]]
        for pod in platform.pods("api-gateway"):
            lose(pod["metadata"]["name"], address)
        time.sleep(TOLD_S)
        stage.record(platform.environment(), since, service="api-gateway")


def _gateway_may_send():
    """Names, Redis, the log-servers, the billing service."""
    tenants = {"namespaceSelector": {"matchExpressions": [{"key": f"{TENANT_GROUP}/tenant", "operator": "Exists"}]}}
    data = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": DATA}}}
    billing = {"podSelector": {"matchLabels": {"app": "billing-service"}}}
    egress = [
        {"ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")]},
        {"to": [data], "ports": [{"port": 6379, "protocol": "TCP"}]},
        {"to": [tenants, billing], "ports": [{"port": PORT, "protocol": "TCP"}]},
    ]
    spec = {"podSelector": {"matchLabels": {"app": "api-gateway"}}, "policyTypes": ["Egress"], "egress": egress}
    return thing("networking.k8s.io/v1", "NetworkPolicy", "api-gateway", SYSTEM, spec=spec)


def lose(pod, address):
    """What a pod sends to an address goes to nobody, without a word, as what a policy drops. It ends with the pod."""
    inside = [program("nsenter"), f"--target={process_of(pod)}", "--net", program("ip")]
    run([*inside, "route", "replace", f"{address}/32", "dev", "eth0"])
    run([*inside, "neighbour", "replace", address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent"])


def process_of(pod):
    """The number, on this machine, of the program in a pod of NeuralLog."""
    wanted = f"NL_POD={pod}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                return folder.name
        except OSError:  # it has just ended
            continue
    raise LookupError(f"no process runs in {pod}")


@story("Customers are told 'service unavailable', and no pod knows of a request")
def ingress_broken(stage):
    """Somebody changed the port of the ingress to one that the gateway's service does not have.

    The cluster of the tests has no ingress controller: its door answers what one would say.
    """
    with stage.platform(past(services=SERVICES)) as platform:
        platform.cluster.apply([ingress_class("public"), ingress("api-gateway", PORT)])
        since = now()
        time.sleep(SETTLED_S)
        wrong = ingress("api-gateway", 80)["spec"]
        platform.cluster.kubectl(
            "patch", "ingress", "api", "-n", SYSTEM, "--type=merge", "-p", json.dumps({"spec": wrong})
        )
        platform.door.answer = (503, {})
        time.sleep(SETTLED_S)
        stage.record(platform.environment(), since)


@story("Since this minute every client says that the connection is not safe")
def expired_certificate(stage):
    """The certificate of the door ran out. cert-manager has tried to renew it for a month, in vain: the authority does not answer."""
    with stage.platform(past(services=SERVICES)) as platform:
        old = our_authority().chain(HOST_NAME, left=of(2 * SETTLED_S))
        have(platform.cluster, status_of(old, **issuing_failed(attempts=24)), HOST_NAME)
        platform.door.serve(old)
        since = now()
        time.sleep(2 * SETTLED_S)
        have(platform.cluster, status_of(old, is_over=True, **issuing_failed(attempts=24)), HOST_NAME)
        time.sleep(SETTLED_S)
        stage.record(platform.environment(), since)


@story("Clients refuse to talk to the API since the shop was moved to it")
def wrong_certificate(stage):
    """The door has the certificate of the shop for the name of the API, too. That of the API was issued, and lies unused."""
    with stage.platform(past(services=SERVICES)) as platform:
        right = our_authority().chain(HOST_NAME)
        have(platform.cluster, status_of(right), HOST_NAME)
        platform.door.serve(right)
        since = now()
        time.sleep(SETTLED_S)
        platform.door.serve(our_authority().chain(STRANGER), our_authority().chain("default.neurallog.example"))
        time.sleep(SETTLED_S)
        stage.record(platform.environment(), since)


def status_of(chain, is_over=False, **more):
    """What cert-manager, which is not to be had here, says of a Certificate that has these."""
    leaf = x509.load_pem_x509_certificate(chain.certificates.read_bytes())
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    well = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "Certificate is up to date and has not expired",
    }
    over = {
        "type": "Ready",
        "status": "False",
        "reason": "Expired",
        "message": f"Certificate expired on {ends:%a, %d %b %Y %H:%M:%S} UTC",
    }
    ready = (over if is_over else well) | {"lastTransitionTime": written(ends if is_over else begins)}
    return {
        "notBefore": written(begins),
        "notAfter": written(ends),
        "renewalTime": written(ends - LIFE / 3),
        "revision": 3,
        **more,
        "conditions": [ready, *more.get("conditions", [])],
    }


def written(at: datetime):
    """A moment, as Kubernetes writes it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@story("New log lines are there, but not among those of the last minutes")
def clock_skew(stage):
    """The machine of the databases has lost its time server, and was set back by ten minutes when it was moved."""
    clocks = []
    with stage.platform(past(services=SERVICES), before=lambda clock, *servers: clocks.append(clock)) as platform:
        since = now()
        time.sleep(SETTLED_S)
        clocks[0].set(BEHIND)
        time.sleep(SETTLED_S)
        stage.record(platform.environment(), since)

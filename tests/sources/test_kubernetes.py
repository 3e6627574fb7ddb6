"""Kubernetes: the link, what it does when the API server misbehaves, and the sources, under exactly the declared permissions."""

import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pandas as pd
import pytest
from kubernetes.config import incluster_config

from nl_forensics import permissions, sources
from nl_forensics.collection.collect import collect
from nl_forensics.connect import kubernetes as connecting
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable
from nl_forensics.inputs import parameters
from nl_forensics.inputs.platform import IN_CLUSTER, KubernetesEndpoint
from nl_forensics.sources.kubernetes.kinds import PODS, is_inside
from nl_forensics.sources.kubernetes.reading import matches, needed, quantity
from tests.asking import as_table, ask, incident, link, platform
from tests.stack import faults as wire
from tests.stack import in_thread
from tests.stack.kubernetes import crowd, fake_nodes, images, real_node
from tests.stack.kubernetes.api_faults import EXPIRED, Answer, Cut, Page, misbehaving
from tests.stack.kubernetes.cluster import cluster
from tests.stack.process import HOST

OURS = [name for name, one in sources.load().items() if one.system == "kubernetes"]
READER = "reader"
SECRET = "hunter2-is-a-value"
GROUPS = "neurallog.io"
EVERYWHERE = platform(namespaces=())
UNREADABLE = "unable to retrieve container logs for containerd://0123"
NOT_SOON = datetime.now(UTC) + timedelta(hours=12)  # for a job that no test shall meet

SHOP = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: other}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: shop}}
data: {{settings.json: "{SECRET}"}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {{name: quota, namespace: shop}}
spec: {{hard: {{requests.memory: 1Gi, pods: "10"}}}}
---
apiVersion: v1
kind: LimitRange
metadata: {{name: limits, namespace: shop}}
spec: {{limits: [{{type: Container, defaultRequest: {{cpu: 50m, memory: 32Mi}}, default: {{memory: 64Mi}}}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: shop}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      initContainers:
      - {{name: migrate, image: "example/migrate:1", resources: {{requests: {{cpu: 500m, memory: 16Mi}}}}}}
      - {{name: proxy, image: "example/proxy:1", restartPolicy: Always}}
      containers:
      - name: web
        image: example/web:1
        command: ["run", "--password={SECRET}"]
        env: [{{name: PASSWORD, value: "{SECRET}"}}]
        envFrom: [{{configMapRef: {{name: settings}}}}]
        ports: [{{name: http, containerPort: 8080}}]
        resources: {{requests: {{cpu: 100m, memory: 64Mi}}, limits: {{memory: 128Mi}}}}
        livenessProbe: {{httpGet: {{path: /health, port: http}}, periodSeconds: 5, failureThreshold: 2}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: store, namespace: other}}
spec:
  replicas: 1
  serviceName: store
  selector: {{matchLabels: {{app: store}}}}
  template:
    metadata: {{labels: {{app: store}}}}
    spec: {{containers: [{{name: store, image: "example/store:1"}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: shop}}
spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: http}}, {{name: admin, port: 81, targetPort: admin}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: nobody, namespace: shop}}
spec: {{selector: {{app: nobody}}, ports: [{{port: 80}}]}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web, namespace: shop}}
spec:
  ingressClassName: nginx
  tls: [{{hosts: [shop.example], secretName: shop-tls}}]
  rules:
  - host: shop.example
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{name: http}}}}}}}}]}}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: nginx, annotations: {{ingressclass.kubernetes.io/is-default-class: "true"}}}}
spec: {{controller: k8s.io/ingress-nginx}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: only-dns, namespace: shop}}
spec: {{podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Egress], egress: [{{ports: [{{port: 53, protocol: UDP}}]}}]}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: shop}}
spec: {{minAvailable: 3, selector: {{matchLabels: {{app: web}}}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: shop}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}
  minReplicas: 3
  maxReplicas: 5
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 80}}}}}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: nightly, namespace: shop}}
spec:
  schedule: "0 {NOT_SOON.hour} * * *"
  jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: night, image: "example/night:1"}}]}}}}}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data, namespace: shop}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: none, resources: {{requests: {{storage: 10Gi}}}}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: tenants.{GROUPS}}}
spec:
  group: {GROUPS}
  scope: Cluster
  names: {{kind: Tenant, listKind: TenantList, plural: tenants, singular: tenant}}
  versions:
  - name: v1beta3
    served: true
    storage: true
    subresources: {{status: {{}}}}
    schema: {{openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}}}
---
apiVersion: {GROUPS}/v1beta3
kind: Tenant
metadata: {{name: globex}}
spec: {{contact: "{SECRET}"}}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A small cluster: one workload that is well, of which one pod was killed for its memory, and one of each other kind."""
    folder = tmp_path_factory.mktemp("logs")
    with cluster(nodes=2, audit=True) as running:
        running.apply(SHOP)
        pods = running.wait("Pod", namespace="shop", until=lambda all_: len(all_) == 3 and all(map(_is_ready, all_)))
        running.wait("Deployment", "web", "shop", until=lambda one: one["status"].get("availableReplicas") == 3)
        running.wait("Pod", "store-0", "other", until=lambda pod: _is_ready(pod))
        running.wait("ResourceQuota", "quota", "shop", until=_used)
        _kill_for_memory(running, pods[0]["metadata"]["name"], folder)
        running.kubeconfig(READER, permissions.kubernetes_rules())
        yield running


def _used(quota):
    return quota.get("status", {}).get("used") or {}


def _is_ready(pod):
    return any(
        one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", [])
    )


def _kill_for_memory(running, name, folder):
    """As the kubelet would tell it, with the logs of before and after."""
    now, before = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago)) for ago in (5, 60))
    files = {
        "current": [f"{now} stdout F level=info msg=started", f"{now} stdout F ready"],
        "previous": [
            f'{before} stderr F {{"level": "error", "message": "no room for 17 items of cus_12345678901234"}}'
        ],
    }
    for file, lines in files.items():
        (folder / file).write_text("\n".join(lines) + "\n")
    running.apply(fake_nodes.logs(name, "shop", "web", folder / "current", folder / "previous"))
    pod = running.get("Pod", name, "shop")
    statuses = pod["status"]["containerStatuses"]
    ended = {"reason": "OOMKilled", "exitCode": 137, "startedAt": before, "finishedAt": now, "containerID": "fake://1"}
    statuses[0] |= {"restartCount": 1, "lastState": {"terminated": ended}}
    running.patch("Pod", name, {"status": {"containerStatuses": statuses}}, "shop", "/status")


@pytest.fixture(scope="module")
def asked(shop):
    opened = link("kubernetes", str(shop.folder / f"{READER}.kubeconfig"))
    yield opened
    opened.close()


@contextmanager
def opened_through(shop, faults, user=READER):
    with misbehaving(shop, faults, user) as kubeconfig:
        opened = link("kubernetes", str(kubeconfig))
        yield opened
        opened.close()


def everywhere(opened, name, **options):
    return ask(opened, name, platform_=EVERYWHERE, **options)


# --- Permissions ------------------------------------------------------------------------------------------------------


def test_the_declared_permissions_suffice(shop, asked):
    """Every source is answered without a hole; the API server saw nothing but get, list and a review of our rights, and each list once."""
    for name in OURS:
        heard = everywhere(asked, name)
        assert as_table(name, heard.table).rows_with_holes.empty, name
        assert not any("forbidden" in unseen for unseen in heard.unseen), (name, heard.unseen)
        assert SECRET not in heard.text, name
    log = shop.audit_log(READER)
    assert {event["verb"] for event in log} == {"get", "list", "create"}
    posted = {event["requestURI"] for event in log if event["verb"] == "create"}
    assert posted == {"/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"}
    assert {event["userAgent"] for event in log} == {"nl_forensics"}
    lists = [event["requestURI"] for event in log if event["verb"] == "list" and event["stage"] == "ResponseComplete"]
    assert len(lists) == len(set(lists))
    assert "secrets" not in {(event.get("objectRef") or {}).get("resource") for event in log}


def test_the_cluster_role_is_read_only():
    rules = [rule for rule in permissions.kubernetes_rules() if rule.get("apiGroups") != ["authorization.k8s.io"]]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list"}
    named = {resource for rule in rules for resource in rule.get("resources", [])}
    assert "pods/log" in named
    assert not named & {"secrets", "*", "pods/exec", "pods/portforward", "services/proxy"}


def test_only_declared_questions_are_put(asked):
    for question in (
        lambda: asked.objects(PODS._replace(plural="secrets")),
        lambda: asked.get("/api/v1/namespaces/shop/secrets"),
        lambda: asked.text("/metrics"),
    ):
        with pytest.raises(BadAnswer, match="no source declares it"):
            question()


def test_every_optional_kind_that_is_missing_is_no_gap(asked):
    heard = everywhere(asked, "k8s_custom")
    assert list(heard.table.name) == ["globex"]
    assert heard.unseen == []


# --- The link ---------------------------------------------------------------------------------------------------------


def test_identity_and_clock(shop, asked):
    namespace = shop.get("Namespace", "kube-system")
    assert asked.identity == {"version": "v1.36.2", "cluster_uid": namespace["metadata"]["uid"]}
    assert abs(asked.clock.offset_s) <= asked.clock.error_s + 0.1


def test_pages_are_put_together(shop, asked, monkeypatch):
    monkeypatch.setattr(connecting, "PAGE", 2)
    opened = link("kubernetes", str(shop.folder / f"{READER}.kubeconfig"))
    assert set(everywhere(opened, "k8s_pods").table.pod) == set(everywhere(asked, "k8s_pods").table.pod)
    opened.close()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (EXPIRED, "HTTP 410"),
        (Page(Answer(429, {"Retry-After": "60"})), "HTTP 429"),
        (Page(Answer(500)), "HTTP 500"),
        (Page(Cut(300)), "cut off"),
    ],
)
def test_what_came_before_a_failure_in_a_list_is_kept(shop, monkeypatch, fault, said):
    monkeypatch.setattr(connecting, "PAGE", 2)
    with opened_through(shop, {"/api/v1/pods": fault}) as opened:
        heard = everywhere(opened, "k8s_pods")
        assert len(heard.table) == 2
        assert any(said in unseen and "pods after the first 2" in unseen for unseen in heard.unseen)
        nodes = everywhere(opened, "k8s_nodes")
        assert nodes.table.pods.isna().all()
        assert any("requests of pods" in unseen for unseen in nodes.unseen)


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        (Answer(403), NotAllowed, "Forbidden"),
        (Answer(401), NotAllowed, "HTTP 401"),
        (Answer(429, {"Retry-After": "60"}), BadAnswer, "come back in 60 s"),
        (Answer(503), BadAnswer, "HTTP 503"),
        (Answer(200, {"Content-Type": "text/html"}, "<html>log in</html>"), BadAnswer, "not JSON"),
        (Cut(100), BadAnswer, "cut off"),
    ],
)
def test_a_list_that_fails_leaves_the_others_intact(shop, fault, error, said):
    with opened_through(shop, {"/api/v1/pods": fault, "/api/v1/namespaces/shop/pods": fault}) as opened:
        for name in ("k8s_pods", "k8s_containers"):
            with pytest.raises(error, match=said) as refused:
                ask(opened, name, platform_=platform(namespaces=("shop",)))
            assert refused.value.remedy
        assert len(everywhere(opened, "k8s_deployments").table) == 1


def test_a_list_that_takes_too_long_is_kept_as_far_as_it_came(tmp_path):
    page = {"items": [_pod("one")], "metadata": {"continue": "more"}}
    with answering(VERSION | {"/api/v1/pods": [(200, {}, page)]}) as (port, _):
        opened = link("kubernetes", kubeconfig(tmp_path, port), budget={"question_s": 1})
        began = time.monotonic()
        heard = everywhere(opened, "k8s_pods")
    assert time.monotonic() - began < 10  # it has no end
    assert len(heard.table) > 1
    assert any("pods after the first" in unseen for unseen in heard.unseen)


def _pod(name):
    metadata = {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-11-23T20:00:00Z"}
    return {"metadata": metadata, "spec": {"containers": [{"name": "main"}]}, "status": {"phase": "Pending"}}


def test_an_answer_that_is_too_large(shop):
    opened = link("kubernetes", str(shop.folder / f"{READER}.kubeconfig"), budget={"answer_bytes": 10_000})
    with pytest.raises(BadAnswer, match="larger than 10,000 bytes"):
        everywhere(opened, "k8s_pods")
    opened.close()


def test_one_group_without_a_server(shop):
    """Where the metrics API is declared but its server is gone, that is the only thing that is missing."""
    groups = {"groups": [{"name": "metrics.k8s.io", "preferredVersion": {"version": "v1beta1"}}]}
    faults = {"/apis": Answer(200, {}, json.dumps(groups)), "/apis/metrics.k8s.io/v1beta1/*": Answer(503)}
    with opened_through(shop, faults) as opened:
        heard = everywhere(opened, "k8s_node_metrics")
        assert heard.table.empty
        assert heard.proof == ""
        assert "HTTP 503" in heard.unseen[0]
        assert len(everywhere(opened, "k8s_pods").table) == 4


def test_a_role_in_one_namespace(shop):
    """What may not be listed everywhere is listed where it may be, and the rest is named."""
    rules = [{"apiGroups": ["", "apps"], "resources": ["pods", "deployments"], "verbs": ["list"]}]
    opened = link("kubernetes", str(shop.kubeconfig("in-shop", rules, namespace="shop")))
    whole = ask(opened, "k8s_pods", platform_=platform(namespaces=("shop",)))
    assert len(whole.table) == 3
    assert whole.unseen == []
    opened.close()
    opened = link("kubernetes", str(shop.folder / "in-shop.kubeconfig"))
    part = ask(opened, "k8s_pods", platform_=platform(namespaces=("shop", "other", "tenant-*")))
    assert len(part.table) == 3
    assert any('in the namespace "other"' in unseen for unseen in part.unseen)
    assert any("tenant-*" in unseen for unseen in part.unseen)
    with pytest.raises(NotAllowed, match=r"services is forbidden.*cluster scope"):
        everywhere(opened, "k8s_services")
    opened.close()


def test_namespaces_in_scope(asked):
    assert set(ask(asked, "k8s_pods", platform_=platform(namespaces=("oth*",))).table.namespace) == {"other"}
    assert is_inside("tenant-7", ("shop", "tenant-*"))
    assert not is_inside("tenants", ("shop", "tenant-*"))


def test_events_about_nodes_are_in_every_scope(shop):
    deadline = time.monotonic() + 60  # the controllers tell of a new node a moment later
    while True:
        opened = link("kubernetes", str(shop.folder / f"{READER}.kubeconfig"))
        seen = set(ask(opened, "k8s_events", platform_=platform(namespaces=("other",))).table.namespace)
        opened.close()
        if seen == {"other", ""} or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert seen == {"other", ""}


def test_credentials_that_have_expired(shop):
    with pytest.raises(NotAllowed, match="401") as refused, opened_through(shop, {"/version": Answer(401)}):
        pytest.fail("it was let in")
    assert "log in again" in refused.value.remedy


@pytest.mark.parametrize("text", ["", "nonsense", "a: [", '{"clusters": 7}', '{"apiVersion": "v1", "kind": "Config"}'])
def test_a_kubeconfig_that_is_none(tmp_path, text):
    (tmp_path / "config").write_text(text)
    with pytest.raises(NotConfigured):
        link("kubernetes", str(tmp_path / "config"))


def test_no_kubeconfig(tmp_path):
    for address in (str(tmp_path / "missing"), IN_CLUSTER):
        with pytest.raises(NotConfigured):
            link("kubernetes", address)


def test_nobody_listens(tmp_path):
    with pytest.raises(NotReachable, match="refused"):
        link("kubernetes", kubeconfig(tmp_path, wire.closed_port()))


def test_silent_server(tmp_path):
    began = time.monotonic()
    with wire.silent() as port, pytest.raises(NotReachable, match="timed out"):
        link("kubernetes", kubeconfig(tmp_path, port), budget={"connect_s": 2})
    assert time.monotonic() - began < 5  # the client itself would have tried three times


def kubeconfig(folder, port, current="there"):
    """One without TLS; its other context leads nowhere."""
    clusters = {"there": f"http://{HOST}:{port}", "nowhere": f"http://{HOST}:1"}
    given = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url}} for name, url in clusters.items()],
        "users": [{"name": "me", "user": {"token": "t"}}],
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": "me", "namespace": "shop"}} for name in clusters
        ],
        "current-context": current,
    }
    (folder / "config").write_text(json.dumps(given))
    return str(folder / "config")


@contextmanager
def answering(answers):
    """A server without TLS that gives each path's answers one after another, the last one for ever: (status, headers, JSON)."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            asked.append(path)
            left = answers.get(path, [(404, {}, {})])
            status, headers, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_):
            """The tests' output is not the place."""

    with in_thread.answering(ThreadingHTTPServer((HOST, 0), Handler)) as server:
        yield server.server_port, asked


VERSION = {"/version": [(200, {}, {"gitVersion": "v1.36.2"})]}
NO_PODS = (200, {}, {"items": []})


def test_come_back_in_a_while_is_obeyed_once(tmp_path):
    answers = VERSION | {"/api/v1/pods": [(429, {"Retry-After": "1"}, {}), NO_PODS]}
    with answering(answers) as (port, requests):
        opened = link("kubernetes", kubeconfig(tmp_path, port))
        began = time.monotonic()
        assert everywhere(opened, "k8s_pods").table.empty
        assert time.monotonic() - began > 1
        assert requests.count("/api/v1/pods") == 2


def test_a_context_is_chosen(tmp_path):
    with answering(VERSION | {"/api/v1/pods": [NO_PODS]}) as (port, _):
        path = kubeconfig(tmp_path, port, current="nowhere")
        budget = platform().budget
        with pytest.raises(NotReachable):
            connecting.connect(path, KubernetesEndpoint(), budget)
        assert connecting.connect(path, KubernetesEndpoint(context="there"), budget).namespace == "shop"
        with pytest.raises(NotConfigured):
            connecting.connect(path, KubernetesEndpoint(context="misspelt"), budget)


def test_from_within_the_cluster(shop, tmp_path, monkeypatch):
    """With the token and the certificate that a pod is given."""
    given = json.loads((shop.folder / f"{READER}.kubeconfig").read_text())
    there = urlsplit(given["clusters"][0]["cluster"]["server"])
    (tmp_path / "token").write_text(given["users"][0]["user"]["token"])
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", there.hostname)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(there.port))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(
        incluster_config, "SERVICE_CERT_FILENAME", given["clusters"][0]["cluster"]["certificate-authority"]
    )
    opened = link("kubernetes", IN_CLUSTER)
    assert len(everywhere(opened, "k8s_pods").table) == 4
    opened.close()


def test_the_pace(tmp_path):
    with answering(VERSION | {f"/{number}": [NO_PODS] for number in range(30)}) as (port, requests):
        opened = link("kubernetes", kubeconfig(tmp_path, port))
        began = time.monotonic()
        for number in range(18):
            opened._get(f"/{number}", {}, 5)
        assert len(requests) == 20
        assert time.monotonic() - began > 0.9  # the first ten, version and namespace among them, come at once


def test_where_the_cluster_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert KubernetesEndpoint().address == ""
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("")
    assert KubernetesEndpoint().address == str(tmp_path / ".kube" / "config")
    monkeypatch.setenv("KUBECONFIG", "/elsewhere")
    assert KubernetesEndpoint().address == "/elsewhere"


# --- What the sources tell --------------------------------------------------------------------------------------------


def test_pods_and_containers(shop, asked):
    pods = everywhere(asked, "k8s_pods").table
    web = pods[pods.workload == "web"]
    assert set(web.workload_kind) == {"Deployment"}
    assert web.ready.all()
    assert set(web.cpu_request_cores) == {0.5}  # of the init container, which needs more than what runs later
    assert set(web.config_maps) == {"settings"}
    containers = everywhere(asked, "k8s_containers").table
    assert set(containers[containers.workload == "web"].kind) == {"init", "sidecar", "container"}
    killed = containers[containers.last_reason == "OOMKilled"].iloc[0]
    assert (killed.container, killed.last_exit_code, killed.memory_limit_bytes) == ("web", 137, 128 << 20)
    assert (killed.liveness, killed.liveness_period_s, killed.liveness_failures_allowed) == ("http :http/health", 5, 2)
    assert (killed.liveness_timeout_s, killed.env_names) == (1, "PASSWORD")


def test_logs_of_what_is_not_well_and_of_one_of_each(shop, asked):
    heard = everywhere(asked, "k8s_unhealthy_logs")
    assert list(heard.table.previous) == [True, False, False]
    before = heard.table.iloc[0]
    assert (before.level, before.format) == ("error", "json")
    assert before.template.startswith("no room for * items")
    assert "cus_12345678901234" not in heard.text
    assert heard.table.iloc[1].message == "started"
    sampled = everywhere(asked, "k8s_logs")
    assert any("logs not read (healthy)" in unseen for unseen in sampled.unseen)
    assert set(sampled.table.pod) & set(heard.table.pod) == set()


def test_the_kubelet_that_has_lost_a_log(shop):
    """It says so with status 200, as if that were the log."""
    with opened_through(shop, {"/api/v1/namespaces/shop/pods/*": Answer(200, {}, UNREADABLE)}) as opened:
        heard = everywhere(opened, "k8s_unhealthy_logs")
    assert heard.table.empty
    assert all(UNREADABLE in unseen for unseen in heard.unseen)
    assert len(heard.unseen) == 2


def test_logs_that_may_not_be_read(shop):
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    opened = link("kubernetes", str(shop.kubeconfig("no-logs", rules)))
    heard = everywhere(opened, "k8s_unhealthy_logs")
    assert heard.table.empty
    assert any('cannot get resource "pods/log"' in unseen for unseen in heard.unseen)
    opened.close()


def test_a_log_is_cut_at_its_old_end(shop):
    opened = link("kubernetes", str(shop.folder / f"{READER}.kubeconfig"))
    brief = platform(namespaces=(), budget={"kubernetes_log_lines": 1})
    heard = ask(opened, "k8s_unhealthy_logs", platform_=brief)
    assert list(heard.table.message)[-1] == "ready"
    assert any("the newest 1 were read" in unseen for unseen in heard.unseen)
    opened.close()


def test_rollouts(shop, asked):
    deployment = everywhere(asked, "k8s_deployments").table.iloc[0]
    assert (deployment.replicas, deployment.available_replicas, deployment.revision) == (3, 3, 1)
    replica_set = everywhere(asked, "k8s_replica_sets").table.iloc[0]
    assert (replica_set.workload, replica_set.revision) == ("web", 1)
    assert "web example/web:1" in replica_set.images
    assert "liveness http :http/health failureThreshold=2" in replica_set.probes
    assert list(everywhere(asked, "k8s_controller_revisions").table.workload) == ["store"]


def test_services_with_and_without_endpoints(asked):
    services = everywhere(asked, "k8s_services").table.set_index("name")
    assert (services.endpoints_ready["web"], services.pods_selected["web"]) == (3, 3)
    assert services.named_ports_missing["web"] == "admin"
    assert (services.endpoints["nobody"], services.pods_selected["nobody"]) == (0, 0)
    assert set(everywhere(asked, "k8s_endpoints").table.service) == {"web"}
    ingress = everywhere(asked, "k8s_ingresses").table.iloc[0]
    assert (ingress.host, ingress.service, ingress.port, ingress.certificate) == (
        "shop.example",
        "web",
        "http",
        "shop-tls",
    )
    policy = everywhere(asked, "k8s_network_policies").table.iloc[0]
    assert (policy.pods_selected, policy.limits_egress, policy.egress_ports) == (3, True, "53/UDP")


def flows_of(asked, **flow):
    return ask(asked, "k8s_flows", platform_=platform(namespaces=("shop",), flows=[flow]))


def test_both_ends_of_a_flow(asked):
    heard = flows_of(asked, client="shop/web", service="shop/web", port=80)
    assert heard.unseen == []
    assert len(heard.table) == 9  # from each of three pods to each of them
    row = heard.table.iloc[0]
    assert (row.flow, row.port, row.protocol) == ("shop/web → shop/web:80", 8080, "TCP")
    assert (row.client_namespace, row.server_labels.split(",")[0]) == ("shop", "app=web")
    assert "kubernetes.io/metadata.name=shop" in row.client_namespace_labels
    assert "http:8080/TCP" in row.server_ports


@pytest.mark.parametrize(
    ("flow", "unseen"),
    [
        ({"client": "shop/none", "service": "shop/web", "port": 80}, "no pod of shop/none has an address"),
        ({"client": "shop/web", "service": "shop/none", "port": 80}, "there is no service shop/none"),
        ({"client": "shop/web", "service": "shop/nobody", "port": 80}, "shop/nobody has no port 80 with an endpoint"),
        ({"client": "shop/web", "service": "shop/web", "port": 81}, "shop/web has no port 81 with an endpoint"),
        ({"client": "shop/web", "service": "other/none", "port": 81}, "there is no service other/none"),
    ],
)  # fmt: skip
def test_a_flow_that_can_not_be_judged_is_told(asked, flow, unseen):
    heard = flows_of(asked, **flow)
    assert [one.split(": ", 1)[1] for one in heard.unseen] == [unseen]
    assert heard.table.empty


def test_flows_of_tenants_that_there_are_not_and_of_others_are_no_gap(asked):
    for flow in ({"client": "shop/web", "service": "tenant-*/log-server"}, {"client": "far/a", "service": "away/b"}):
        heard = flows_of(asked, **flow, port=80)
        assert (heard.unseen, len(heard.table)) == ([], 0)
        assert "flows of the platform file were resolved" in heard.proof


def test_rules_of_policies_are_kept_as_the_api_has_them(asked):
    rules = ask(asked, "k8s_policy_rules", platform_=platform(namespaces=("shop",), flows=())).table
    assert list(zip(rules.name, rules.direction, strict=True)) == [("only-dns", "egress")]
    assert json.loads(rules.selector[0]) == {"matchLabels": {"app": "web"}}
    assert json.loads(rules.rules[0]) == [{"ports": [{"port": 53, "protocol": "UDP"}]}]


def test_nodes_and_quotas(shop, asked):
    nodes = everywhere(asked, "k8s_nodes").table
    assert nodes.ready.all()
    assert nodes.pods.sum() == 4
    assert nodes.requested_cpu_cores.sum() == pytest.approx(1.5)
    opened = link("kubernetes", str(shop.folder / f"{READER}.kubeconfig"))  # with no list of a moment ago
    quotas = everywhere(opened, "k8s_quotas").table.set_index("resource")
    opened.close()
    used = float(_used(shop.get("ResourceQuota", "quota", "shop"))["pods"])  # the controller may count late
    assert (quotas.used["pods"], quotas.hard["requests.memory"]) == (used, 1 << 30)


def test_config_maps_tell_that_they_changed_and_by_whom(shop, asked):
    before = everywhere(asked, "k8s_config_maps").table.set_index("name").loc["settings"]
    shop.patch("ConfigMap", "settings", {"data": {"settings.json": "other"}}, "shop")
    opened = link("kubernetes", str(shop.folder / f"{READER}.kubeconfig"))
    after = everywhere(opened, "k8s_config_maps").table.set_index("name").loc["settings"]
    assert before["keys"] == after["keys"] == "settings.json"
    assert before.data_digest != after.data_digest
    changes = everywhere(opened, "k8s_changes").table
    newest = changes[(changes.kind == "configmaps") & (changes.name == "settings")].iloc[0]
    assert newest["at"] == after.changed_at
    assert newest.fields == "data.settings.json"
    opened.close()


def test_events_that_were_forgotten():
    """A window that is younger than the memory of the API server is whole, unless a pod shows that an event is missing."""
    moments = {"firstTimestamp": "2020-01-01T00:00:00Z", "lastTimestamp": "2020-01-01T00:00:00Z", "count": 3}
    with cluster(nodes=1, api_options=("--event-ttl=1s",)) as running:
        opened = link("kubernetes", str(running.kubeconfig()))
        assert everywhere(opened, "k8s_events", incident_=incident(minutes=30)).unseen == []
        assert everywhere(opened, "k8s_events", incident_=incident(minutes=90)).unseen != []
        about = {"involvedObject": {"kind": "Node", "name": "node-0"}, "type": "Warning", "reason": "Old"} | moments
        running.apply(
            {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "old", "namespace": "default"}} | about
        )
        opened = link("kubernetes", str(running.kubeconfig()))
        old = everywhere(opened, "k8s_events").table
        assert list(old[old.reason == "Old"].repeats) == [3]


def test_the_old_events_and_the_new(shop):
    shop.apply(
        [
            {
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {"name": "new", "namespace": "shop"},
                "eventTime": "2026-01-02T03:04:05.000000Z",
                "series": {"count": 7, "lastObservedTime": "2026-01-02T03:14:05.000000Z"},
                "reportingController": "tests",
                "reportingInstance": "tests-0",
                "action": "Testing",
                "reason": "Repeated",
                "type": "Warning",
                "regarding": {
                    "kind": "Pod",
                    "name": "web",
                    "namespace": "shop",
                    "fieldPath": "spec.containers{web}",
                },
            }
        ]
    )
    opened = link("kubernetes", str(shop.folder / f"{READER}.kubeconfig"))
    events = everywhere(opened, "k8s_events").table
    repeated = events[events.reason == "Repeated"].iloc[0]
    assert (repeated.repeats, repeated.container, repeated.component) == (7, "web", "tests")
    assert f"{repeated['at']:%H:%M}" == "03:14"
    opened.close()


def test_the_api_itself(asked):
    checks = everywhere(asked, "k8s_api_checks").table.set_index("check")
    assert checks.passed.all()
    assert "etcd" in checks.index
    assert everywhere(asked, "k8s_api_services").table.available.all()
    assert set(everywhere(asked, "k8s_leases").table.namespace) >= {"kube-node-lease"}


def test_a_failing_check_of_the_api(shop):
    text = "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n"
    with opened_through(shop, {"/readyz": Answer(500, {"Content-Type": "text/plain"}, text)}) as opened:
        checks = everywhere(opened, "k8s_api_checks").table
    assert list(checks.passed) == [True, False]
    assert checks.said[1] == "failed: reason withheld"


def test_etcd_that_hangs():
    """The API server still answers from its memory, and that is said."""
    with cluster(nodes=1) as running:
        opened = link("kubernetes", str(running.kubeconfig()), budget={"question_s": 3})
        running.freeze("etcd")
        try:
            heard = everywhere(opened, "k8s_nodes")
            again = link("kubernetes", str(running.kubeconfig()))
        finally:
            running.thaw("etcd")
    assert list(heard.table.name) == ["node-0"]
    assert any("may be old" in unseen for unseen in heard.unseen)
    assert again.version == "v1.36.2"


# --- Containers that really run ---------------------------------------------------------------------------------------

PROGRAMS = {
    "steady": ('echo \'{"level":"info","msg":"serving 3 requests"}\'; exec sleep 600', images.BUSYBOX),
    "crashing": ("echo level=error msg='no such host'; exit 3", images.BUSYBOX),
    "greedy": ("exec dd if=/dev/zero of=/dev/null bs=200M count=1", images.BUSYBOX),
    "unpulled": ("exec sleep 600", "registry.example/missing:1"),
}


@pytest.fixture(scope="module")
def real():
    """A node with containers: one that is well, and three that fail in ways of their own."""
    with cluster(real_node=True) as running:
        running.apply([_real_pod(name, *program) for name, program in PROGRAMS.items()])
        running.wait("Pod", "steady", "default", until=_is_ready)
        for name in ("crashing", "greedy"):
            running.wait("Pod", name, "default", until=lambda pod: _status(pod).get("restartCount", 0) > 0)
        running.wait("Pod", "unpulled", "default", until=lambda pod: "waiting" in _status(pod).get("state", {}))
        yield running


def _status(pod):
    return next(iter(pod.get("status", {}).get("containerStatuses", [])), {})


def _real_pod(name, script, image):
    container = {
        "name": "main",
        "image": image,
        "command": ["/bin/sh", "-c", script],
        "resources": {"limits": {"memory": "32Mi"}},
    }
    spec = {**real_node.ON_REAL_NODE, "containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def test_how_containers_end(real):
    opened = link("kubernetes", str(real.kubeconfig(READER, permissions.kubernetes_rules())))
    containers = everywhere(opened, "k8s_containers").table.set_index("pod")
    assert containers.last_reason["greedy"] == "OOMKilled"
    assert (containers.last_reason["crashing"], containers.last_exit_code["crashing"]) == ("Error", 3)
    assert containers.state_reason["unpulled"] in ("ErrImagePull", "ImagePullBackOff")
    assert containers.ready["steady"]
    logs = everywhere(opened, "k8s_unhealthy_logs")
    assert set(logs.table.pod) == {"crashing"}  # the greedy one says nothing, the unpulled one never ran
    assert set(logs.table.level) == {"error"}
    sampled = everywhere(opened, "k8s_logs").table
    assert list(sampled.message) == ["serving 3 requests"]
    assert sampled["at"].iloc[0].microsecond
    opened.close()


def test_a_node_that_hangs(real):
    """Its logs are missing, and only they; it is not waited for with every log."""
    opened = link("kubernetes", str(real.kubeconfig(READER)), budget={"connect_s": 1})
    real.freeze("kubelet")
    try:
        began = time.monotonic()
        heard = everywhere(opened, "k8s_unhealthy_logs")
        assert time.monotonic() - began < 3
        assert everywhere(opened, "k8s_pods").unseen == []
    finally:
        real.thaw("kubelet")
    assert heard.table.empty
    assert any("logs on node" in unseen for unseen in heard.unseen)
    opened.close()


# --- A whole collection -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    with crowd.crowd(audit=True) as running:
        running.kubeconfig(READER, permissions.kubernetes_rules())
        yield running


def collected(folder, kubeconfig, monkeypatch, on_answer=None, **budget):
    """A case of this cluster alone."""
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    absent = dict.fromkeys(("postgres", "pgbouncer", "redis", "prometheus"), "absent")
    systems = absent | {"kubernetes": {"main": {}}}
    values = {
        "incident": {"id": "test", "start": incident(30).start.isoformat(), "end": "now"},
        "platform": {"name": "test", "systems": systems, "budget": budget},
    }
    return collect(folder / "case", parameters.resolve(values), on_answer=on_answer)


def errors(case):
    """{source: kind of error}, of what was refused."""
    return {name: one.error for name, answers in case.answers.items() for one in answers.values() if one.error}


def test_a_collection_of_an_api_server_that_hangs(shop, tmp_path, monkeypatch):
    """It froze after it had let us in; no table is taken for a healthy one, and the deadline is held."""
    frozen = []

    def on_answer(name, _):
        if name == "k8s_pods" and not frozen:
            frozen.append(shop.freeze("kube-apiserver"))

    began = time.monotonic()
    try:
        case = collected(tmp_path, shop.folder / f"{READER}.kubeconfig", monkeypatch, on_answer=on_answer, question_s=2)
    finally:
        shop.thaw("kube-apiserver")
    assert time.monotonic() - began < 20
    assert len(case.read("k8s_pods").rows) == 4
    assert errors(case)["k8s_bindings"] == "NotReachable"  # one of the last, which the pace keeps for seconds later
    assert set(errors(case).values()) == {"NotReachable"}


def test_a_collection_that_is_let_in_nowhere(shop, tmp_path, monkeypatch):
    with misbehaving(shop, {"/*": Answer(401)}, READER) as kubeconfig:
        case = collected(tmp_path, kubeconfig, monkeypatch)
    assert set(errors(case).values()) == {"NotAllowed"}
    assert case.read("systems_reached").rows.answered.all()  # "you may not log in" is an answer


def test_all_logs_are_read_when_asked_for(many, tmp_path, monkeypatch):
    kubeconfig = many.kubeconfig("eager", permissions.kubernetes_rules())
    unhurried = {"kubernetes_per_s": 100, "deadline_s": 300}
    case = collected(tmp_path, kubeconfig, monkeypatch, kubernetes_all_logs=True, **unhurried)
    names = ["namespace", "pod", "container", "previous"]
    read = pd.concat([case.read("k8s_logs").rows, case.read("k8s_unhealthy_logs").rows])
    every = crowd.NAMESPACES * crowd.PODS_OF_EACH + crowd.UNHEALTHY
    assert (read.groupby(names).size() == crowd.LINES).sum() == every
    assert [gap.unseen for gap in case.gaps("k8s_logs")] == []


def test_a_whole_collection_of_500_pods(many, tmp_path, monkeypatch):
    """≤ 45 s, ≤ 10 requests in any second, about 200 in all; every unhealthy container's current and previous log is there."""
    began = time.monotonic()
    case = collected(tmp_path, many.folder / f"{READER}.kubeconfig", monkeypatch)
    took = time.monotonic() - began
    logs = case.read("k8s_unhealthy_logs").rows
    assert len(logs.groupby(["namespace", "pod", "previous"])) == 2 * crowd.UNHEALTHY
    assert len(case.read("k8s_logs").rows.groupby("namespace")) == crowd.NAMESPACES
    assert len(case.read("k8s_pods").rows) == crowd.NAMESPACES * crowd.PODS_OF_EACH
    assert case.read("k8s_nodes").rows.pods.sum() == crowd.NAMESPACES * crowd.PODS_OF_EACH
    assert errors(case) == {}
    moments = sorted(
        datetime.fromisoformat(one["requestReceivedTimestamp"])
        for one in many.audit_log(READER)
        if one["stage"] == "ResponseComplete"
    )
    assert took < 45
    assert len(moments) < 220
    # Sent at most 10 a second; on a busy machine some are received late, and near to those after them.
    assert all(later - earlier > timedelta(seconds=4) for earlier, later in zip(moments, moments[50:], strict=False))


# --- Small parts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("2", 2),
        ("1.5Gi", 1.5 * 2**30),
        ("128974848", 128974848),
        ("1e3", 1000),
        ("2E", 2e18),
        ("100n", 1e-7),
    ],
)
def test_quantities(text, number):
    assert quantity(text) == pytest.approx(number)


def test_what_a_pod_needs():
    """https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers"""
    asks = lambda cpu: {"resources": {"requests": {"cpu": cpu}}}  # noqa: E731
    sidecar = asks("200m") | {"restartPolicy": "Always"}
    spec = {"containers": [asks("100m")], "initContainers": [sidecar, asks("1")], "overhead": {"cpu": "50m"}}
    assert needed(spec, "cpu") == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "api"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, False),
    ],
)
def test_selectors(selector, fits):
    assert matches(selector, {"app": "web"}) is fits

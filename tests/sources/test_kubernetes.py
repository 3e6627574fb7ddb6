"""Kubernetes: the link, what it does when the API server misbehaves, and exactly the declared permissions."""

import json
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from kubernetes.config import incluster_config

from nl_forensics import permissions
from nl_forensics.connect import kubernetes as connecting
from nl_forensics.errors import BadAnswer, NotAllowed, NotConfigured, NotReachable
from nl_forensics.inputs.platform import IN_CLUSTER, KubernetesEndpoint
from nl_forensics.sources.kubernetes.kinds import PODS, is_inside
from tests.asking import as_table, ask, link, platform
from tests.sources.shop import OURS, READER, SECRET, everywhere, opened_through
from tests.stack import faults as wire
from tests.stack import in_thread
from tests.stack.kubernetes.api_faults import EXPIRED, Answer, Cut, Page
from tests.stack.process import HOST

# --- Permissions ------------------------------------------------------------------------------------------------------


def test_the_declared_permissions_suffice(shop):
    """Every source is answered without a hole; the API server saw nothing but get, list and a review of our rights, and each list once."""
    opened = link("kubernetes", str(shop.kubeconfig("declared", permissions.kubernetes_rules())))
    for name in OURS:
        heard = everywhere(opened, name)
        assert as_table(name, heard.table).rows_with_holes.empty, name
        assert not any("forbidden" in unseen for unseen in heard.unseen), (name, heard.unseen)
        assert SECRET not in heard.text, name
    opened.close()
    log = shop.audit_log("declared")
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
    assert time.monotonic() - began < 60  # it has no end
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
        link("kubernetes", kubeconfig(tmp_path, port), budget={"connect_s": 4})
    assert time.monotonic() - began < 3 * 4  # the client itself would have tried three times


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

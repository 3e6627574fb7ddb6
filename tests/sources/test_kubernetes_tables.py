"""Kubernetes: what the sources tell of a cluster, and the small parts that they are made of."""

import json

import pytest

from nl_forensics.sources.kubernetes.reading import matches, needed, quantity
from tests.asking import ask, incident, link, platform
from tests.sources.shop import READER, UNREADABLE, everywhere, opened_through, used_of
from tests.stack.kubernetes.api_faults import Answer
from tests.stack.kubernetes.cluster import cluster


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
    used = float(used_of(shop.get("ResourceQuota", "quota", "shop"))["pods"])  # the controller may count late
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


def test_etcd_that_hangs(shop):
    """The API server still answers from its memory, and that is said."""
    opened = link("kubernetes", str(shop.kubeconfig()), budget={"question_s": 3})
    shop.freeze("etcd")
    try:
        heard = everywhere(opened, "k8s_nodes")
        again = link("kubernetes", str(shop.kubeconfig()))
    finally:
        shop.thaw("etcd")
    assert list(heard.table.name) == ["node-0", "node-1"]
    assert any("may be old" in unseen for unseen in heard.unseen)
    assert again.version == "v1.36.2"


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

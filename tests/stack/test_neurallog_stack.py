"""The small NeuralLog of tests/stack/neurallog: it does its work, is seen by Prometheus, and fails on demand."""

import json
import time
from pathlib import Path

import pytest
import requests

from nl_forensics import sources
from tests.asking import ask, incident, link
from tests.stack.kubernetes.api import Api, Refused, is_true, rolled_out
from tests.stack.kubernetes.cluster import cluster
from tests.stack.neurallog import manifests
from tests.stack.neurallog.manifests import SYSTEM
from tests.stack.neurallog.neurallog import neurallog
from tests.stack.stack import stack


@pytest.fixture(scope="module")
def platform():
    with stack(past="", scrape_s=1) as servers, cluster(real_node=True) as c, neurallog(servers, c) as running:
        yield running


def eventually(condition, within_s=90):
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.1)
    return result


def send(platform, key="key1", lines=("hello",)):
    body = {"lines": [{"level": "info", "message": line} for line in lines]}
    url = platform.url("api-gateway") + "/v1/logs"
    return requests.post(url, json=body, headers={"X-Api-Key": key}, timeout=10)


def stored(platform, message):
    return platform.servers.postgres.execute(f"SELECT tenant_id FROM log_entries WHERE message = '{message}'")


# --- in good order ---------------------------------------------------------------------------------------------------


def test_line_goes_through_all_services_to_the_database(platform):
    assert send(platform, "key1", ["seen by globex"]).json() == {"taken": 1}
    assert eventually(lambda: stored(platform, "seen by globex")) == [(2,)]
    newest = requests.get(platform.url("api-gateway") + "/v1/logs", headers={"X-Api-Key": "key1"}, timeout=10).json()
    assert newest[0]["message"] == "seen by globex"
    flushed = "SELECT sum(value) FROM usage_records WHERE tenant_id = 2 AND metric_type = 'logs_ingested'"
    ((before,),) = platform.servers.postgres.execute(flushed)
    send(platform, "key1", ["billed"])
    eventually(lambda: platform.servers.postgres.execute(flushed)[0][0] > before)


@pytest.mark.parametrize(("key", "lines", "status"), [("wrong", ["x"], 401), ("key1", "no list", 400)])
def test_bad_request_is_refused(platform, key, lines, status):
    url = platform.url("api-gateway") + "/v1/logs"
    assert requests.post(url, json={"lines": lines}, headers={"X-Api-Key": key}, timeout=10).status_code == status


def logged(platform, selector, tail):
    """The newest lines of the pods that a selector finds; of a container that has ended, the kubelet says that it has none."""
    text = platform.cluster.kubectl("logs", "-n", SYSTEM, "-l", selector, f"--tail={tail}")
    # The kubelet says in the place of a log why it could not be read: its container is gone, or its file is being made.
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def with_token(platform, token):
    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "203.0.113.9"}
    return requests.get(platform.url("api-gateway") + "/v1/logs", headers=headers, timeout=10)


def test_a_token_is_verified_and_a_new_key_is_read(platform):
    assert with_token(platform, platform.issuer.token()).status_code == 200
    answer = with_token(platform, platform.issuer.token(lasting_s=-60))
    assert (answer.status_code, answer.json()["error"]) == (401, "ExpiredTokenError: The token is expired")
    platform.issuer.rotate()
    eventually(lambda: with_token(platform, platform.issuer.token()).status_code == 200)


def test_a_verifier_that_keeps_its_keys_rejects_those_of_a_new_one(platform):
    """Its log names the client, and no part of the token."""
    platform.fail("auth-service", keys_kept=True)
    platform.issuer.rotate("2026-12")
    token = platform.issuer.token()
    assert with_token(platform, token).json()["error"] == "InvalidKeyIdError: No key for kid: '2026-12'"
    (pod,) = platform.pods("auth-service")
    lines = platform.cluster.kubectl("logs", "-n", SYSTEM, pod["metadata"]["name"])
    assert '"client_ip": "203.0.113.9"' in lines
    assert not any(part[:20] in lines for part in token.split("."))
    platform.fail("auth-service", keys_kept=False)
    eventually(lambda: with_token(platform, token).status_code == 200)


def test_log_lines_are_json_and_share_a_request_id(platform):
    url = platform.url("api-gateway") + "/v1/logs"
    requests.get(url, headers={"X-Api-Key": "key2", "X-Request-Id": "request-of-the-test"}, timeout=10)

    def services():
        lines = logged(platform, "app in (api-gateway, auth-service)", 50)
        return {line["service"] for line in lines if line.get("request_id") == "request-of-the-test"}

    eventually(lambda: services() == {"api-gateway", "auth-service"})


def test_sources_find_what_the_programs_count(platform):
    """The names of the platform file are those of the programs; a line counts for the tenant whose it is, whoever stores it."""
    prometheus = platform.servers.prometheus
    with platform.traffic(per_second=20):
        prometheus.wait_for(
            f"count(count by (tenant) (log_lines_stored_total)) == {len(platform.tenants)}", within_s=60
        )

    def of_tenants(counter):
        found = prometheus.query(f"sum by (tenant) ({counter})")
        return {one["metric"]["tenant"]: one["value"][1] for one in found}

    eventually(lambda: of_tenants("log_lines_received_total") == of_tenants("log_lines_stored_total"))
    opened = link("prometheus", prometheus.url)
    for name in (name for name, one in sources.load().items() if one.about.startswith("metrics.")):
        eventually(lambda name=name: len(ask(opened, name, incident(minutes=0.5)).table))


def test_prometheus_sees_services_and_their_containers(platform):
    prometheus = platform.servers.prometheus
    with platform.traffic(per_second=20) as traffic:
        prometheus.wait_for('sum by (app) (rate(http_requests_total{app="api-gateway", status="200"}[5s])) > 0')
        memory = 'sum by (pod, container) (container_memory_working_set_bytes{container="api-gateway"}) > 0'
        (one, other) = eventually(lambda: len(found := prometheus.query(memory)) == 2 and found)
        assert one["metric"]["pod"] != other["metric"]["pod"]
        eventually(lambda: traffic.statuses.total() > 20)
    assert set(traffic.statuses) == {200}
    up = {each["metric"]["app"]: each["value"][1] for each in prometheus.query('min by (app) (up{job="neurallog"})')}
    assert up == dict.fromkeys(manifests.PROGRAMS, "1")


def test_environment_lets_look_but_not_touch(platform):
    api = Api.of_kubeconfig(Path(platform.environment()["KUBECONFIG"]))
    assert {tenant["metadata"]["name"] for tenant in api.get("Tenant")} == set(platform.tenants)
    with pytest.raises(Refused, match="403"):
        api.get("Secret", namespace=SYSTEM)


# --- the operator ----------------------------------------------------------------------------------------------------


def test_operator_makes_suspends_and_reports_a_tenant(platform):
    c = platform.cluster
    c.apply(manifests.tenant("umbrella", 4, plan="free"))
    c.wait("Tenant", "umbrella", until=lambda tenant: is_true(tenant, "Ready"), within_s=60)
    home = c.get("Namespace", "tenant-umbrella")
    assert home["metadata"]["ownerReferences"][0]["kind"] == "Tenant"
    assert c.get("ResourceQuota", "tenant", "tenant-umbrella")["spec"]["hard"]["pods"] == "10"
    c.apply(manifests.tenant("umbrella", 4, plan="free", suspended=True))
    c.wait("Tenant", "umbrella", until=lambda tenant: tenant["status"].get("phase") == "Suspended")
    c.wait("Deployment", "log-server", "tenant-umbrella", until=lambda each: each["spec"]["replicas"] == 0)
    # A quota that leaves no room for the log-server.
    c.apply(manifests.tenant("umbrella", 4, plan="free", quota={"requests.memory": "10Mi"}))
    c.wait("Tenant", "umbrella", until=lambda tenant: tenant["status"].get("phase") == "Provisioning")
    eventually(lambda: "exceeded quota" in c.kubectl("get", "events", "-n", "tenant-umbrella"))


# --- faults ----------------------------------------------------------------------------------------------------------


def test_leak_ends_in_an_oom_kill(platform):
    platform.fail("billing-service", leak_bytes_per_s=100_000_000)

    def last_end():
        (pod,) = platform.pods("billing-service")
        return pod["status"]["containerStatuses"][0].get("lastState", {}).get("terminated")

    end = eventually(last_end)
    assert (end["reason"], end["exitCode"]) == ("OOMKilled", 137)
    platform.wait_until_ready()


def test_stalled_log_servers_let_the_queue_grow(platform):
    queue = platform.servers.redis.connect()
    for name in platform.tenants:
        platform.fail("log-server", f"tenant-{name}", stalled=True)
    time.sleep(1)  # the round that was under way
    send(platform, lines=["waits"] * 20)
    assert queue.llen("log_queue") >= 20
    for name in platform.tenants:
        platform.fail("log-server", f"tenant-{name}", stalled=False)
    eventually(lambda: queue.llen("log_queue") == 0)


def test_errors_and_latency(platform):
    platform.fail("auth-service", error_ratio=1)
    assert send(platform).status_code == 502
    platform.fail("auth-service", error_ratio=0, latency_ms=500)
    started = time.monotonic()
    assert send(platform).ok
    assert time.monotonic() - started > 0.5
    platform.fail("auth-service", latency_ms=0)


def test_whoever_keeps_connections_lets_others_wait(platform):
    where = f"tenant-{platform.tenants[0]}"
    waiting = (
        f'database_pool_waiting{{namespace="{where}"}} > 0 and on (pod) database_pool_in_use == database_pool_size'
    )
    platform.fail("log-server", where, leaked_connections=3)
    platform.servers.prometheus.wait_for(waiting, within_s=60)
    platform.cluster.kubectl("delete", "pod", "-n", where, "-l", "app=log-server", "--wait=false")
    platform.wait_until_ready()


def test_release_that_is_never_ready_leaves_the_old_one_serving(platform):
    platform.deploy("auth-service", release="1.5.0", environment={"NL_FAULTS": '{"unready": true}'})
    eventually(lambda: len(platform.pods("auth-service")) == 2)
    new = eventually(lambda: [pod for pod in platform.pods("auth-service") if image_of(pod).endswith(":1.5.0")])
    assert not is_true(new[0], "Ready")
    assert send(platform).ok
    platform.deploy("auth-service")
    platform.cluster.wait("Deployment", "auth-service", SYSTEM, until=rolled_out)


def image_of(pod):
    return pod["spec"]["containers"][0]["image"]


def test_wrong_settings_crash_at_the_next_start(platform):
    platform.deploy("billing-service", settings={"flush_every_s": "often"})
    assert is_true(platform.pods("billing-service")[0], "Ready")  # the old pod has read the old settings
    platform.cluster.kubectl("rollout", "restart", "-n", SYSTEM, "deployment/billing-service")

    def last_words():
        return "".join(
            platform.cluster.kubectl("logs", "-n", SYSTEM, pod["metadata"]["name"], "--previous")
            for pod in platform.pods("billing-service")  # the old one was killed for memory before
            if any(status["restartCount"] for status in pod["status"].get("containerStatuses", []))
        )

    eventually(lambda: "flush_every_s must be a number, not 'often'" in last_words())
    platform.deploy("billing-service")
    platform.cluster.kubectl("rollout", "restart", "-n", SYSTEM, "deployment/billing-service")
    platform.wait_until_ready()


def test_noise_in_a_log_harms_nobody(platform):
    platform.fail("billing-service", noise_per_s=20)

    def errors():
        return sum(line["level"] == "error" for line in logged(platform, "app=billing-service", 40))

    assert eventually(lambda: errors() >= 20)
    assert requests.get(platform.url("billing-service") + "/health", timeout=10).ok
    platform.fail("billing-service", noise_per_s=0)

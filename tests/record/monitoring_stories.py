"""Incidents of what watches the platform: it did not look, it was not told where to look, or it told nobody."""

import time

from tests.record.kubernetes.scraping import define_monitors, monitor
from tests.record.kubernetes_stories import NEXT, faults
from tests.record.postgres_stories import SETTLED_S
from tests.record.stories import now, story
from tests.stack.kubernetes.api import rolled_out
from tests.stack.load import load
from tests.stack.neurallog import manifests
from tests.stack.neurallog.manifests import SYSTEM
from tests.stack.rules import INTERVAL_S, WATCHDOG, alert

AWAY_S = 135  # a hole counts from 90 s on; the charts have a step every 15 s
PENDING_S = 60  # of the alert, before it may fire
MISSED_EVALUATIONS = 5  # two late ones prove nothing
SEEN_S = 45  # three steps of the charts
SERIES_PER_S = 400  # of each pod
ONE_MESSAGE = {"severity": "critical", "instance": "postgres"}


@story("The charts of this afternoon have a hole where the errors should be")
def scrape_gap(stage):
    """The machine of Prometheus stood still for two minutes. The platform went on; how it did, nobody can tell."""
    with stage.servers() as servers, load(servers.pgbouncer, servers.redis):
        time.sleep(2 * SETTLED_S)
        servers.prometheus.freeze()
        time.sleep(AWAY_S)
        servers.prometheus.thaw()
        time.sleep(2 * SETTLED_S)
        stage.record(servers.environment())


@story("The database was away for minutes, and nobody was called")
def alert_silent(stage):
    """Both servers of PostgreSQL were down, and came back. The alert was told not to send two messages for that: its rule gives all of its
    alerts the same labels. One of them fires; of two, Prometheus can't make alerts, and gives none.
    """
    rules = {
        "groups": [
            {
                "name": "platform",
                "interval": f"{INTERVAL_S}s",
                "rules": [WATCHDOG, alert("PostgresDown", "pg_up == 0") | {"labels": ONE_MESSAGE}],
            }
        ]
    }
    with stage.servers(rules=rules) as servers, load(servers.pgbouncer, servers.redis):
        time.sleep(SETTLED_S)
        servers.replica.stop()
        servers.postgres.stop()
        time.sleep(PENDING_S + MISSED_EVALUATIONS * INTERVAL_S)
        servers.postgres.start()
        servers.replica.start()
        time.sleep(2 * SETTLED_S)
        stage.record(servers.environment())


@story("The charts of the gateway are empty since its release")
def metrics_missing(stage):
    """The release renamed the port of its service. Its ServiceMonitor asks for the old name, finds none, and says nothing of it."""
    with stage.platform() as platform:
        define_monitors(platform.cluster)
        platform.cluster.apply([monitor("api-gateway", app="api-gateway"), *monitored_gateway("http")])
        roll_out(platform)
        since = now()
        time.sleep(SETTLED_S)
        platform.cluster.processes["containerd"].add_image(manifests.image("api-gateway", NEXT))
        platform.cluster.apply(monitored_gateway("web", release=NEXT))
        roll_out(platform)
        platform.servers.prometheus.wait_for('absent(up{app="api-gateway"})', within_s=30)
        time.sleep(SEEN_S)
        stage.record(platform.environment(), since, service="api-gateway")


def monitored_gateway(port, **changed):
    """The gateway as a Prometheus operator finds it: by the labels of its service, by a named port, and by no annotation."""
    settings, deployment, service = manifests.application("api-gateway", SYSTEM, replicas=2, **changed)
    del deployment["spec"]["template"]["metadata"]["annotations"]
    service["metadata"]["labels"] = {"app": "api-gateway"}
    service["spec"]["ports"][0]["name"] = port
    return [settings, deployment, service]


def roll_out(platform):
    platform.cluster.wait("Deployment", "api-gateway", SYSTEM, until=rolled_out, within_s=90)


@story("Prometheus needs ten times its memory since the release of the gateway")
def cardinality_burst(stage):
    """The new release counts requests by their numbers: a label that is new each time, so that each request makes a series."""
    with stage.platform() as platform:
        since = now()
        time.sleep(SETTLED_S)
        platform.deploy("api-gateway", release=NEXT, replicas=2, environment=faults(series_per_s=SERIES_PER_S))
        roll_out(platform)
        platform.servers.prometheus.wait_for("count(request_seen) > 15000", within_s=60)
        time.sleep(SEEN_S)
        stage.record(platform.environment(), since)

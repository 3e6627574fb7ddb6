"""The whole platform below Kubernetes: databases, pooler, exporters, Prometheus with a past, Alertmanager, Grafana."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.stack import alertmanager, billing, exporters, history, pgbouncer, postgres, prometheus, redis
from tests.stack.alertmanager import Alertmanager
from tests.stack.grafana import Grafana, grafana
from tests.stack.pgbouncer import PgBouncer
from tests.stack.postgres import Postgres
from tests.stack.process import Process
from tests.stack.prometheus import Prometheus
from tests.stack.redis import Redis
from tests.stack.rules import RULES
from tests.stack.stripe import Stripe, stripe

# As a real Prometheus is, not faster: the exporters' own queries would be a large part of so small a load.
SCRAPE_INTERVAL_S = 5


@dataclass
class Stack:
    postgres: Postgres
    replica: Postgres
    pgbouncer: PgBouncer
    redis: Redis
    prometheus: Prometheus
    alertmanager: Alertmanager
    grafana: Grafana
    stripe: Stripe
    exporters: list[Process]

    def environment(self):
        """The environment variables that the parameters of NeuralLog name; they hold passwords."""
        return {
            "NL_POSTGRES_DSN": self.postgres.dsn(),
            "NL_PGBOUNCER_DSN": self.pgbouncer.dsn(),
            "NL_REDIS_URL": self.redis.url(),
            "NL_PROMETHEUS_URL": self.prometheus.url,
            "NL_ALERTMANAGER_URL": self.alertmanager.url,
            "NL_GRAFANA_URL": self.grafana.url,
            "NL_STRIPE_URL": self.stripe.url,
        }


@contextmanager
def stack(
    postgres_settings=None,
    redis_settings=None,
    redis_version="7.0",
    past=None,
    rules=RULES,
    scrape_s=SCRAPE_INTERVAL_S,
    environment=None,
    unwatched=lambda primary, standby, cache: None,
):
    """Start everything, side by side where one does not need the other; all of it ends with `with`.

    past          OpenMetrics text; default: six healthy hours. "": none
    rules         recording and alerting rules of Prometheus
    environment   variables for the processes of PostgreSQL and Redis
    unwatched     called when the databases run, before exporters and Prometheus begin to watch them
    """
    with ExitStack() as running, ThreadPoolExecutor() as pool:

        def begin(start, *arguments):
            server = start(*arguments)
            running.callback(server.close)
            return server

        def databases():
            primary = begin(postgres.start, postgres.DEBIAN_VERSION, postgres_settings, True, environment)
            return primary, begin(postgres.replica, primary), begin(pgbouncer.start, primary)

        starting = pool.submit(databases)
        cache = begin(redis.start, redis_version, redis_settings, None, environment)
        alarm = begin(alertmanager.start)
        past = history.healthy() if past is None else past
        sold = running.enter_context(stripe())
        primary, replica, pooler = starting.result()
        billing.fill(primary, sold)
        unwatched(primary, replica, cache)
        scraped = (
            (history.POSTGRES, begin(exporters.start_postgres_exporter, primary)),
            (history.REPLICA, begin(exporters.start_postgres_exporter, replica)),
            (history.REDIS, begin(exporters.start_redis_exporter, cache)),
        )
        watched = (*scraped, (history.ALERTMANAGER, alarm))
        targets = [prometheus.Target(**labels, port=server.port) for labels, server in watched]
        watcher = begin(prometheus.start, targets, past, rules, scrape_s, [alarm.port])
        shown = running.enter_context(grafana(watcher.url))
        running_exporters = [exporter for _, exporter in scraped]
        yield Stack(primary, replica, pooler, cache, watcher, alarm, shown, sold, running_exporters)

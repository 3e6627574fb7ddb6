"""A story is a whole incident, recorded from the real stack while it goes on: the case that `collect` makes, in `tests/stories`.

    @story("The API hangs since a payment was left open")
    def lock_chain(stage):
        '''What happened, for the reader.'''
        with stage.servers(past=past(13, …)) as servers, load(servers.pgbouncer, servers.redis):
            …the fault…
            stage.record(servers.environment())

    @story("The bill is not written")
    def out_of_memory(stage):
        with stage.platform() as platform:
            since = now()
            …the fault…
            stage.record(platform.environment(), since)

What is to be found in it stands in `tests/stories/causes.yaml`; all that is found in it, in `tests/golden`.
"""

import importlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nl_forensics.collection import collect
from nl_forensics.inputs.parameters import Parameters, read_yaml, shipped
from tests import recorded
from tests.record.clock import Clock
from tests.record.past import past as healthy_past
from tests.stack.kubernetes.api import Refused
from tests.stack.kubernetes.cluster import cluster
from tests.stack.kubernetes.real_node import NAME
from tests.stack.load import load
from tests.stack.neurallog import manifests
from tests.stack.neurallog.neurallog import NeuralLog, neurallog
from tests.stack.stack import Stack, stack
from tests.stack.tls import our_authority

MODULES = (
    "postgres_stories",
    "redis_stories",
    "kubernetes_stories",
    "cluster_stories",
    "monitoring_stories",
    "billing_stories",
    "connectivity_stories",
    "performance_stories",
    "access_stories",
    "tenant_stories",
    "blind_stories",
    "demo",
)
WINDOW = timedelta(minutes=30)
LASTING_S = 2 * 3600  # of the load, at most
METRICS_WITHIN_S = 180
UP = timedelta(days=9)
KUBERNETES, PROBE, DNS, IDENTITY = "KUBECONFIG", "NL_API_URL", "NL_CLUSTER_DNS", "NL_JWKS_URL"
OPTIONAL_GRANTS = (
    "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO nl_forensics",
    "GRANT SELECT ON tenants TO nl_forensics",
)
ENDPOINTS = (
    KUBERNETES,
    PROBE,
    DNS,
    IDENTITY,
    "NL_TOKEN",
    "NL_POSTGRES_DSN",
    "NL_PGBOUNCER_DSN",
    "NL_REDIS_URL",
    "NL_PROMETHEUS_URL",
    "NL_ALERTMANAGER_URL",
    "NL_GRAFANA_URL",
    "NL_STRIPE_URL",
)
# The same pseudonyms at each recording, whoever records.
KEY = b"the key of the recorded stories\n"


@dataclass(frozen=True)
class Story:
    name: str
    title: str
    play: Callable[["Stage"], None]


STORIES: dict[str, Story] = {}


def story(title: str):
    """Register the decorated function, which plays an incident of that title."""

    def register(play):
        STORIES[play.__name__] = Story(play.__name__, title, play)
        return play

    return register


def registered() -> dict[str, Story]:
    """Every story."""
    for module in MODULES:
        importlib.import_module(f"tests.record.{module}")
    return STORIES


def _nothing(clock, primary, replica, cache) -> None:
    """What happened before, in most stories."""


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class Stage:
    """Where one story is played, and recorded into `folder`."""

    name: str
    title: str
    folder: Path

    @contextmanager
    def servers(self, past: str | None = None, before=_nothing, **options) -> Iterator[Stack]:
        """The whole stack, its databases up for hours.

        before   what happened minutes ago, while nobody watched: called with the clock, which it may set forward, and the servers
        """
        clock = Clock(UP)

        def unwatched(primary, replica, cache):
            for grant in OPTIONAL_GRANTS:
                primary.execute(grant)
            for table in ("log_entries", "usage_records", "payments"):
                primary.execute(f"SELECT sum(length(t::text)) FROM {table} t")  # into memory, where it would be by now
            before(clock, primary, replica, cache)
            clock.set(timedelta(0))
            if primary.running():
                # The jump can look like a silence to both of them: they part, and find each other again.
                primary.execute("UPDATE tenants SET plan = plan WHERE id = 20")
                _wait_until(lambda: _received(primary))

        past = healthy_past() if past is None else past
        with stack(past=past, environment=clock.environment, unwatched=unwatched, **options) as servers:
            yield servers

    @contextmanager
    def platform(
        self,
        past: str | None = None,
        before=_nothing,
        customers=True,
        postgres_settings=None,
        redis_settings=None,
        **cluster_options,
    ) -> Iterator[NeuralLog]:
        """The whole stack, and a small NeuralLog with its customers on a real Kubernetes, which is minutes old."""
        options = {"nodes": 2, "real_node": True, "metrics": True} | cluster_options
        with (
            self.servers(past, before, postgres_settings=postgres_settings, redis_settings=redis_settings) as servers,
            load(servers.pgbouncer, servers.redis, consume=False, lasting_s=LASTING_S),  # the log-servers do
            cluster(**options) as nodes,
            neurallog(servers, nodes) as running,
            running.traffic(lasting_s=LASTING_S) if customers else nullcontext(),
        ):
            if options["metrics"]:
                _wait_until(lambda: _is_measured(nodes), METRICS_WITHIN_S)
            yield running

    def record(
        self,
        environment: Mapping[str, str],
        since: datetime | None = None,
        standbys: Mapping[str, str] | None = None,
        budget: Mapping | None = None,
        **incident,
    ) -> None:
        """Collect the case of the incident, which goes on since half an hour by default; two hours before is the baseline.

        standbys   more instances of PostgreSQL by name, with the environment variables of their addresses
        budget     what differs from the platform's

        Where the environment has no cluster, the platform has none, and no services in it; nor an address to probe, a DNS, or an issuer.
        """
        end = now()
        start, before = since or end - WINDOW, timedelta(hours=2)
        question = {
            "id": self.name,
            "title": self.title,
            "start": start.isoformat(),
            "end": end.isoformat(),
            "baseline": {"start": (start - before).isoformat(), "end": (end - before).isoformat()},
        }
        platform = read_yaml(shipped("platforms/neurallog.yaml"))
        platform["systems"]["postgres"] |= {name: {"endpoint": variable} for name, variable in (standbys or {}).items()}
        platform["budget"] |= budget or {}
        if KUBERNETES not in environment:
            platform["systems"]["kubernetes"], platform["metrics"] = "absent", {}
        platform["access"]["host_paths"] = [folder for folder, _ in manifests.MOUNTED.values()]
        for system, variable in (("probe", PROBE), ("dns", DNS), ("identity", IDENTITY)):
            if variable not in environment:
                platform["systems"][system] = "absent"
        parameters = Parameters.model_validate({"incident": question | incident, "platform": platform})
        with _recorder(environment):
            case = collect.collect(self.folder, parameters)
        if faults := case.verify():
            raise AssertionError(f"{self.name}: {faults}")


def record(one: Story) -> None:
    """Play a story, and put its case in the place of the former one."""
    with tempfile.TemporaryDirectory(prefix="nl-story-") as scratch:
        folder = Path(scratch) / "case"
        one.play(Stage(one.name, one.title, folder))
        recorded.keep_story(one.name, folder)


@contextmanager
def _recorder(environment: Mapping[str, str]) -> Iterator[None]:
    """The environment of `collect`: these endpoints and no others; nothing of this machine and its user gets into the case."""
    with tempfile.TemporaryDirectory(prefix="nl-home-") as home:
        key = Path(home) / "pseudonym.key"
        key.write_bytes(KEY)
        key.chmod(0o600)
        before = dict(os.environ)
        for name in ENDPOINTS:
            os.environ.pop(name, None)
        trusted = str(our_authority().root)
        os.environ.update(environment, NL_FORENSICS_ACTOR="recorder", NL_FORENSICS_HOME=home, SSL_CERT_FILE=trusted)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _received(primary) -> bool:
    return primary.execute("SELECT bool_and(flush_lsn = pg_current_wal_lsn()) FROM pg_stat_replication")[0][0] is True


def _is_measured(nodes) -> bool:
    try:
        return bool(nodes.api.request("GET", f"/apis/metrics.k8s.io/v1beta1/nodes/{NAME}"))
    except Refused:
        return False


def _wait_until(holds: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {within_s:g} s: {holds}")
        time.sleep(0.1)

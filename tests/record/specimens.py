"""A specimen is one fault of one system: what a source answers while the fault is there, recorded from a real server.

    @specimen("no_slot_is_forgotten", sources=("pg_slots",))
    @contextmanager
    def inactive_slot(server):
        server.sql("SELECT pg_create_physical_replication_slot('forgotten', true)")
        yield

    @edited("no_database_nears_wraparound", sources=("pg_wraparound",))
    def wraparound(source, record):
        '''No server can be brought near wraparound in minutes: the age of a real answer is raised.'''
        return record | {"xid_age": 1_900_000_000}

    @specimen("every_pod_is_ready", sources=("k8s_pods",), later=timedelta(minutes=20))

records what is there after seconds as what would still be there 20 minutes later: the answer is dated so.

Those of one module are kept in one file of `tests/specimens`. The tests lay each over the story `healthy`, as a later round of the same
case, and the named check must then find a problem.
"""

import importlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from nl_forensics import sources
from nl_forensics.collection.worker import readings
from nl_forensics.connect import open_link
from nl_forensics.inputs.incident import Incident, Window
from nl_forensics.inputs.parameters import read_yaml, shipped
from nl_forensics.inputs.platform import Platform
from nl_forensics.redact import Redactor
from nl_forensics.sources import Partial, Proof
from tests import recorded
from tests.stack import alertmanager, billing, pgbouncer, postgres, prometheus, redis, tls
from tests.stack.alertmanager import Alertmanager
from tests.stack.grafana import grafana
from tests.stack.issuer import issuer
from tests.stack.kubernetes import dns
from tests.stack.kubernetes.cluster import cluster
from tests.stack.prometheus import Prometheus
from tests.stack.rules import RULES
from tests.stack.stripe import Stripe, stripe

MODULES = (
    "postgres_sessions",
    "postgres_tables",
    "redis",
    "prometheus",
    "services",
    "latency",
    "saturation",
    "dns",
    "monitoring",
    "billing",
    "pgbouncer",
    "kubernetes",
    "probe",
    "identity",
    "access",
    "rejections",
    "tenants",
)
AT_ONCE = timedelta(0)
WINDOW = timedelta(minutes=30)


@dataclass(frozen=True)
class Specimen:
    """How to bring about one fault, and the check that must see it.

    edit    changes each record of a real answer
    later   how long the fault is made to last, by the date of the answer
    baseline   the half hour before the incident is asked for, too
    on_api_server   no container has to run for it, so the cluster has only a fake node
    """

    name: str
    check: str
    sources: tuple[str, ...]
    why: str
    fault: Callable[..., AbstractContextManager]
    edit: Callable[[str, dict], dict]
    later: timedelta = AT_ONCE
    baseline: bool = False
    on_api_server: bool = False

    @property
    def kept_in(self) -> str:
        """The module of `tests.record` that defines it, or the folder of that module."""
        defined = self.edit if self.fault is _untouched else self.fault
        return defined.__module__.removeprefix("tests.record.").split(".")[0]


SPECIMENS: dict[str, Specimen] = {}


def specimen(
    check: str,
    sources: tuple[str, ...],
    later: timedelta = AT_ONCE,
    baseline: bool = False,
    on_api_server: bool = False,
):
    """Register a context manager that makes the fault on a server of `tests.stack`."""

    def register(fault):
        why = (fault.__doc__ or "").strip()
        _add(Specimen(fault.__name__, check, sources, why, fault, _unedited, later, baseline, on_api_server))
        return fault

    return register


def edited(check: str, sources: tuple[str, ...]):
    """Register a function that edits each record of a real answer; its docstring says why no server can do it."""

    def register(edit):
        _add(Specimen(edit.__name__, check, sources, edit.__doc__.strip(), _untouched, edit))
        return edit

    return register


def _add(one: Specimen) -> None:
    if one.name in SPECIMENS:
        raise ValueError(f"two specimens are called {one.name}: one would overwrite the other's file")
    SPECIMENS[one.name] = one


@contextmanager
def _untouched(server):
    yield


def _unedited(source: str, record: dict) -> dict:
    return record


def load() -> dict[str, Specimen]:
    """Every specimen."""
    for module in MODULES:
        importlib.import_module(f"tests.record.{module}")
    return SPECIMENS


def make(one: Specimen) -> None:
    """Record a specimen from fresh servers of the systems that its sources ask."""
    systems = frozenset(_system_of(name) for name in one.sources)
    of_systems = SERVERS.get(systems, lambda: _together(systems))
    with (_api_server if one.on_api_server else of_systems)() as (server, addresses):
        record(one, server, addresses)


@contextmanager
def _postgres() -> Iterator[tuple]:
    with postgres.start() as server:
        yield server, {"postgres": server.dsn()}


@contextmanager
def _pgbouncer() -> Iterator[tuple]:
    with postgres.start() as database, pgbouncer.start(database) as server:
        yield server, {"pgbouncer": server.dsn()}


@contextmanager
def _redis() -> Iterator[tuple]:
    with redis.start() as server:
        yield server, {"redis": server.url()}


@contextmanager
def _prometheus() -> Iterator[tuple]:
    with prometheus.start(rules=RULES) as server:
        yield server, {"prometheus": server.url}


@contextmanager
def _alertmanager() -> Iterator[tuple]:
    with alertmanager.start() as server:
        yield server, {"alertmanager": server.url}


@dataclass(frozen=True)
class Alarm:
    """A Prometheus and the Alertmanager that it tells."""

    prometheus: Prometheus
    alertmanager: Alertmanager


@contextmanager
def _alarm() -> Iterator[tuple]:
    with alertmanager.start() as told, prometheus.start(alertmanagers=[told.port]) as server:
        yield Alarm(server, told), {"prometheus": server.url, "alertmanager": told.url}


@contextmanager
def _grafana() -> Iterator[tuple]:
    with prometheus.start() as source, grafana(source.url) as server:
        yield server, {"grafana": server.url}


@contextmanager
def _stripe() -> Iterator[tuple]:
    with stripe() as server:
        yield server, {"stripe": server.url}


@dataclass(frozen=True)
class Bill:
    """The servers of a platform that bills, in good order."""

    postgres: postgres.Postgres
    redis: redis.Redis
    stripe: Stripe


@contextmanager
def _bill() -> Iterator[tuple]:
    with postgres.start() as database, redis.start() as cache, stripe() as sold:
        billing.fill(database, sold)
        addresses = {"postgres": database.dsn(), "redis": cache.url(), "stripe": sold.url}
        yield Bill(database, cache, sold), addresses


@contextmanager
def _kubernetes() -> Iterator[tuple]:
    with cluster(nodes=1, real_node=True) as server:
        yield server, {"kubernetes": str(server.kubeconfig())}


@contextmanager
def _probe() -> Iterator[tuple]:
    """A server that is well, with a certificate of an authority that we trust."""
    os.environ["SSL_CERT_FILE"] = str(tls.our_authority().root)
    with tls.serving(tls.our_authority().chain("localhost")) as server:
        yield server, {"probe": server.url()}


@contextmanager
def _dns() -> Iterator[tuple]:
    with dns.serving(auth_service="10.96.254.1") as server:
        yield server, {"dns": server.address}


@contextmanager
def _identity() -> Iterator[tuple]:
    with issuer() as server:
        yield server, {"identity": server.url}


@contextmanager
def _api_server() -> Iterator[tuple]:
    """A cluster without a node that runs containers."""
    with cluster(nodes=1) as server:
        yield server, {"kubernetes": str(server.kubeconfig())}


@contextmanager
def _together(systems: frozenset[str]) -> Iterator[tuple]:
    """Servers that do not know each other, by the name of their system."""
    with ExitStack() as started:
        found = {system: started.enter_context(SERVERS[frozenset({system})]()) for system in sorted(systems)}
        servers = SimpleNamespace(**{system: server for system, (server, _) in found.items()})
        yield servers, {system: addresses[system] for system, (_, addresses) in found.items()}


SERVERS = {
    frozenset({"postgres"}): _postgres,
    frozenset({"pgbouncer"}): _pgbouncer,
    frozenset({"redis"}): _redis,
    frozenset({"prometheus"}): _prometheus,
    frozenset({"alertmanager"}): _alertmanager,
    frozenset({"prometheus", "alertmanager"}): _alarm,
    frozenset({"grafana"}): _grafana,
    frozenset({"stripe"}): _stripe,
    frozenset({"postgres", "stripe"}): _bill,
    frozenset({"postgres", "redis"}): _bill,
    frozenset({"kubernetes"}): _kubernetes,
    frozenset({"probe"}): _probe,
    frozenset({"dns"}): _dns,
    frozenset({"identity"}): _identity,
}


def record(one: Specimen, server, addresses: dict[str, str]) -> None:
    """Make the fault, ask the sources, and write what they answered. `addresses`: by system, of the role that asks."""
    platform = Platform.model_validate(read_yaml(shipped("platforms/neurallog.yaml")))
    with one.fault(server):
        end = datetime.now(UTC)
        start = end - WINDOW
        before = Window(start=(start - WINDOW).isoformat(), end=start.isoformat()) if one.baseline else None
        incident = Incident(id="specimen", start=start.isoformat(), end=end.isoformat(), baseline=before)
        answers = {}
        for system, address in addresses.items():
            endpoint = platform.systems.instances(system)["main"]
            if system == "identity":
                endpoint = endpoint.model_copy(update={"token_from": server.variable}).resolved()
            with closing(open_link(system, address, endpoint, platform.budget)) as link:
                asked = [name for name in one.sources if _system_of(name) == system]
                answers |= {name: _answer(one, name, link, incident, platform) for name in asked}
    recorded.keep_specimen(one.kept_in, one.name, {"check": one.check, "why": one.why, "answers": answers})


def _system_of(name: str) -> str:
    system = sources.load()[name].system
    return sources.connection_of(system)


def _answer(one: Specimen, name: str, link, incident, platform) -> dict:
    """Records (redacted as in a case), partial and proof of one source."""
    source, redact, records, partial, proof = sources.load()[name], Redactor(b"specimen").stream(), [], [], ""
    for item in readings(source, link, incident, platform):
        if isinstance(item, Partial):
            partial.append(list(item))
        elif isinstance(item, Proof):
            proof = item.shown_by
        else:
            records.append(one.edit(name, source.recorded(json.loads(json.dumps(item, default=str)), redact)))
    asked_at = datetime.now(UTC) + one.later
    return {"asked_at": asked_at.isoformat(), "records": records, "partial": partial, "proof": proof}

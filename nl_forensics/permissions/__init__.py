"""What the asking role needs, generated from what the sources declare, so that it can't drift from what is asked."""

from typing import NamedTuple

from nl_forensics import sources
from nl_forensics.inputs.platform import Platform
from nl_forensics.permissions import kubernetes as cluster

ROLE = "nl_forensics"


class Section(NamedTuple):
    """The grants of one system, as they are pasted there. `title` says where that is."""

    name: str
    title: str
    text: str


def postgres() -> str:
    """The role, with the grants that every source needs, then as comments those that add something."""
    asked = _asked("postgres", "database")
    adding = {s.needs.postgres: s.needs.adds for s in asked if s.needs.adds}
    lines = [
        f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT 5 PASSWORD '…';",
        *(f"{grant};" for grant in postgres_grants()),
        *(f"-- GRANT {grant} TO {ROLE};  -- optional, adds {what}" for grant, what in sorted(adding.items())),
    ]
    return "\n".join(lines)


def postgres_grants() -> list[str]:
    """What the role must be granted; nothing that is optional."""
    needed = {s.needs.postgres for s in _asked("postgres", "database") if not s.needs.adds} - {""}
    return [f"GRANT {grant} TO {ROLE}" for grant in sorted(needed)]


def redis(version: str = "7.0") -> str:
    """The ACL line of the user."""
    return f"ACL SETUSER {ROLE} on >… {redis_rules(version)}"


def redis_rules(version: str = "7.0") -> str:
    """Every command that a source sends; keys can be looked at, never read or written. 6.2 knows no read-only key patterns."""
    commands = {rule for source in sources.load().values() for rule in source.needs.redis.split()}
    return f"resetkeys {'%R~*' if version >= '7' else '~*'} resetchannels -@all {' '.join(sorted(commands))}"


def pgbouncer() -> str:
    """The line of pgbouncer.ini."""
    return f"stats_users = {ROLE}"


def prometheus() -> str:
    """The parts of the HTTP API that are read."""
    return _paths("prometheus", "/api/v1/status/buildinfo")


def alertmanager() -> str:
    """The parts of the HTTP API that are read."""
    return _paths("alertmanager", "/api/v2/status")


def _paths(system: str, of_the_link: str) -> str:
    declared = {path for source in _asked(system) for path in getattr(source.needs, system).split()}
    return "\n".join(f"GET {path}" for path in sorted(declared | {of_the_link}))


def grafana() -> str:
    """What the service account must be allowed."""
    allowed = {permission for source in _asked("grafana") for permission in source.needs.grafana.split()}
    return "\n".join(sorted(allowed))


def kubernetes_rules() -> list[dict]:
    """The rules of the ClusterRole: everything that a source asks of Kubernetes, in all of the cluster."""
    return cluster.rules(set(sources.asked_of_kubernetes()))


def sections(
    platform: Platform | None = None, namespaces: tuple[str, ...] = (), home: str = cluster.NAME
) -> list[Section]:
    """Of every system; with a platform, of those that it has.

    namespaces   those in scope: where all of them are exact names, grants in these alone are offered, too
    home         the namespace of the service account
    """
    found = [
        Section("postgres", "PostgreSQL", postgres()),
        Section("pgbouncer", "PgBouncer (pgbouncer.ini)", pgbouncer()),
        Section("redis", "Redis 7.0 and newer, Valkey", redis()),
        Section("redis_6_2", "Redis 6.2", redis("6.2")),
        Section("prometheus", "Prometheus", prometheus()),
        Section("alertmanager", "Alertmanager", alertmanager()),
        Section("grafana", "Grafana (a service account)", grafana()),
        Section("kubernetes", "Kubernetes (kubectl apply -f -)", cluster.everywhere(home)),
    ]
    if namespaces and not any("*" in name for name in namespaces):
        title = f"Kubernetes, instead: in {', '.join(namespaces)} alone (kubectl apply -f -)"
        found.append(Section("kubernetes_in_namespaces", title, cluster.in_namespaces(namespaces, home)))
    return [one for one in found if not platform or platform.systems.instances(one.name.partition("_")[0])]


def _asked(*systems: str) -> list[sources.Source]:
    return [source for source in sources.load().values() if source.system in systems]

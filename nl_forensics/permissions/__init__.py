"""The permissions of the read-only role, generated from the declarations of the sources, so that both stay the same."""

from typing import NamedTuple

from nl_forensics import sources
from nl_forensics.inputs.platform import Platform
from nl_forensics.permissions import billing
from nl_forensics.permissions import kubernetes as cluster

ROLE = "nl_forensics"
SINCE_7 = {"+acl|dryrun"}  # commands of Redis that 6.2 does not know: it would reject the whole line


class Section(NamedTuple):
    """The grants of one system, to be applied there. `title`: where."""

    name: str
    title: str
    text: str


def postgres(platform: Platform | None = None) -> str:
    """The role with the required grants, then the optional ones as comments."""
    asked = _asked("postgres", "database")
    adding = {s.needs.postgres: s.needs.adds for s in asked if s.needs.adds}
    lines = [
        f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT 5 PASSWORD '…';",
        *(f"{grant};" for grant in postgres_grants()),
        *(f"-- GRANT {grant} TO {ROLE};  -- optional, adds {what}" for grant, what in sorted(adding.items())),
        *(
            f"-- {grant};  -- optional, adds billing; in the database with this table"
            for grant in table_grants(platform)
        ),
    ]
    return "\n".join(lines)


def postgres_grants() -> list[str]:
    """The required grants of the role, without the optional ones."""
    needed = {s.needs.postgres for s in _asked("postgres", "database") if not s.needs.adds} - {""}
    return [f"GRANT {grant} TO {ROLE}" for grant in sorted(needed)]


def table_grants(platform: Platform | None) -> list[str]:
    """The grants on the tables that the platform file names, of their columns that are read."""
    return [f"GRANT {grant} TO {ROLE}" for grant in billing.selects(platform)] if platform else []


def redis(version: str = "7.0", platform: Platform | None = None) -> str:
    """The ACL line of the user."""
    return f"ACL SETUSER {ROLE} on >… {redis_rules(version, platform)}"


def redis_rules(version: str = "7.0", platform: Platform | None = None) -> str:
    """Every command that a source sends; key metadata is readable, values are not, except those of the keys that count usage.

    6.2 has no read-only key patterns, and no rules for some keys alone: there, no value is readable.
    """
    needs = [source.needs for source in sources.load().values()]
    asked = {rule for need in needs for rule in need.redis.split()} - (SINCE_7 if version < "7" else set())
    commands = " ".join(sorted(asked))
    rules = f"resetkeys {'%R~*' if version >= '7' else '~*'} resetchannels -@all {commands}"
    usage = platform.billing.usage if platform and platform.billing else None
    if version < "7" or not usage or not usage.redis_key:
        return rules
    values = " ".join(sorted({rule for need in needs for rule in need.redis_values.split()}))
    return f"{rules} (%R~{usage.keys} {values})"


def pgbouncer() -> str:
    """The line of pgbouncer.ini."""
    return f"stats_users = {ROLE}"


def prometheus() -> str:
    """The paths of the HTTP API that are read."""
    return _paths("prometheus", "/api/v1/status/buildinfo")


def alertmanager() -> str:
    """The paths of the HTTP API that are read."""
    return _paths("alertmanager", "/api/v2/status")


def _paths(system: str, of_the_link: str) -> str:
    declared = {path for source in _asked(system) for path in getattr(source.needs, system).split()}
    return "\n".join(f"GET {path}" for path in sorted(declared | {of_the_link}))


def grafana() -> str:
    """The permissions of the service account."""
    allowed = {permission for source in _asked("grafana") for permission in source.needs.grafana.split()}
    return "\n".join(sorted(allowed))


def stripe() -> str:
    """The permissions of the restricted key."""
    declared = {permission for source in _asked("stripe") for permission in source.needs.stripe.split("; ")}
    return "\n".join(sorted(declared))


def kubernetes_rules() -> list[dict]:
    """The rules of the ClusterRole: every request of a source, in the whole cluster."""
    return cluster.rules(set(sources.asked_of_kubernetes()))


def sections(
    platform: Platform | None = None, namespaces: tuple[str, ...] = (), home: str = cluster.NAME
) -> list[Section]:
    """The sections of all systems; with a platform, of its systems.

    namespaces   those in scope; if all are exact names, grants in these namespaces alone are offered as well
    home         the namespace of the service account
    """
    found = [
        Section("postgres", "PostgreSQL", postgres(platform)),
        Section("pgbouncer", "PgBouncer (pgbouncer.ini)", pgbouncer()),
        Section("redis", "Redis 7.0 and newer, Valkey", redis(platform=platform)),
        Section("redis_6_2", "Redis 6.2", redis("6.2")),
        Section("prometheus", "Prometheus", prometheus()),
        Section("alertmanager", "Alertmanager", alertmanager()),
        Section("grafana", "Grafana (a service account)", grafana()),
        Section("stripe", "Stripe (a restricted key)", stripe()),
        Section("kubernetes", "Kubernetes (kubectl apply -f -)", cluster.everywhere(home)),
    ]
    if namespaces and not any("*" in name for name in namespaces):
        title = f"Kubernetes, instead: in {', '.join(namespaces)} alone (kubectl apply -f -)"
        found.append(Section("kubernetes_in_namespaces", title, cluster.in_namespaces(namespaces, home)))
    return [one for one in found if not platform or platform.systems.instances(one.name.partition("_")[0])]


def _asked(*systems: str) -> list[sources.Source]:
    return [source for source in sources.load().values() if source.system in systems]

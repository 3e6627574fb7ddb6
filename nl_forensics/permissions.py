"""What the asking role needs, generated from what the sources declare, so that it can't drift from what is asked."""

import yaml

from nl_forensics import sources

ROLE = "nl_forensics"


def postgres() -> str:
    """The role, with the grants that every source needs, then as comments those that add something."""
    needed = {s.needs.postgres for s in _asked("postgres", "database") if not s.needs.adds} - {""}
    adding = {s.needs.postgres: s.needs.adds for s in _asked("postgres", "database") if s.needs.adds}
    lines = [
        f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT 5 PASSWORD '…';",
        *(f"GRANT {grant} TO {ROLE};" for grant in sorted(needed)),
        *(f"-- GRANT {grant} TO {ROLE};  -- optional, adds {what}" for grant, what in sorted(adding.items())),
    ]
    return "\n".join(lines)


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
    """The rules of the ClusterRole: the same verbs for several resources of a group are one rule."""
    wanted = {pair for source in _asked("kubernetes") for pair in source.needs.of_kubernetes()}
    verbs: dict[tuple[str, str], set[str]] = {}
    for verb, resource in wanted:
        plural, _, group = resource.partition(".")
        verbs.setdefault(("", resource) if resource.startswith("/") else (group, plural), set()).add(verb)
    rules: dict[tuple, list[str]] = {}
    for (group, resource), allowed in sorted(verbs.items()):
        rules.setdefault((resource.startswith("/"), group, tuple(sorted(allowed))), []).append(resource)
    return [
        {"nonResourceURLs": resources, "verbs": list(allowed)}
        if is_url
        else {"apiGroups": [group], "resources": resources, "verbs": list(allowed)}
        for (is_url, group, allowed), resources in rules.items()
    ]


def kubernetes() -> str:
    """The ClusterRole, as YAML for `kubectl apply -f -`; what it lacks is a ClusterRoleBinding to whoever asks."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": ROLE.replace("_", "-")},
        "rules": kubernetes_rules(),
    }
    return yaml.safe_dump(role, sort_keys=False, default_flow_style=None, width=120).rstrip()


def everything() -> str:
    """All of it, as text to be read and pasted."""
    parts = {
        "PostgreSQL": postgres(),
        "PgBouncer (pgbouncer.ini)": pgbouncer(),
        "Redis 7.0 and newer, Valkey": redis(),
        "Redis 6.2": redis("6.2"),
        "Prometheus": prometheus(),
        "Alertmanager": alertmanager(),
        "Grafana (a service account)": grafana(),
        "Kubernetes (kubectl apply -f -)": kubernetes(),
    }
    return "\n\n".join(f"# {system}\n{text}" for system, text in parts.items())


def _asked(*systems: str) -> list[sources.Source]:
    return [source for source in sources.load().values() if source.system in systems]

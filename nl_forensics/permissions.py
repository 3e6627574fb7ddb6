"""What the asking role needs, generated from what the sources declare, so that it can't drift from what is asked."""

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
    return "\n".join(
        sorted({f"GET {s.needs.prometheus}" for s in _asked("prometheus")} | {"GET /api/v1/status/buildinfo"})
    )


def everything() -> str:
    """All of it, as text to be read and pasted."""
    parts = {
        "PostgreSQL": postgres(),
        "PgBouncer (pgbouncer.ini)": pgbouncer(),
        "Redis 7.0 and newer, Valkey": redis(),
        "Redis 6.2": redis("6.2"),
        "Prometheus": prometheus(),
    }
    return "\n\n".join(f"# {system}\n{text}" for system, text in parts.items())


def _asked(*systems: str) -> list[sources.Source]:
    return [source for source in sources.load().values() if source.system in systems]

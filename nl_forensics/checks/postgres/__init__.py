"""Rules that a healthy PostgreSQL, and a healthy PgBouncer, keep. One module per subject."""

from nl_forensics.checks.postgres import (  # noqa: F401
    indexes,
    locks,
    pgbouncer,
    privileges,
    replication,
    server,
    sessions,
    settings,
    statements,
    tables,
    vacuum,
    wal,
)

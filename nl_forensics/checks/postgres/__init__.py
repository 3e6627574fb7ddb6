"""Rules that a healthy PostgreSQL keeps. One module per subject."""

# isort: off
from nl_forensics.checks.postgres import sessions  # noqa: F401
from nl_forensics.checks.postgres import locks  # noqa: F401
from nl_forensics.checks.postgres import statements  # noqa: F401
from nl_forensics.checks.postgres import server  # noqa: F401
from nl_forensics.checks.postgres import settings  # noqa: F401
from nl_forensics.checks.postgres import privileges  # noqa: F401
from nl_forensics.checks.postgres import replication  # noqa: F401
from nl_forensics.checks.postgres import wal  # noqa: F401
from nl_forensics.checks.postgres import vacuum  # noqa: F401
from nl_forensics.checks.postgres import tables  # noqa: F401
from nl_forensics.checks.postgres import indexes  # noqa: F401
from nl_forensics.checks.postgres import pgbouncer  # noqa: F401

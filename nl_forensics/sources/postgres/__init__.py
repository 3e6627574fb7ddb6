"""What PostgreSQL says about itself. One module per subject; first what is lost soonest."""

# isort: off
from nl_forensics.sources.postgres import activity  # noqa: F401
from nl_forensics.sources.postgres import locks  # noqa: F401
from nl_forensics.sources.postgres import statements  # noqa: F401
from nl_forensics.sources.postgres import databases  # noqa: F401
from nl_forensics.sources.postgres import settings  # noqa: F401
from nl_forensics.sources.postgres import replication  # noqa: F401
from nl_forensics.sources.postgres import wal  # noqa: F401
from nl_forensics.sources.postgres import vacuum  # noqa: F401
from nl_forensics.sources.postgres import tables  # noqa: F401
from nl_forensics.sources.postgres import indexes  # noqa: F401
from nl_forensics.sources.postgres import bloat  # noqa: F401
from nl_forensics.sources.postgres import sequences  # noqa: F401

"""What Redis or Valkey says about itself. One module per subject, in the order of asking: first what is lost soonest."""

# isort: off
from nl_forensics.sources.redis import slow, clients, queues, counters, server, settings, keys  # noqa: F401

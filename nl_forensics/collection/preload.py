"""What every worker needs, read once: by the process that all of them are forked from."""

from nl_forensics import sources
from nl_forensics.collection import worker  # noqa: F401

sources.load()
